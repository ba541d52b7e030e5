//! One test for each sentence of the Gateway API about precedence, and the laws of the comparator.

mod support;

use std::cmp::Ordering;
use std::sync::Arc;

use gateway_ir::{Generation, GrpcMatch, HttpRoute, Ir, RouteId, RouteMatch};
use gateway_snapshot::order::{HostRank, PathRank, Rank, precedence};
use gateway_snapshot::{WorkerRegexes, compile};
use proptest::prelude::*;
use proptest::sample::select;
use support::{Request, With, exact, gateway, local, prefix, regex, route, route_id, rule};

/// Which route and rule take a request, as `name/rule`, or the code of the miss.
fn taken(ir: &Ir, request: &Request) -> String {
    let snapshot = compile(ir, Generation(1));
    let mut regexes = WorkerRegexes::new(&snapshot);
    let bind = snapshot.bind(local()).unwrap();
    request.view(|view| match bind.route(view, &mut regexes) {
        Ok(hit) => format!("{}/{}", hit.rule.route.id.object.name, hit.rule.index),
        Err(miss) => miss.code().to_owned(),
    })
}

fn one(name: &str, matching: RouteMatch) -> HttpRoute {
    route(name, None, vec![rule(vec![matching])])
}

/// Two routes on every host; in either order of names the one with `first` must win the request.
fn wins(first: RouteMatch, second: RouteMatch, request: &Request) {
    for (winner, loser) in [("a", "b"), ("b", "a")] {
        let routes = vec![(&[""][..], one(winner, first.clone())), (&[""][..], one(loser, second.clone()))];
        assert_eq!(taken(&gateway("", routes), request), format!("{winner}/0"), "{first:?} over {second:?}");
    }
}

#[test]
fn listeners_match_from_the_most_to_the_least_specific_hostname() {
    let routes = [(&["", "x.com"][..], one("any", prefix("/")))];
    let hostnames = ["", "*.com", "*.example.com", "a.example.com"];
    let mut ir = gateway("", vec![]);
    ir.binds[0].listeners =
        hostnames.map(|hostname| support::listener(&format!("l{hostname}"), hostname, &routes)).into();
    ir.routes.insert(routes[0].1.id.clone(), Arc::new(routes[0].1.clone().into()));
    let snapshot = compile(&ir, Generation(1));
    let mut regexes = WorkerRegexes::new(&snapshot);
    for (host, want) in [
        ("a.example.com", "la.example.com"),
        ("b.example.com", "l*.example.com"),
        ("b.a.example.com", "l*.example.com"),
        ("example.com", "l*.com"),
        ("com", "l"),
    ] {
        let bind = snapshot.bind(local()).unwrap();
        Request::get(host, "/").view(|view| {
            assert_eq!(bind.route(view, &mut regexes).unwrap().listener.id.listener, want, "{host}");
        });
    }
}

#[test]
fn a_listener_takes_its_hosts_from_the_others_even_with_no_route_for_them() {
    let routes = [(&["a.com"][..], one("a", prefix("/only")))];
    let mut ir = gateway("", vec![(&[""][..], one("any", prefix("/")))]);
    ir.binds[0].listeners.push(support::listener("own", "a.com", &routes));
    ir.routes.insert(routes[0].1.id.clone(), Arc::new(routes[0].1.clone().into()));
    assert_eq!(taken(&ir, &Request::get("a.com", "/only")), "a/0");
    assert_eq!(taken(&ir, &Request::get("a.com", "/")), "no_rule_for_path");
    assert_eq!(taken(&ir, &Request::get("b.com", "/")), "any/0");
    ir.binds[0].listeners[1].routes.clear();
    assert_eq!(taken(&ir, &Request::get("a.com", "/")), "no_route_for_host");
    ir.binds[0].listeners.remove(0);
    assert_eq!(taken(&ir, &Request::get("b.com", "/")), "no_listener_for_host");
}

#[test]
fn the_most_characters_in_a_matching_hostname_go_first_whatever_the_path() {
    let ir = gateway(
        "",
        vec![
            (&["a.example.com"], one("exact", prefix("/"))),
            (&["*.example.com"], one("long", exact("/x"))),
            (&["*.com"], one("short", exact("/x").method("GET").with_header("h", "1"))),
            (&[""], one("any", exact("/x"))),
        ],
    );
    for (host, want) in
        [("a.example.com", "exact/0"), ("b.example.com", "long/0"), ("b.com", "short/0"), ("b.net", "any/0")]
    {
        assert_eq!(taken(&ir, &Request::get(host, "/x").header("h", "1")), want, "{host}");
    }
}

#[test]
fn precedence_excludes_nothing_less_specific_hosts_take_what_is_left() {
    let ir = gateway(
        "",
        vec![
            (&["a.example.com"], one("exact", prefix("/a"))),
            (&["*.example.com"], one("wildcard", prefix("/b"))),
            (&[""], one("any", prefix("/c"))),
        ],
    );
    for (path, want) in [("/a", "exact/0"), ("/b", "wildcard/0"), ("/c", "any/0"), ("/d", "no_rule_for_path")]
    {
        assert_eq!(taken(&ir, &Request::get("a.example.com", path)), want, "{path}");
    }
}

#[test]
fn of_identical_intersections_the_more_specific_original_hostname_goes_first() {
    let all = |names: [&str; 4]| {
        let [exact_name, long, short, any] = names;
        gateway(
            "a.example.com",
            vec![
                (&["a.example.com"], one(exact_name, prefix("/a"))),
                (&["*.example.com"], one(long, exact("/a"))),
                (&["*.com"], one(short, exact("/a/b"))),
                (&[""], one(any, exact("/c"))),
            ],
        )
    };
    for names in [["1", "2", "3", "4"], ["4", "3", "2", "1"]] {
        let ir = all(names);
        let [exact_name, _, short, any] = names;
        assert_eq!(taken(&ir, &Request::get("a.example.com", "/a")), format!("{exact_name}/0"));
        assert_eq!(taken(&ir, &Request::get("a.example.com", "/a/b")), format!("{exact_name}/0"));
        assert_eq!(taken(&ir, &Request::get("a.example.com", "/c")), format!("{any}/0"));
        let mut without = ir.clone();
        let routes = &mut without.binds[0].listeners[0].routes;
        let others = routes.clone().into_iter().filter(|(route, _)| *route.object.name != *exact_name);
        *routes = others.collect();
        assert_eq!(taken(&without, &Request::get("a.example.com", "/a/b")), format!("{short}/0"));
    }
}

#[test]
fn paths_go_exact_then_expression_then_longest_prefix() {
    let request = Request::get("h", "/a/b");
    wins(exact("/a/b"), regex("/a/b|longer"), &request);
    wins(exact("/a/b"), prefix("/a/b").method("GET"), &request);
    wins(regex("/a/.|longer"), regex("/a/."), &request);
    wins(regex("/a/."), prefix("/a/b").method("GET"), &request);
    wins(prefix("/a/b"), prefix("/a").method("GET").with_query("q", "1"), &request.clone().query("q=1"));
    wins(prefix("/a"), prefix("/").method("GET"), &request);
}

#[test]
fn a_prefix_with_and_without_its_slash_is_one() {
    let request = Request::get("h", "/a/b");
    wins(prefix("/a").method("GET"), prefix("/a/"), &request);
    wins(prefix("/a/").method("GET"), prefix("/a"), &request);
    for (path, hit) in
        [("/a", true), ("/a/", true), ("/a/b", true), ("/ab", false), ("/A", false), ("/", false)]
    {
        let ir = gateway("", vec![(&[""], one("r", prefix("/a/")))]);
        assert_eq!(taken(&ir, &Request::get("h", path)) == "r/0", hit, "{path}");
    }
}

#[test]
fn then_method_then_headers_then_query_parameters() {
    let request = Request::get("h", "/").header("x", "1").header("y", "1").query("q=1&r=1");
    let plain = || prefix("/");
    wins(plain().method("GET"), plain().with_header("x", "1").with_header("y", "1"), &request);
    wins(plain().with_header("x", "1"), plain().with_query("q", "1").with_query("r", "1"), &request);
    wins(plain().with_header("x", "1").with_header("y", "1"), plain().with_header("x", "1"), &request);
    wins(plain().with_query("q", "1").with_query("r", "1"), plain().with_query("q", "1"), &request);
    wins(plain().with_query("q", "1"), plain(), &request);
    // Only the first of equal names counts, so this is one header.
    wins(
        plain().with_header("x", "1").with_header("y", "1"),
        plain().with_header("x", "1").with_header("X", "2"),
        &request,
    );
}

#[test]
fn ties_go_to_the_oldest_route_and_then_by_name() {
    let aged = |name: &str, created| (&[""][..], route(name, created, vec![rule(vec![prefix("/")])]));
    let request = Request::get("h", "/");
    assert_eq!(taken(&gateway("", vec![aged("a", Some(2)), aged("b", Some(1))]), &request), "b/0");
    assert_eq!(taken(&gateway("", vec![aged("a", None), aged("b", Some(i64::MAX))]), &request), "b/0");
    assert_eq!(taken(&gateway("", vec![aged("b", Some(1)), aged("a", Some(1))]), &request), "a/0");
    assert_eq!(taken(&gateway("", vec![aged("b", None), aged("a", None)]), &request), "a/0");
}

#[test]
fn names_compare_as_namespace_slash_name() {
    let mut longer = route("second", None, vec![rule(vec![prefix("/")])]);
    longer.id = route_id("team1-x", "z");
    // "team1-x/z" is before "team1/a" in the alphabet, though "team1" is before "team1-x".
    let ir = gateway("", vec![(&[""], one("a", prefix("/"))), (&[""], longer)]);
    assert_eq!(taken(&ir, &Request::get("h", "/")), "z/0");
}

#[test]
fn within_a_route_the_first_matching_rule_wins() {
    let rules =
        vec![rule(vec![prefix("/b"), prefix("/a")]), rule(vec![prefix("/a")]), rule(vec![prefix("/a/x")])];
    let ir = gateway("", vec![(&[""], route("r", None, rules))]);
    assert_eq!(taken(&ir, &Request::get("h", "/a")), "r/0");
    assert_eq!(taken(&ir, &Request::get("h", "/a/x")), "r/2");
}

#[test]
fn a_rule_that_asks_for_more_gives_way_when_it_does_not_hold() {
    let ir = gateway(
        "",
        vec![(
            &[""],
            route(
                "r",
                None,
                vec![
                    rule(vec![exact("/a").method("POST")]),
                    rule(vec![prefix("/a").with_header("x", "1")]),
                    rule(vec![prefix("/").with_query("q", "1")]),
                ],
            ),
        )],
    );
    let get = |path| Request::get("h", path);
    assert_eq!(taken(&ir, &get("/a").header("x", "1")), "r/1");
    assert_eq!(taken(&ir, &get("/a").query("q=1")), "r/2");
    assert_eq!(taken(&ir, &get("/a").header("x", "2")), "query_mismatch");
    assert_eq!(taken(&ir, &get("/b")), "query_mismatch");
}

/// "Characters in a matching service", then "in a matching method", then headers (`GRPCRouteRule.matches`).
#[test]
fn grpc_calls_go_by_service_then_by_method() {
    let call = |matching: RouteMatch, method: Option<&str>| {
        let grpc = Some(GrpcMatch { method: method.map(str::to_owned) });
        rule(vec![RouteMatch { grpc, ..matching }])
    };
    let rules = vec![
        call(prefix("/"), None),
        call(prefix("/").with_header("x", "1"), None),
        call(prefix("/"), Some("Get")),
        call(prefix("/a.B"), None),
        call(exact("/a.B/Get"), None),
    ];
    let web =
        route("web", None, vec![rule(vec![prefix("/").method("POST")]), rule(vec![prefix("/a.B/Get/x")])]);
    let ir = gateway("", vec![(&[""], route("r", None, rules)), (&[""], web)]);
    let post = |path| Request { method: "POST".into(), ..Request::get("h", path) };
    let call = |path| post(path).header("content-type", "application/grpc+proto");
    assert_eq!(taken(&ir, &call("/a.B/Get")), "r/4");
    assert_eq!(taken(&ir, &call("/a.B/List").header("x", "1")), "r/3");
    assert_eq!(taken(&ir, &call("/c.D/Get").header("x", "1")), "r/2");
    assert_eq!(taken(&ir, &call("/c.D/List").header("x", "1")), "r/1");
    assert_eq!(taken(&ir, &call("/c.D/Get/x")), "r/0", "that is no path of gRPC");
    assert_eq!(taken(&ir, &call("/a.B/Get/x")), "web/1", "paths go first, whatever the kind of route");
    assert_eq!(taken(&ir, &post("/a.B/Get")), "web/0", "it is no call");
    assert_eq!(taken(&ir, &post("/a.B/Get").header("content-type", "application/grpc-web")), "web/0");
    let get = Request { method: "GET".into(), ..call("/c.D/Get") };
    assert_eq!(taken(&ir, &get), "method_mismatch");
}

fn ranks() -> impl Strategy<Value = Rank<'static>> {
    let ids: Vec<RouteId> =
        [("t", "a"), ("t-x", "a"), ("t", "a.b"), ("s", "b")].map(|(a, b)| route_id(a, b)).into();
    let ids: &'static [RouteId] = Box::leak(ids.into());
    let hosts = || {
        select(&["", "a.b", "*.b", "x.a.b", "*.a.b"][..])
            .prop_map(|text| HostRank::of(support::host(text).as_ref()))
    };
    let paths = select(vec![exact("/"), prefix("/"), prefix("/a"), prefix("/a/"), regex("/"), regex("/a")]);
    let paths = paths.prop_map(|matching| PathRank::of(&matching.path));
    let counts = (any::<bool>(), 0..2usize, 0..2usize, 0..2usize);
    let ties = (proptest::option::of(0..2i64), (0..ids.len()).prop_map(|at| &ids[at]), 0..2usize, 0..2usize);
    (hosts(), hosts(), paths, counts, ties).prop_map(
        |(
            effective,
            original,
            path,
            (method, grpc_method, headers, query),
            (created, route, rule, position),
        )| Rank {
            effective,
            original,
            path,
            method,
            grpc_method,
            headers,
            query,
            created,
            route,
            rule,
            position,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_comparator_is_a_total_order(a in ranks(), b in ranks(), c in ranks()) {
        prop_assert_eq!(precedence(&a, &a), Ordering::Equal);
        prop_assert_eq!(precedence(&a, &b), precedence(&b, &a).reverse());
        let mut sorted = [a, b, c];
        sorted.sort_by(precedence);
        prop_assert_ne!(precedence(&sorted[0], &sorted[1]), Ordering::Greater);
        prop_assert_ne!(precedence(&sorted[1], &sorted[2]), Ordering::Greater);
        prop_assert_ne!(precedence(&sorted[0], &sorted[2]), Ordering::Greater);
        if precedence(&a, &b) == Ordering::Equal {
            prop_assert_eq!(precedence(&a, &c), precedence(&b, &c));
            prop_assert_eq!((a.route, a.rule, a.position), (b.route, b.rule, b.position));
        }
    }
}
