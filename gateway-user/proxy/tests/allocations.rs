//! A warm worker serves requests without allocating.
//!
//! A program of its own: the allocator counts for the whole process, on threads that say they are workers.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use gateway_io::Driver;
use gateway_proxy::ProxyConfig;
use gateway_testkit::http::Client;
use gateway_testkit::tls::{self as testkit, SelfSigned, Versions};
use support::Gateway;
use support::backend::{Backend, ok};
use support::ir::{Config, forward, headers, tls};

struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    // Fails only while the thread ends.
    if IS_WORKER.try_with(Cell::get).unwrap_or(false) {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps `GlobalAlloc`'s contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `alloc` above with this `layout`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as for `dealloc`; the caller vouches for `size`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations per request of one kind, in thousandths.
fn per_thousand<S: Read + Write>(mut client: Client<S>, request: &str) -> u64 {
    let mut serve = |count| {
        for _ in 0..count {
            client.send(request).unwrap();
            assert!(client.response().unwrap().status < 500);
        }
    };
    serve(200);
    let before = COUNT.load(Ordering::Relaxed);
    serve(1000);
    COUNT.load(Ordering::Relaxed) - before
}

fn a_warm_worker_does_not_allocate(driver: Driver) {
    let backend = Backend::answering(|request| ok(format!("{} bytes", request.body.len())));
    let mut filtered = forward("/filtered", "app");
    filtered.filters = vec![
        gateway_ir::Filter::RequestHeaders(headers(&[("X-Set", "1")], &[("X-Add", "2")], &["x-gone"])),
        gateway_ir::Filter::UrlRewrite {
            host: None,
            path: Some(gateway_ir::PathRewrite::Prefix("/".into())),
        },
    ];
    let config =
        Config::default().rule(forward("/app", "app")).rule(filtered).endpoints("app", &[backend.address()]);
    // The log hands its batches away; that is measured where it is written.
    let proxy = ProxyConfig { access_log: false, ..ProxyConfig::default() };
    let gateway = Gateway::hooked(driver, &config, proxy, || IS_WORKER.set(true));
    for request in [
        "GET /app HTTP/1.1\r\nHost: Test.Example:80\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n",
        "GET /filtered/x?y=1 HTTP/1.1\r\nHost: a\r\nX-Set: 0\r\nX-Gone: 1\r\n\r\n",
        "GET /none HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /app HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    ] {
        let allocations = per_thousand(gateway.connect(), request);
        // A handful of clock texts, sweeps and timers fall into any stretch of time; requests add nothing.
        assert!(allocations < 200, "{allocations} allocations in 1000 requests of {request:?}");
    }
}

/// Records are opened where they were received and sealed where they are sent from.
fn over_tls_neither_does_it(driver: Driver) {
    let identity = SelfSigned::new(&["a.example"]);
    let backend = Backend::answering(|_| ok("hello"));
    let config = Config { tls: Some(tls(&identity)), ..Config::to(backend.address()) };
    let proxy = ProxyConfig { access_log: false, ..ProxyConfig::default() };
    let gateway = Gateway::hooked(driver, &config, proxy, || IS_WORKER.set(true));
    let client = testkit::client(&[&identity], Versions::New);
    let client = testkit::connect(gateway.address, "a.example", &client).unwrap();
    let allocations = per_thousand(client, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert!(allocations < 200, "{allocations} allocations in 1000 requests");
}

#[test]
fn on_both_drivers() {
    // One after the other: they share the counter.
    a_warm_worker_does_not_allocate(Driver::Epoll);
    a_warm_worker_does_not_allocate(Driver::UringDefer);
    over_tls_neither_does_it(Driver::Epoll);
    over_tls_neither_does_it(Driver::UringDefer);
    assert!(COUNT.load(Ordering::Relaxed) > 0, "what workers allocate as they warm up is counted");
}
