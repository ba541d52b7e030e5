//! Random routes and requests, drawn from an alphabet so small that nearly everything collides.

use std::net::SocketAddr;
use std::sync::Arc;

use gateway_ir::{
    BindAddress, GrpcMatch, HeaderMatch, HttpRoute, HttpRule, Ir, PathMatch, QueryMatch, RouteMatch,
    StringMatch,
};
use gateway_snapshot::{Action, Progress, RouteHit, RouteMiss, Snapshot, WorkerRegexes};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::rival::Outcome;
use super::{Request, bind, listener, route_id, rule};

pub const HOSTNAMES: [&str; 8] = ["", "a.b", "b", "x.a.b", "*.b", "*.a.b", "*.c", "*.x.a.b"];
const HOSTS: [&str; 10] = ["a.b", "a.b", "x.a.b", "x.a.b", "y.x.a.b", "y.a.b", "b", "x.c", "", "10.0.0.1"];
const PATHS: [&str; 14] =
    ["/", "/", "/", "/a", "/a", "/a/", "/a/b", "/a/b", "/a/b/", "/ab", "/a/b/c", "/a//b", "//", "/a/%E9"];
/// Paths that only routes have: requests come in one normal form.
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
const CONTENT_TYPES: [&str; 3] = ["application/grpc", "application/grpc+proto", "application/grpc-web"];
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
    let grpc = option::of(select(&["a", "b"][..]));
    let grpc = option::weighted(0.2, grpc.prop_map(|method| GrpcMatch { method: method.map(str::to_owned) }));
    (path(), method, headers, params, grpc).prop_map(|(path, method, headers, query, grpc)| RouteMatch {
        path,
        // A gRPC call has one method.
        method: method.filter(|_| grpc.is_none()).map(str::to_owned),
        grpc,
        headers: headers.into_iter().map(|(name, value)| HeaderMatch { name: name.into(), value }).collect(),
        query: query.into_iter().map(|(name, value)| QueryMatch { name: name.into(), value }).collect(),
    })
}

pub fn rules() -> impl Strategy<Value = Vec<HttpRule>> {
    vec(vec(matching(), 0..5).prop_map(rule), 1..4)
}

/// Routes of one age or another on up to three hostnames, some in namespaces whose names sort around the `/`.
pub fn routes() -> impl Strategy<Value = Vec<(Vec<&'static str>, HttpRoute)>> {
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

pub fn irs() -> impl Strategy<Value = Ir> {
    let hostnames = || prop_oneof![Just(vec![""]), subsequence(HOSTNAMES.to_vec(), 1..4)];
    (hostnames(), option::of(hostnames()), routes()).prop_map(|(any, own, routes)| {
        let routes: Vec<_> = routes.into_iter().map(|(hosts, route)| (hosts, Arc::new(route))).collect();
        ir(&any, own.as_deref(), &routes)
    })
}

/// Port 80 with a listener for each of these hostnames, on every address and, if asked for, on 10.0.0.1.
pub fn ir(any: &[&str], own: Option<&[&str]>, routes: &[(Vec<&str>, Arc<HttpRoute>)]) -> Ir {
    let attached: Vec<_> =
        routes.iter().map(|(hosts, route)| (hosts.as_slice(), (**route).clone())).collect();
    let listeners = |hostnames: &[&str]| {
        let numbered = hostnames.iter().enumerate();
        numbered.map(|(at, hostname)| listener(&format!("l{at}"), hostname, &attached)).collect()
    };
    let mut ir = Ir { binds: vec![bind(BindAddress::Any, 80, listeners(any))], ..Ir::default() };
    if let Some(own) = own {
        ir.binds.push(bind(BindAddress::Ip([10, 0, 0, 1].into()), 80, listeners(own)));
    }
    ir.routes =
        routes.iter().map(|(_, route)| (route.id.clone(), Arc::new((**route).clone().into()))).collect();
    ir
}

pub fn requests() -> impl Strategy<Value = (SocketAddr, Request)> {
    let local = select(&LOCALS[..]).prop_map(|text| text.parse().unwrap());
    let header = (select(&["x", "y", "X"][..]), select(&VALUES[..]));
    let headers = vec(header.prop_map(|(name, value)| (name.to_owned(), value.to_owned())), 0..3);
    let content_type = option::weighted(0.3, select(&CONTENT_TYPES[..]));
    let headers = (headers, content_type).prop_map(|(mut headers, value)| {
        headers.extend(value.map(|value| ("Content-Type".to_owned(), value.to_owned())));
        headers
    });
    let query = option::of(select(&QUERIES[..]));
    let line = (select(&["GET", "GET", "POST", "get"][..]), select(&HOSTS[..]), select(&PATHS[..]));
    (local, line, query, headers).prop_map(|(local, (method, host, path), query, headers)| {
        let query = query.map(str::to_owned);
        (local, Request { method: method.into(), host: host.into(), path: path.into(), query, headers })
    })
}

/// The tables' outcome for a request.
pub fn from_tables(
    snapshot: &Snapshot,
    regexes: &mut WorkerRegexes,
    local: SocketAddr,
    request: &Request,
) -> Outcome {
    let Some(bind) = snapshot.bind(local) else { return Outcome::NotServed };
    request.view(|view| said(bind.route(view, regexes)))
}

/// The same with a pause after each expression, in which the worker looks `other` up.
pub fn from_tables_in_steps(
    snapshot: &Snapshot,
    regexes: &mut WorkerRegexes,
    local: SocketAddr,
    request: &Request,
    other: &Request,
) -> Outcome {
    let Some(bind) = snapshot.bind(local) else { return Outcome::NotServed };
    let mut progress = Progress::new(1);
    request.view(|view| {
        loop {
            if let Some(result) = bind.route_step(view, regexes, &mut progress) {
                return said(result);
            }
            other.view(|view| bind.route(view, regexes).is_ok());
        }
    })
}

fn said(result: Result<RouteHit<'_>, RouteMiss>) -> Outcome {
    match result {
        Err(miss) => Outcome::Miss(miss.code()),
        Ok(hit) => Outcome::Hit {
            listener: hit.listener.id.clone(),
            route: hit.rule.route.id.clone(),
            rule: hit.rule.index as usize,
            position: hit.match_index as usize,
            matched_len: hit.matched_len,
            fails: matches!(hit.rule.action, Action::Fail(_)),
        },
    }
}
