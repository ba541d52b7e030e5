//! Parts that one snapshot takes over from another, compared by address.

use std::net::SocketAddr;
use std::sync::Arc;

use gateway_ir::{
    Action, AttachedRoutes, Bind, BindAddress, ClusterKey, Generation, Hostname, HttpRoute, HttpRule, Ir,
    Listener, ListenerId, ListenerSettings, MatchHostname, ObjectName, PathMatch, RouteId, RouteKind,
    RouteMatch, Serve, Timeouts, WeightedBackend, WeightedTarget,
};

use super::{compile, compile_with};
use crate::snapshot::{HostTable, ListenerTable};
use crate::{Rule, Snapshot};

fn rule(path: PathMatch, cluster: &str) -> HttpRule {
    let key = ClusterKey::new(ObjectName::new("t", cluster), 80);
    let backend = WeightedBackend { weight: 1, target: WeightedTarget::Cluster(key), filters: Vec::new() };
    HttpRule {
        name: None,
        matches: vec![RouteMatch { path, ..RouteMatch::default() }],
        filters: Vec::new(),
        action: Action::Forward(vec![backend]),
        timeouts: Timeouts::default(),
        retry: None,
    }
}

fn prefix(path: &str, cluster: &str) -> HttpRule {
    rule(PathMatch::Prefix(path.into()), cluster)
}

/// Routes by name, each on one host, on a listener at port 80 and one at port 81.
fn ir(routes: &[(&str, &str, Vec<HttpRule>)]) -> Ir {
    let mut ir = Ir::default();
    let mut attached = AttachedRoutes::new();
    for (name, host, rules) in routes {
        let id = RouteId { kind: RouteKind::HTTPRoute, object: ObjectName::new("t", *name) };
        let route = HttpRoute { id: id.clone(), created: None, rules: rules.clone() };
        ir.routes.insert(id.clone(), Arc::new(route.into()));
        let hostname = Hostname::parse(host).ok();
        let hostnames = [MatchHostname { effective: hostname.clone(), original: hostname }].into();
        attached.insert(id, hostnames);
    }
    ir.binds = [80, 81].map(|port| bind(port, attached.clone())).into();
    ir
}

fn bind(port: u16, routes: AttachedRoutes) -> Bind {
    let id = ListenerId::of_gateway(ObjectName::new("t", "gw"), format!("l{port}"));
    let listeners = vec![Listener {
        id,
        hostname: None,
        serve: Serve::Http,
        tls: None,
        backend_certificate: None,
        settings: ListenerSettings::default(),
        routes,
    }];
    Bind { address: BindAddress::Any, port, listeners }
}

fn listener(snapshot: &Snapshot, port: u16) -> &Arc<ListenerTable> {
    let bind = snapshot.bind(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    bind.listeners.all.first().unwrap()
}

fn host<'s>(snapshot: &'s Snapshot, host: &str) -> &'s Arc<HostTable> {
    listener(snapshot, 80).hosts.covering(host.as_bytes()).next().unwrap()
}

fn rules(host: &HostTable) -> Vec<&Arc<Rule>> {
    let mut rules: Vec<_> =
        host.tiers.iter().flat_map(|tier| tier.entries()).map(|entry| &entry.rule).collect();
    rules.sort_by_key(|rule| rule.index);
    rules
}

fn three() -> Vec<(&'static str, &'static str, Vec<HttpRule>)> {
    vec![
        ("a", "a.example", vec![prefix("/", "a")]),
        ("b", "b.example", vec![prefix("/", "b"), prefix("/x", "b")]),
        ("c", "*.example", vec![rule(PathMatch::Regex("/c+".into()), "c")]),
    ]
}

#[test]
fn an_edited_route_costs_its_rules_and_its_host() {
    let old = compile(&ir(&three()), Generation(1));
    let mut routes = three();
    routes[1].2[1] = prefix("/y", "b");
    let new = compile_with(&ir(&routes), Generation(2), Some(&old));
    assert_eq!(new.generation(), Generation(2));
    for untouched in ["a.example", "c.example"] {
        assert!(Arc::ptr_eq(host(&old, untouched), host(&new, untouched)), "{untouched}");
    }
    let (before, after) = (host(&old, "b.example"), host(&new, "b.example"));
    assert!(!Arc::ptr_eq(before, after));
    let same: Vec<bool> =
        rules(before).into_iter().zip(rules(after)).map(|(old, new)| Arc::ptr_eq(old, new)).collect();
    assert_eq!(same, [true, false], "the first rule is as it was");
    assert!(Arc::ptr_eq(&listener(&old, 80).info, &listener(&new, 80).info));
    assert!(Arc::ptr_eq(&old.clusters, &new.clusters) && Arc::ptr_eq(&old.patterns, &new.patterns));
}

#[test]
fn what_is_the_same_is_taken_over_whole() {
    let old = compile(&ir(&three()), Generation(1));
    // Equal routes in other memory, as after a translation from scratch.
    let new = compile_with(&ir(&three()), Generation(2), Some(&old));
    for port in [80, 81] {
        let bind = |snapshot: &Snapshot| {
            Arc::clone(&snapshot.bind(SocketAddr::from(([127, 0, 0, 1], port))).unwrap().listeners)
        };
        assert!(Arc::ptr_eq(&bind(&old), &bind(&new)), "port {port}");
    }
    let mut one = ir(&three());
    one.binds[1].listeners[0].hostname = Hostname::parse("*.example").ok();
    let new = compile_with(&one, Generation(3), Some(&old));
    assert!(Arc::ptr_eq(listener(&old, 80), listener(&new, 80)));
    assert!(!Arc::ptr_eq(listener(&old, 81), listener(&new, 81)), "it has another hostname");
}

#[test]
fn routes_that_come_and_go_touch_their_own_hosts() {
    let old = compile(&ir(&three()), Generation(1));
    let mut routes = three();
    routes.push(("d", "a.example", vec![prefix("/d", "0-new")]));
    let more = compile_with(&ir(&routes), Generation(2), Some(&old));
    assert!(Arc::ptr_eq(host(&old, "b.example"), host(&more, "b.example")));
    assert_eq!(rules(host(&more, "a.example")).len(), 2);
    let names: Vec<_> = more.clusters().iter().map(|key| &*key.service.name).collect();
    assert_eq!(names, ["a", "b", "c", "0-new"], "those that were there keep their numbers");

    routes.remove(2);
    let fewer = compile_with(&ir(&routes), Generation(3), Some(&more));
    assert!(Arc::ptr_eq(host(&more, "a.example"), host(&fewer, "a.example")));
    assert!(listener(&fewer, 80).hosts.covering(b"c.example").next().is_none());
    assert!(!Arc::ptr_eq(&more.patterns, &fewer.patterns), "its expression is gone");

    routes.push(("e", "e.example", vec![prefix("/", "1-newer")]));
    let again = compile_with(&ir(&routes), Generation(4), Some(&fewer));
    let names: Vec<_> = again.clusters().iter().map(|key| &*key.service.name).collect();
    assert_eq!(names, ["a", "b", "1-newer", "0-new"], "a number that was free is taken");
    assert!(Arc::ptr_eq(host(&old, "b.example"), host(&again, "b.example")), "through all of it");
}

#[test]
fn the_next_snapshot_keeps_nothing_else_alive() {
    let old = compile(&ir(&three()), Generation(1));
    let gone = Arc::downgrade(rules(host(&old, "a.example"))[0]);
    let mut routes = three();
    routes.remove(0);
    let new = compile_with(&ir(&routes), Generation(2), Some(&old));
    drop(old);
    assert!(gone.upgrade().is_none());
    assert_eq!(rules(host(&new, "b.example")).len(), 2);
}
