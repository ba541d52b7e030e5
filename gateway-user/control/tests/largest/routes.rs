//! HTTPRoutes: paths, conditions, filters, hostnames, numbers of them.

use std::cell::Cell;

use gateway_ir::{ObjectName, RouteId, RouteKind};
use gateway_snapshot::{Action, FieldLines, RequestView, WorkerRegexes};
use serde_json::{Value, json};

use crate::pipeline::Pipeline;
use crate::world::{base, hosts, long, route, service, slice};
use crate::{KIB, MIB};

/// The most matches that a route may have.
const MATCHES: usize = 127;

/// The largest number of matches, in as few rules as they fit into.
fn rules(matches: impl Fn(usize) -> Value) -> Vec<Value> {
    let matches: Vec<_> = (0..MATCHES).map(matches).collect();
    let rule = |matches: &[Value]| json!({"matches": matches, "backendRefs": [{"name": "web", "port": 80}]});
    matches.chunks(64).map(rule).collect()
}

/// So many listeners, and these routes of one tenant.
fn world(listeners: usize, routes: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let mut objects = base(listeners);
    objects.extend([service("loud", "web", &[80]), slice("loud", "web", 0, 1)]);
    objects.extend(routes);
    objects
}

fn path(type_: &str, path: String) -> Value {
    json!({"path": {"type": type_, "value": path}})
}

/// 511 elements.
fn many_elements(number: usize) -> Value {
    path("PathPrefix", format!("/{number:03}{}", "/a".repeat(510)))
}

fn id(name: &str) -> RouteId {
    RouteId { kind: RouteKind::HTTPRoute, object: ObjectName::new("loud", name) }
}

/// Sixteen hosts on 64 listeners: 1,024 tables of 127 prefixes, which were 7 MiB each.
#[test]
fn a_route_on_every_host_of_every_listener_is_compiled_once() {
    let (mut pipeline, cost) = Pipeline::new(world(64, [route(0, &hosts(16), &rules(many_elements))]));
    assert!(cost.input > 130_000);
    // So is the search for rules that no request reaches, which was 96 MB.
    assert!(cost.kept() < 2 * MIB && cost.asked() < 6 * MIB, "{cost:?}");
    pipeline.assert_edit_costs(MIB);
}

/// Sixteen notes with a path of a kibibyte for each of 1,024 hosts of listeners, which were 20 MB.
#[test]
fn rules_that_are_never_reached_are_told_of_once_however_many_hosts_and_listeners_have_them() {
    let equal = path("PathPrefix", format!("/{}", long(0, 1_000)));
    let rule = json!({"matches": [equal, equal], "backendRefs": [{"name": "web", "port": 80}]});
    let (mut pipeline, cost) = Pipeline::new(world(64, [route(0, &hosts(16), &vec![rule; 16])]));
    assert_eq!(pipeline.translation.hosts.unreachable_rules, 16 * 16 * 64);
    assert!(cost.kept() < 2 * MIB && cost.asked() < 8 * MIB, "{cost:?}");
    pipeline.assert_edit_costs(MIB);
}

/// As many tables as there are hosts and listeners, since a small route on each makes it unlike the others.
#[test]
fn long_paths_are_in_memory_once_however_many_tables_name_them() {
    for kind in ["PathPrefix", "Exact"] {
        let long = |number| match kind {
            "PathPrefix" => many_elements(number),
            _ => path(kind, format!("/{}", long(number, 1_023))),
        };
        let mut routes = vec![route(0, &hosts(4), &rules(long))];
        for (n, host) in hosts(4).into_iter().enumerate() {
            routes.push(route(n + 1, &[host], &[json!({"matches": [path("Exact", format!("/{n}"))]})]));
        }
        let (mut pipeline, cost) = Pipeline::new(world(1, routes));
        // Four tables of 127 entries; a copy of each path in each would be 520 KiB, a node for each element
        // 28 MiB.
        assert!(cost.compile.kept < 700 << 10, "{kind}: {cost:?}");
        pipeline.assert_edit_costs(256 * KIB);
    }
}

/// A megabyte of conditions, on 128 hosts.
#[test]
fn conditions_are_in_memory_once() {
    let headers = |n: usize| -> Vec<Value> {
        let name = |h: usize| json!({"name": format!("x-{h}"), "value": long(n * 16 + h, 400)});
        (0..16).map(name).collect()
    };
    let query: Vec<_> = (0..16).map(|n| json!({"name": format!("q{n}"), "value": long(n, 100)})).collect();
    let matches = |n| json!({"headers": headers(n), "queryParams": query});
    let (mut pipeline, cost) = Pipeline::new(world(8, [route(0, &hosts(16), &rules(matches))]));
    assert!(cost.input > MIB as usize);
    assert!(cost.kept() < 4 * MIB && cost.asked() < 8 * MIB, "{cost:?}");
    pipeline.assert_edit_costs(256 * KIB);
}

/// 1.3 MB of header changes before sixteen backends with one of their own each: they were 22 MiB.
#[test]
fn header_changes_of_a_rule_are_not_copied_for_each_backend() {
    let changes = |kind: &str| -> Vec<Value> {
        (0..16).map(|n| json!({"name": format!("{kind}-{n}"), "value": long(n, 4_096)})).collect()
    };
    let modify = || json!({"set": changes("s"), "add": changes("a")});
    let filters = json!([
        {"type": "RequestHeaderModifier", "requestHeaderModifier": modify()},
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": modify()}]);
    let own = |n: usize| json!([{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "n", "value": n.to_string()}]}}]);
    let backends: Vec<_> = (0..16).map(|n| json!({"name": "web", "port": 80, "filters": own(n)})).collect();
    let rule = |n: usize| json!({"matches": [path("PathPrefix", format!("/{n}"))], "filters": filters, "backendRefs": backends});
    let rules: Vec<_> = (0..5).map(rule).collect();
    let (mut pipeline, cost) = Pipeline::new(world(1, [route(0, &hosts(1), &rules)]));
    assert!(cost.input > 1_300_000);
    assert!(cost.compile.kept < 3 << 20 && cost.compile.asked < 4 * MIB, "{cost:?}");
    pipeline.assert_edit_costs(256 * KIB);
}

/// Every header change is a mistake: notes on each of them were copied to each of 32 parents' messages.
#[test]
fn mistakes_without_number_are_told_in_bounded_messages() {
    let names: Vec<_> = (0..16).map(|_| json!({"name": "te", "value": "x"})).collect();
    let filters = json!([
        {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": names, "add": names}},
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": names, "add": names}}]);
    let backends: Vec<_> = (0..16).map(|_| json!({"name": "web", "port": 80, "filters": filters})).collect();
    let rule = |n: usize| json!({"matches": [path("PathPrefix", format!("/{n}"))], "filters": filters, "backendRefs": backends});
    let rules: Vec<_> = (0..16).map(rule).collect();
    let mut many = route(0, &hosts(1), &rules);
    let parent = |n: usize| json!({"name": "gw", "namespace": "edge", "sectionName": format!("l{n}")});
    many["spec"]["parentRefs"] = (0..32).map(parent).collect();
    let (mut pipeline, cost) = Pipeline::new(world(32, [many]));
    let status = &pipeline.translation.status.routes[&id("r0")];
    let bytes = serde_json::to_vec(status).unwrap().len();
    assert!(bytes < 300 << 10, "a status of {bytes} bytes");
    let about = |finding: &&gateway_translate::Diagnostic| finding.object.key.namespace == "loud";
    assert_eq!(pipeline.translation.diagnostics.iter().filter(about).count(), 65);
    assert!(cost.asked() < 40 * MIB, "{cost:?}");
    pipeline.assert_edit_costs(MIB);
}

/// 5,000 routes on one host: the neighbour's edit looks at what it touches.
#[test]
fn thousands_of_routes_are_not_gone_through_match_by_match_for_another_ones_edit() {
    let one = |n: usize| {
        let header = json!([{"name": "a", "value": n.to_string()}]);
        let matches: Vec<_> =
            (0..4).map(|m| json!({"path": {"value": format!("/{n}/{m}")}, "headers": header})).collect();
        route(n, &hosts(1), &[json!({"matches": matches, "backendRefs": [{"name": "web", "port": 80}]})])
    };
    let (mut pipeline, cost) = Pipeline::new(world(2, (0..5_000).map(one)));
    assert!(cost.kept() < 48 * MIB, "{cost:?}");
    // Lists of the routes and their findings, a few hundred bytes of each.
    pipeline.assert_edit_costs(12 * MIB);
}

/// Fields that hold for every condition but the last one of each match, counting how often they are searched.
struct Counted(Cell<usize>);

impl FieldLines for Counted {
    fn find(&self, name: &str, from: usize) -> Option<(usize, &[u8])> {
        self.0.set(self.0.get() + 1);
        (from == 0 && name != "last").then_some((0, b"x".as_slice()))
    }
}

/// 50 routes of 127 matches with sixteen conditions each, under one path: 101,600 for each request.
#[test]
fn one_request_meets_a_bounded_number_of_conditions_and_the_oldest_rules_keep_theirs() {
    let header =
        |h: usize| json!({"name": if h == 15 { "last".to_owned() } else { format!("h{h}") }, "value": "x"});
    let headers: Vec<_> = (0..16).map(header).collect();
    let matches = |_| json!({"path": {"value": "/"}, "headers": headers});
    let mut routes: Vec<_> = (0..50).map(|n| route(n, &hosts(1), &rules(matches))).collect();
    for (n, route) in routes.iter_mut().enumerate() {
        // The first ones are the youngest.
        route["metadata"]["creationTimestamp"] = json!(format!("2026-01-01T00:00:{:02}Z", 59 - n));
    }
    let (pipeline, _) = Pipeline::new(world(1, routes));
    let snapshot = pipeline.snapshot.as_deref().unwrap();
    let bind = snapshot.bind("127.0.0.1:8000".parse().unwrap()).unwrap();
    let mut regexes = WorkerRegexes::new(snapshot);
    let fields = Counted(Cell::new(0));
    let mut lookup = |host: &str| {
        let request =
            RequestView { method: b"GET", host: host.as_bytes(), path: b"/", query: None, fields: &fields };
        fields.0.set(0);
        let hit = bind.route(&request, &mut regexes);
        let found = hit.is_ok_and(|hit| !matches!(hit.rule.action, Action::Fail(_)));
        (found, fields.0.get())
    };
    let (found, searches) = lookup("h0.loud.example.com");
    // Each condition that holds is searched twice, since a field may have several lines.
    assert!(!found && searches > 100_000 && searches <= 2 * 65_536, "{searches} of 196,850");
    assert_eq!(lookup("small.example.com"), (true, 0));
    let status = |n: usize| {
        let status = &pipeline.translation.status.routes[&id(&format!("r{n}"))];
        let one = &status.parents[0].conditions[0];
        (one.status.as_str().to_owned(), one.message.clone())
    };
    assert_eq!(status(49).0, "True", "the oldest");
    let (accepted, message) = status(0);
    assert_eq!(accepted, "False", "the youngest");
    assert!(message.contains("65536 are allowed"), "{message}");
    let refused = (0..50).filter(|n| status(*n).0 == "False").count();
    assert_eq!(refused, 50 - 65_536 / (127 * 16));
}
