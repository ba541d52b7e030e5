//! A lookup allocates nothing once its worker's buffers are warm, nor does anything made from its result.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use gateway_ir::{
    Action as IrAction, Filter, Generation, HeaderMatch, HttpRule, PathRewrite, QueryMatch, Redirect,
    StringMatch,
};
use gateway_snapshot::rewrite::{RedirectSource, Scheme, write_location, write_target};
use gateway_snapshot::{Action, BindTable, RequestView, RouteHit, WorkerRegexes, compile};
use support::{Request, With, exact, gateway, local, prefix, regex, route, rule};

/// The system's allocator, counting what this thread asks of it.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // A thread that is going away has no counter any more, and nobody to read it.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every method passes its arguments on to `System`, which upholds the contract of GlobalAlloc, and
// returns what `System` returns. Counting touches a thread-local Cell without a destructor, which neither
// allocates nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`: a layout of non-zero size.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller got `pointer` from `alloc` above with this layout, so `System` did allocate it.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller got `pointer` from `alloc` above with this layout, and `size` is not zero.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn rules() -> Vec<HttpRule> {
    let mut expressions = prefix("/values");
    expressions.headers = vec![HeaderMatch { name: "x".into(), value: StringMatch::Regex("[0-9,]+".into()) }];
    expressions.query = vec![QueryMatch { name: "q r".into(), value: StringMatch::Regex("a.b".into()) }];
    let rewrite = Filter::UrlRewrite { host: None, path: Some(PathRewrite::Prefix("/".into())) };
    let redirect =
        Redirect { scheme: Some("https".into()), hostname: None, path: None, port: Some(8443), status: 302 };
    vec![
        rule(vec![exact("/exact").method("GET").with_header("x", "1,2").with_query("q", "a b")]),
        rule(vec![regex("/items/[0-9]+")]),
        rule(vec![expressions]),
        HttpRule { filters: vec![rewrite], ..rule(vec![prefix("/httpbin")]) },
        HttpRule { action: IrAction::Redirect(redirect), ..rule(vec![prefix("/old")]) },
    ]
}

fn requests() -> Vec<Request> {
    let get = |path| Request::get("a.example.com", path);
    vec![
        get("/exact").header("X", "1").header("x", "2").query("p=1&q=a+b"),
        get("/items/42"),
        get("/values/a").header("x", "1").header("x", "2").query("q+r=a%20b"),
        get("/values/a").header("x", "77").query("q%20r=axb"),
        get("/httpbin/get").query("a=1"),
        get("/old/place"),
        get("/nowhere"),
        get("/exact").header("x", "none"),
        Request::get("b.example.com", "/httpbin"),
        Request::get("", "/"),
    ]
}

/// The work on a request for which a worker needs the tables: the lookup, the choice of a backend, the new
/// target or the `Location`.
fn serve(bind: &BindTable, view: &RequestView<'_>, regexes: &mut WorkerRegexes, out: &mut Vec<u8>) -> u32 {
    out.clear();
    match bind.route(view, regexes) {
        Ok(hit) => {
            respond(&hit, view, out);
            hit.rule.index
        }
        Err(miss) => {
            out.extend_from_slice(miss.code().as_bytes());
            u32::MAX
        }
    }
}

fn respond(hit: &RouteHit<'_>, view: &RequestView<'_>, out: &mut Vec<u8>) {
    match &hit.rule.action {
        Action::Forward(picker) => {
            let filters = &picker.pick(u64::MAX / 3).filters;
            write_target(filters.path.as_ref(), view.path, hit.matched_len, view.query, out);
        }
        Action::Redirect(redirect) => {
            let source = RedirectSource {
                scheme: Scheme::Http,
                host: view.host,
                listener_port: hit.listener.port,
                path: view.path,
                query: view.query,
                matched_len: hit.matched_len,
            };
            write_location(redirect, &source, out);
        }
        Action::Fail(failure) => panic!("no rule here is broken: {failure:?}"),
    }
}

#[test]
fn lookups_do_not_allocate_once_warm() {
    let ir = gateway("", vec![(&["a.example.com", "*.example.com"], route("r", None, rules()))]);
    let snapshot = compile(&ir, Generation(1));
    let mut regexes = WorkerRegexes::new(&snapshot);
    let bind = snapshot.bind(local()).unwrap();
    let mut out = Vec::new();
    let requests = requests();

    let mut round = |regexes: &mut WorkerRegexes, check: &mut dyn FnMut(usize, u32, &[u8])| {
        for (at, request) in requests.iter().enumerate() {
            let rule = request.view(|view| serve(bind, view, regexes, &mut out));
            check(at, rule, &out);
        }
    };
    // Every kind of match is reached, or the count below would prove little.
    let mut rules = Vec::new();
    let mut texts = Vec::new();
    round(&mut regexes, &mut |_, rule, out| {
        rules.push(rule);
        texts.push(String::from_utf8(out.to_vec()).unwrap());
    });
    assert_eq!(rules, [0, 1, 2, 2, 3, 4, u32::MAX, u32::MAX, 3, u32::MAX]);
    assert_eq!(texts[4..6], ["/get?a=1", "https://a.example.com:8443/old/place"]);
    assert_eq!((texts[7].as_str(), texts[9].as_str()), ("header_mismatch", "no_route_for_host"));
    for _ in 0..10 {
        round(&mut regexes, &mut |_, _, _| {});
    }

    let before = ALLOCATIONS.with(Cell::get);
    let mut sum = 0u64;
    for _ in 0..1_000 {
        round(&mut regexes, &mut |at, rule, out| sum += u64::from(rule) + at as u64 + out.len() as u64);
    }
    let after = ALLOCATIONS.with(Cell::get);
    assert!(sum > 0);
    assert_eq!(after - before, 0, "allocations in {} lookups", 1_000 * requests.len());

    let counted = ALLOCATIONS.with(Cell::get);
    drop(std::hint::black_box(Box::new(sum)));
    assert_eq!(ALLOCATIONS.with(Cell::get) - counted, 1, "the counter must count");
}
