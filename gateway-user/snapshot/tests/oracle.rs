//! The tables against a slow rival written from the specification's text, on random routes and requests drawn from an
//! alphabet so small that nearly everything collides.

mod support;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;

use gateway_ir::{
    BindAddress, Generation, HeaderMatch, HttpRoute, HttpRule, Ir, PathMatch, QueryMatch, RouteMatch,
    StringMatch,
};
use gateway_snapshot::{Action, Snapshot, WorkerRegexes, compile};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use support::rival::{Answer, answer};
use support::{Request, bind, listener, route_id, rule};

/// Random Irs, and requests to each: 24,000 comparisons.
const IRS: u32 = 1_500;
const REQUESTS: usize = 16;

const HOSTNAMES: [&str; 8] = ["", "a.b", "b", "x.a.b", "*.b", "*.a.b", "*.c", "*.x.a.b"];
const HOSTS: [&str; 10] = ["a.b", "a.b", "x.a.b", "x.a.b", "y.x.a.b", "y.a.b", "b", "x.c", "", "10.0.0.1"];
const PATHS: [&str; 14] =
    ["/", "/", "/", "/a", "/a", "/a/", "/a/b", "/a/b", "/a/b/", "/ab", "/a/b/c", "/a//b", "//", "/a/%E9"];
/// Paths that only routes have: requests come in one spelling.
const SPELLINGS: [&str; 4] = ["/%61", "/%61/b", "/a/%e9", "/%61/"];
const EXPRESSIONS: [&str; 6] = ["/a.*", "/[ab]", "/a/b|/b", "(", "a)|(.*", "/(a|b)/.*"];
const LOCALS: [&str; 8] = [
    "10.0.0.1:80",
    "10.0.0.1:80",
    "10.0.0.1:80",
    "127.0.0.1:80",
    "127.0.0.1:80",
    "127.0.0.1:80",
    "[::1]:80",
    "10.0.0.1:81",
];
const VALUES: [&str; 4] = ["1", "2", "1,2", "a b"];
const VALUE_EXPRESSIONS: [&str; 4] = ["1|2", "[0-9,]+", "a.b", "("];
const QUERIES: [&str; 11] = [
    "",
    "q=1",
    "q=2&q=1",
    "q=a+b",
    "q=a%20b&r%20s=1",
    "r+s=2&q=1",
    "q",
    "&&q=1&",
    "q=%31",
    "Q=1",
    "q=1%2C2&q=2",
];

/// How often each outcome was compared: a generator that no longer reaches one would go unnoticed otherwise.
#[derive(Debug, Default)]
struct Seen {
    hits: usize,
    /// Hits for which more than one match held.
    contested: usize,
    /// Hits of rules with an invalid expression.
    failing: usize,
    misses: [usize; 6],
}

fn path() -> impl Strategy<Value = PathMatch> {
    prop_oneof![
        3 => select(&PATHS[..]).prop_map(|path| PathMatch::Exact(path.into())),
        1 => select(&SPELLINGS[..]).prop_map(|path| PathMatch::Exact(path.into())),
        1 => select(&SPELLINGS[..]).prop_map(|path| PathMatch::Prefix(path.into())),
        6 => select(&PATHS[..]).prop_map(|path| PathMatch::Prefix(path.into())),
        1 => select(&EXPRESSIONS[..]).prop_map(|path| PathMatch::Regex(path.into())),
    ]
}

fn value() -> impl Strategy<Value = StringMatch> {
    prop_oneof![
        5 => select(&VALUES[..]).prop_map(|value| StringMatch::Exact(value.into())),
        1 => select(&VALUE_EXPRESSIONS[..]).prop_map(|value| StringMatch::Regex(value.into())),
    ]
}

fn matching() -> impl Strategy<Value = RouteMatch> {
    // Mostly none, so that the plain cases stay common.
    let header = || (select(&["x", "y", "X"][..]), value());
    let headers = prop_oneof![2 => vec(header(), 0..1), 1 => vec(header(), 1..3)];
    let param = || (select(&["q", "r s"][..]), value());
    let params = prop_oneof![2 => vec(param(), 0..1), 1 => vec(param(), 1..3)];
    let method = option::weighted(0.3, select(&["GET", "GET", "POST"][..]));
    (path(), method, headers, params).prop_map(|(path, method, headers, query)| RouteMatch {
        path,
        method: method.map(str::to_owned),
        headers: headers.into_iter().map(|(name, value)| HeaderMatch { name: name.into(), value }).collect(),
        query: query.into_iter().map(|(name, value)| QueryMatch { name: name.into(), value }).collect(),
    })
}

fn rules() -> impl Strategy<Value = Vec<HttpRule>> {
    vec(vec(matching(), 0..5).prop_map(rule), 1..4)
}

/// Routes of one age or another on up to three hostnames, some in namespaces whose names sort around the `/`.
fn routes() -> impl Strategy<Value = Vec<(Vec<&'static str>, HttpRoute)>> {
    let names = [("t", "a"), ("t-x", "a"), ("t", "a.b"), ("t", "b"), ("s", "z")];
    let names = subsequence(names.to_vec(), 1..=names.len());
    names.prop_flat_map(|names| {
        let route = |(namespace, name)| {
            let hostnames = prop_oneof![1 => Just(vec![""]), 3 => subsequence(HOSTNAMES[1..].to_vec(), 1..4)];
            (hostnames, option::of(1..3i64), rules()).prop_map(move |(hostnames, created, rules)| {
                (hostnames, HttpRoute { id: route_id(namespace, name), created, rules })
            })
        };
        names.into_iter().map(route).collect::<Vec<_>>()
    })
}

fn irs() -> impl Strategy<Value = Ir> {
    let hostnames = || prop_oneof![Just(vec![""]), subsequence(HOSTNAMES.to_vec(), 1..4)];
    (hostnames(), option::of(hostnames()), routes()).prop_map(|(any, own, routes)| {
        let routes: Vec<_> = routes.iter().map(|(hosts, route)| (hosts.as_slice(), route.clone())).collect();
        let listeners = |hostnames: Vec<&str>| {
            let numbered = hostnames.into_iter().enumerate();
            numbered.map(|(at, hostname)| listener(&format!("l{at}"), hostname, &routes)).collect()
        };
        let mut ir = Ir { binds: vec![bind(BindAddress::Any, 80, listeners(any))], ..Ir::default() };
        if let Some(own) = own {
            ir.binds.push(bind(BindAddress::Ip([10, 0, 0, 1].into()), 80, listeners(own)));
        }
        ir.http_routes = routes.into_iter().map(|(_, route)| (route.id.clone(), Arc::new(route))).collect();
        ir
    })
}

fn requests() -> impl Strategy<Value = (SocketAddr, Request)> {
    let local = select(&LOCALS[..]).prop_map(|text| text.parse().unwrap());
    let header = (select(&["x", "y", "X"][..]), select(&VALUES[..]));
    let headers = vec(header.prop_map(|(name, value)| (name.to_owned(), value.to_owned())), 0..3);
    let query = option::of(select(&QUERIES[..]));
    let line = (select(&["GET", "GET", "POST", "get"][..]), select(&HOSTS[..]), select(&PATHS[..]));
    (local, line, query, headers).prop_map(|(local, (method, host, path), query, headers)| {
        let query = query.map(str::to_owned);
        (local, Request { method: method.into(), host: host.into(), path: path.into(), query, headers })
    })
}

fn from_tables(
    snapshot: &Snapshot,
    regexes: &mut WorkerRegexes,
    local: SocketAddr,
    request: &Request,
) -> Answer {
    let Some(bind) = snapshot.bind(local) else { return Answer::NotServed };
    request.view(|view| match bind.route(view, regexes) {
        Err(miss) => Answer::Miss(miss.code()),
        Ok(hit) => Answer::Hit {
            listener: hit.listener.id.clone(),
            route: hit.rule.route.id.clone(),
            rule: hit.rule.index as usize,
            position: hit.match_index as usize,
            matched_len: hit.matched_len,
            fails: matches!(hit.rule.action, Action::Fail(_)),
        },
    })
}

#[test]
fn tables_agree_with_the_rival() {
    let config = ProptestConfig { cases: IRS, failure_persistence: None, ..ProptestConfig::default() };
    let codes = gateway_snapshot::RouteMiss::ALL.map(|miss| miss.code());
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let seen = RefCell::new(Seen::default());
    runner
        .run(&(irs(), vec(requests(), REQUESTS)), |(ir, requests)| {
            let snapshot = compile(&ir, Generation(1));
            let mut regexes = WorkerRegexes::new(&snapshot);
            for (local, request) in &requests {
                let found = from_tables(&snapshot, &mut regexes, *local, request);
                let (want, contenders) = answer(&ir, *local, request);
                prop_assert_eq!(&found, &want, "{:?} to {}", request, local);
                let mut seen = seen.borrow_mut();
                match found {
                    Answer::NotServed => {}
                    Answer::Miss(code) => {
                        let at = codes.iter().position(|known| *known == code);
                        seen.misses[at.expect("every code is in the list of all")] += 1;
                    }
                    Answer::Hit { fails, .. } => {
                        seen.hits += 1;
                        seen.contested += usize::from(contenders > 1);
                        seen.failing += usize::from(fails);
                    }
                }
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    let seen = seen.into_inner();
    assert!(seen.hits > 5_000 && seen.contested > 3_000 && seen.failing > 500, "{seen:?}");
    assert!(seen.misses.iter().all(|count| *count > 200), "{seen:?}");
}
