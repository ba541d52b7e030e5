//! Tables that are compiled from whole and from broken Irs, and the table that a connection gets.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use gateway_ir::{
    Action as IrAction, BindAddress, ClusterKey, Filter, Generation, HeaderChange, HeaderMatch, HeaderMod,
    HttpRule, Ir, ObjectName, PathRewrite, QueryMatch, RouteMatch, RuleErrorKind, StringMatch,
    WeightedBackend, WeightedTarget,
};
use gateway_snapshot::{Action, Destination, FieldEdit, RouteMiss, Rule, Snapshot, WorkerRegexes, compile};
use support::{Request, With as _, bind, exact, gateway, listener, local, prefix, regex, route, rule};

fn find(snapshot: &Snapshot, request: &Request) -> Result<Arc<Rule>, RouteMiss> {
    let mut regexes = WorkerRegexes::new(snapshot);
    let bind = snapshot.bind(local()).unwrap();
    request.view(|view| bind.route(view, &mut regexes).map(|hit| Arc::clone(hit.rule)))
}

fn with_rules(rules: Vec<HttpRule>) -> Snapshot {
    compile(&gateway("", vec![(&[""], route("r", None, rules))]), Generation(7))
}

/// The kind and text of the failure that a request to `path` runs into.
fn failure(snapshot: &Snapshot, request: &Request) -> (RuleErrorKind, String) {
    match &find(snapshot, request).unwrap().action {
        Action::Fail(failure) => (failure.kind, failure.message.clone()),
        other => panic!("{request:?} should fail, and gets {other:?}"),
    }
}

fn backend(weight: u32, name: &str, filters: Vec<Filter>) -> WeightedBackend {
    let key = ClusterKey::new(ObjectName::new("backends", name), 80);
    WeightedBackend { weight, target: WeightedTarget::Cluster(key), filters }
}

fn set_header(name: &str, value: &str) -> Filter {
    let set = vec![HeaderChange { name: name.into(), value: value.into() }];
    Filter::RequestHeaders(HeaderMod { set, ..HeaderMod::default() })
}

#[test]
fn an_exact_address_wins_over_any_address() {
    let port = |address: &str| BindAddress::Ip(address.parse().unwrap());
    let listeners = |name: &str| vec![listener(name, "", &[])];
    let ir = Ir {
        binds: vec![
            bind(BindAddress::Any, 80, listeners("any")),
            bind(port("10.0.0.1"), 80, listeners("v4")),
            bind(port("::ffff:10.0.0.2"), 80, listeners("mapped")),
            bind(port("2001:db8::1"), 80, listeners("v6")),
            bind(port("10.0.0.1"), 8080, listeners("other-port")),
        ],
        ..Ir::default()
    };
    let snapshot = compile(&ir, Generation(7));
    for (local, want) in [
        ("10.0.0.1:80", Some("v4")),
        ("[::ffff:10.0.0.1]:80", Some("v4")),
        ("10.0.0.2:80", Some("mapped")),
        ("10.0.0.3:80", Some("any")),
        ("[2001:db8::1]:80", Some("v6")),
        ("[2001:db8::2]:80", Some("any")),
        ("10.0.0.1:8080", Some("other-port")),
        ("10.0.0.2:8080", None),
        ("10.0.0.1:81", None),
    ] {
        let found = snapshot.bind(local.parse::<SocketAddr>().unwrap());
        let name = found.map(|bind| bind.listeners().next().unwrap().id.listener.as_str());
        assert_eq!(name, want, "{local}");
    }
    assert_eq!(snapshot.binds().count(), 5);
    assert_eq!(snapshot.generation(), Generation(7));
}

#[test]
fn binds_with_the_same_listeners_share_their_tables() {
    let routes = [(&[""][..], route("r", None, vec![rule(vec![prefix("/")])]))];
    let ip = |last: u8| BindAddress::Ip([10, 0, 0, last].into());
    let binds = [1, 2].map(|last| bind(ip(last), 80, vec![listener("http", "", &routes)]));
    let ir = Ir { binds: binds.into(), ..Ir::default() };
    let snapshot = compile(&ir, Generation(1));
    let info = |text: &str| {
        let bind = snapshot.bind(text.parse::<SocketAddr>().unwrap()).unwrap();
        Arc::clone(bind.listeners().next().unwrap())
    };
    assert!(Arc::ptr_eq(&info("10.0.0.1:80"), &info("10.0.0.2:80")));
    assert_eq!((&*info("10.0.0.1:80").text, info("10.0.0.1:80").port), ("ingress/shared/http", 80));
}

#[test]
fn clusters_are_numbered_in_order_and_once() {
    let forward = |names: &[&str]| HttpRule {
        action: IrAction::Forward(names.iter().map(|name| backend(1, name, vec![])).collect()),
        ..rule(vec![prefix(&format!("/{}", names[0]))])
    };
    let snapshot = with_rules(vec![forward(&["b", "a"]), forward(&["c", "b"])]);
    let names: Vec<_> = snapshot.clusters().iter().map(|key| &*key.service.name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let rule = find(&snapshot, &Request::get("h", "/c")).unwrap();
    let Action::Forward(picker) = &rule.action else { panic!("{rule:?}") };
    let targets = picker.targets().map(|(_, target)| match &target.destination {
        Destination::Cluster(id) => snapshot.cluster(*id).unwrap().service.name.to_string(),
        Destination::Fail(failure) => panic!("{failure:?}"),
    });
    assert_eq!(targets.collect::<Vec<_>>(), ["c", "b"]);
}

#[test]
fn a_rule_outlives_its_snapshot() {
    let named = HttpRule { name: Some("first".into()), ..rule(vec![prefix("/a/")]) };
    let rule = find(&with_rules(vec![named]), &Request::get("h", "/a/b")).unwrap();
    assert_eq!((&*rule.route.text, rule.index, rule.name.as_deref()), ("team1/r", 0, Some("first")));
    assert_eq!(rule.path_pattern(0), "/a/");
}

#[test]
fn another_snapshots_expressions_give_the_right_answer_all_the_same() {
    let old = with_rules(vec![rule(vec![regex("/old")]), rule(vec![regex("/both")])]);
    let new = with_rules(vec![rule(vec![regex("/both")]), rule(vec![regex("/new")])]);
    let mut regexes = WorkerRegexes::new(&old);
    for (snapshot, path, want) in
        [(&new, "/new", Some(1)), (&new, "/both", Some(0)), (&new, "/old", None), (&old, "/both", Some(1))]
    {
        let bind = snapshot.bind(local()).unwrap();
        let found = Request::get("h", path)
            .view(|view| bind.route(view, &mut regexes).ok().map(|hit| hit.rule.index));
        assert_eq!(found, want, "{path}");
    }
}

#[test]
fn an_invalid_expression_breaks_its_rule_and_no_other() {
    let invalid_value = || StringMatch::Regex("[".into());
    let header = HeaderMatch { name: "x".into(), value: invalid_value() };
    let param = QueryMatch { name: "q".into(), value: invalid_value() };
    let snapshot = with_rules(vec![
        rule(vec![regex("/(a"), exact("/whole")]),
        rule(vec![RouteMatch { headers: vec![header], ..prefix("/") }]),
        rule(vec![RouteMatch { query: vec![param], ..prefix("/") }]),
        rule(vec![prefix("/")]),
    ]);
    let get = |path| Request::get("h", path);
    for (request, place) in [
        (get("/whole"), "rules[0].matches[0].path"),
        (get("/b").header("x", "any"), "rules[1].matches[0].headers[0]"),
        (get("/b").query("q=any"), "rules[2].matches[0].queryParams[0]"),
    ] {
        let (kind, message) = failure(&snapshot, &request);
        assert_eq!(kind, RuleErrorKind::InvalidRule);
        assert!(message.starts_with(&format!("HTTPRoute team1/r: {place}: ")), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
    for request in [get("/(a"), get("/a"), get("/b").header("y", "1").query("r=1")] {
        assert_eq!(find(&snapshot, &request).unwrap().index, 3, "{request:?}");
    }
}

#[test]
fn filters_that_cannot_be_sent_break_their_rule_or_their_backend() {
    let bad = || set_header("a", "1\r\nb: 2");
    let backends = vec![backend(1, "good", vec![set_header("b", "2")]), backend(1, "bad", vec![bad()])];
    let snapshot = with_rules(vec![
        HttpRule { filters: vec![bad()], ..rule(vec![prefix("/rule")]) },
        HttpRule {
            filters: vec![set_header("a", "1")],
            action: IrAction::Forward(backends),
            ..rule(vec![prefix("/backend")])
        },
    ]);
    let (kind, message) = failure(&snapshot, &Request::get("h", "/rule"));
    assert_eq!(kind, RuleErrorKind::InvalidRule);
    assert!(message.contains("rules[0].filters"), "{message}");

    let rule = find(&snapshot, &Request::get("h", "/backend")).unwrap();
    let Action::Forward(picker) = &rule.action else { panic!("{rule:?}") };
    let (good, bad) = (picker.pick(0), picker.pick(u64::MAX));
    assert!(matches!(good.destination, Destination::Cluster(_)));
    assert_eq!(good.filters.request.iter().map(FieldEdit::name).collect::<Vec<_>>(), ["a", "b"]);
    let Destination::Fail(failure) = &bad.destination else { panic!("{bad:?}") };
    assert!(failure.message.contains("rules[1].backendRefs[1].filters"), "{}", failure.message);
}

#[test]
fn a_rule_without_a_backend_of_any_weight_fails() {
    let forward = |backends| HttpRule { action: IrAction::Forward(backends), ..rule(vec![prefix("/")]) };
    for backends in [vec![], vec![backend(0, "a", vec![]), backend(0, "b", vec![])]] {
        let (kind, message) = failure(&with_rules(vec![forward(backends)]), &Request::get("h", "/"));
        assert_eq!(kind, RuleErrorKind::NoBackend, "{message}");
    }
}

#[test]
fn a_backend_without_filters_shares_the_rules() {
    let rewrite = Filter::UrlRewrite { host: None, path: Some(PathRewrite::Prefix("/".into())) };
    let rule = HttpRule { filters: vec![rewrite], ..rule(vec![prefix("/a")]) };
    let rule = find(&with_rules(vec![rule]), &Request::get("h", "/a")).unwrap();
    let Action::Forward(picker) = &rule.action else { panic!("{rule:?}") };
    assert!(Arc::ptr_eq(&picker.pick(0).filters, &rule.filters));
}

#[test]
fn an_attached_route_that_is_not_there_is_left_out() {
    let mut ir = gateway("", vec![(&[""], route("r", None, vec![rule(vec![prefix("/")])]))]);
    ir.routes.clear();
    let found = find(&compile(&ir, Generation(1)), &Request::get("h", "/"));
    assert_eq!(found.unwrap_err(), RouteMiss::NoRouteForHost);
}

#[test]
fn hostile_lengths_are_looked_up_like_others() {
    let ir = gateway(
        "",
        vec![(
            &["*.example.com"],
            route("r", None, vec![rule(vec![prefix("/a/b").clone()]), rule(vec![exact("/q")])]),
        )],
    );
    let snapshot = compile(&ir, Generation(1));
    let dots = format!("{}.example.com", ".".repeat(50_000));
    let slashes = format!("/a/b{}", "/".repeat(50_000));
    assert_eq!(find(&snapshot, &Request::get(&dots, &slashes)).unwrap().index, 0);
    assert_eq!(find(&snapshot, &Request::get(&dots, &slashes[4..])).unwrap_err(), RouteMiss::NoRuleForPath);
    let dots = ".".repeat(50_000);
    assert_eq!(find(&snapshot, &Request::get(&dots, "/")).unwrap_err(), RouteMiss::NoRouteForHost);
}

#[test]
fn a_host_knows_the_underscore_names_of_its_own_routes() {
    let mut setting = rule(vec![prefix("/set")]);
    setting.filters = vec![set_header("Trace_Id", "1")];
    setting.action = IrAction::Forward(vec![backend(1, "echo", vec![set_header("tenant_id", "2")])]);
    let exact_host = route("exact", None, vec![rule(vec![prefix("/").with_header("api_key", "k")]), setting]);
    let wildcard = route("wildcard", None, vec![rule(vec![prefix("/").with_header("wild_card", "w")])]);
    let other = route(
        "other",
        None,
        vec![rule(vec![prefix("/").with_header("other_key", "o").with_header("x-a", "1")])],
    );
    let all = |routes| compile(&gateway("", routes), Generation(1));
    let snapshot = all(vec![
        (&["a.example"], exact_host.clone()),
        (&["*.example"], wildcard.clone()),
        (&["b.test"], other.clone()),
    ]);
    let names = ["api_key", "trace_id", "tenant_id", "wild_card", "other_key", "x_a"];
    let known = |snapshot: &Snapshot, host: &str| {
        let bind = snapshot.bind(local()).unwrap();
        names
            .into_iter()
            .filter(|name| bind.knows_underscored(host.as_bytes(), name.to_uppercase().as_bytes()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        known(&snapshot, "a.example"),
        ["api_key", "trace_id", "tenant_id", "wild_card"],
        "less specific hosts too"
    );
    assert_eq!(known(&snapshot, "c.example"), ["wild_card"]);
    assert_eq!(known(&snapshot, "b.test"), ["other_key"]);
    assert!(known(&snapshot, "nobody.test").is_empty());
    let fewer = gateway("", vec![(&["*.example"], wildcard), (&["b.test"], other)]);
    let fewer = gateway_snapshot::compile_with(&fewer, Generation(2), Some(&snapshot));
    assert_eq!(known(&fewer, "a.example"), ["wild_card"], "with the route its names go");
}
