//! The cost of expressions for a request: bytes of values, counted.

mod support;

use std::sync::Arc;

use gateway_ir::{Generation, HeaderMatch, HttpRule, QueryMatch, RouteMatch, StringMatch};
use gateway_regex::Library;
use gateway_snapshot::{Progress, Snapshot, WorkerRegexes, compile, compile_from};
use support::{Request, gateway, local, prefix, regex, route, rule};

fn with_rules(rules: Vec<HttpRule>) -> gateway_ir::Ir {
    gateway("", vec![(&["h"], route("r", None, rules))])
}

/// The rule of a request, and the bytes that were scanned for it.
fn scanned(snapshot: &Snapshot, request: &Request) -> (Option<u32>, u64) {
    let mut regexes = WorkerRegexes::new(snapshot);
    let bind = snapshot.bind(local()).unwrap();
    let index = request.view(|view| bind.route(view, &mut regexes).ok().map(|hit| hit.rule.index));
    (index, regexes.scanned())
}

fn header(name: &str, expression: &str) -> RouteMatch {
    let value = StringMatch::Regex(expression.into());
    RouteMatch { headers: vec![HeaderMatch { name: name.into(), value }], ..prefix("/") }
}

/// A header of 28 KB took one such expression 4.7 seconds once its lazily built states no longer fitted their
/// cache.
#[test]
fn a_long_value_costs_its_length_and_still_matches() {
    let expression = "[ab]*a[ab]{9}c";
    let snapshot = compile(&with_rules(vec![rule(vec![header("x", expression)])]), Generation(1));
    let yes = "ab".repeat(14_000) + "aababababac";
    let no = "ab".repeat(14_000) + "b";
    for (value, want) in [(&yes, Some(0)), (&no, None)] {
        let request = Request::get("h", "/").header("x", value);
        assert_eq!(scanned(&snapshot, &request), (want, value.len() as u64));
    }
}

#[test]
fn a_request_pays_once_for_an_expression_however_many_rules_ask() {
    let many = |one: &dyn Fn() -> RouteMatch| (0..50).map(|_| rule(vec![one()])).collect::<Vec<_>>();
    let mut rules = many(&|| regex("/no.*"));
    rules.extend(many(&|| header("x", "no|never")));
    let query = || {
        let value = StringMatch::Regex("[0-9]+".into());
        RouteMatch { query: vec![QueryMatch { name: "q".into(), value }], ..prefix("/") }
    };
    rules.extend(many(&query));
    let snapshot = compile(&with_rules(rules), Generation(1));
    let request = Request::get("h", "/path").header("x", "value").header("x", "two").query("q=1x");
    assert_eq!(scanned(&snapshot, &request), (None, ("/path".len() + "value,two".len() + "1x".len()) as u64));
    // The next request is another one.
    let mut regexes = WorkerRegexes::new(&snapshot);
    let bind = snapshot.bind(local()).unwrap();
    for (value, want) in [("no", Some(50)), ("yes", None), ("never", Some(50))] {
        let request = Request::get("h", "/path").header("x", value);
        let found = request.view(|view| bind.route(view, &mut regexes).ok().map(|hit| hit.rule.index));
        assert_eq!(found, want, "{value}");
    }
}

/// One request may have 4 MiB scanned: others must have their turn meanwhile.
#[test]
fn a_lookup_in_steps_scans_an_expression_a_step_and_nothing_twice() {
    let rules = (0..20).map(|n| rule(vec![header("x", &format!("a{n}|[bc]+"))]));
    let snapshot =
        compile(&with_rules(rules.chain([rule(vec![header("x", "d+")])]).collect()), Generation(1));
    let (bind, mut regexes) = (snapshot.bind(local()).unwrap(), WorkerRegexes::new(&snapshot));
    let others = [Request::get("h", "/").header("x", "b"), Request::get("h", "/").header("x", "none")];
    let long = Request::get("h", "/").header("x", &"d".repeat(10_000));
    for limit in [1, 10_000, 10_001, 1_000_000] {
        let (mut progress, mut steps, before) = (Progress::new(limit), Vec::new(), regexes.scanned());
        let mut by_others = 0;
        let index = loop {
            let at = regexes.scanned();
            let result = long.view(|view| {
                bind.route_step(view, &mut regexes, &mut progress).map(|r| r.unwrap().rule.index)
            });
            steps.push((regexes.scanned() - at) / 10_000);
            if let Some(index) = result {
                break index;
            }
            // Others overwrite what the worker remembers of this lookup.
            let at = regexes.scanned();
            for (other, want) in others.iter().zip([Some(0), None]) {
                let index = other.view(|view| bind.route(view, &mut regexes).ok().map(|hit| hit.rule.index));
                assert_eq!(index, want);
            }
            by_others += regexes.scanned() - at;
        };
        let each = if limit > 10_000 { 2 } else { 1 };
        let want =
            if limit > 100_000 { vec![21] } else { [vec![each; 20 / each as usize], vec![1]].concat() };
        assert_eq!((index, &steps), (20, &want), "{limit}");
        assert_eq!(regexes.scanned() - before - by_others, 210_000);
    }
}

#[test]
fn the_same_expression_on_two_headers_is_two_questions() {
    let rules = vec![rule(vec![header("x", "a+")]), rule(vec![header("y", "a+")])];
    let snapshot = compile(&with_rules(rules), Generation(1));
    assert_eq!(scanned(&snapshot, &Request::get("h", "/").header("x", "b").header("y", "aa")), (Some(1), 3));
    assert_eq!(snapshot.regexes().expressions, 1, "one automaton serves both");
}

#[test]
fn snapshots_and_workers_share_an_automaton_that_was_built_once() {
    let library = Library::default();
    let rules = with_rules(vec![rule(vec![regex("/a+")])]);
    let expression = library.get("/a+");
    let first = compile_from(&library, &rules, Generation(1), None);
    let built = Arc::as_ptr(expression.known().expect("compiling built it").as_ref().unwrap());
    let second = compile_from(&library, &rules, Generation(2), None);
    let again = Arc::as_ptr(library.get("/a+").known().unwrap().as_ref().unwrap());
    assert_eq!(built, again);
    assert_eq!(first.regexes(), second.regexes());
    assert!(first.regexes().bytes > 0);
}
