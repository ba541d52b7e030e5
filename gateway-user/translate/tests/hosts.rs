//! Routes are compared with those on their hosts and no others, and what is said of a crowded host is
//! bounded.

mod common;

use common::world::{class, set, typed};
use gateway_api_types::{Object, ResourceSet};
use gateway_translate::{
    HostOwnership, Rebuilt, Severity, TranslateOptions, Translation, Translator, translate,
};
use serde_json::{Value, json};

const ROUTES: usize = 40_000;

fn gateway(listeners: Value) -> Object {
    let spec = json!({"gatewayClassName": "sluice", "listeners": listeners});
    typed(json!({"kind": "Gateway", "metadata": {"name": "gw", "namespace": "gateways"}, "spec": spec}))
}

fn shared_gateway() -> Object {
    let all = json!({"namespaces": {"from": "All"}});
    gateway(json!([{"name": "web", "port": 80, "protocol": "HTTP", "allowedRoutes": all}]))
}

/// A route of tenant `number % tenants` on one host.
fn route(number: usize, tenants: usize, host: &str, path: (&str, &str)) -> Object {
    let matches = json!([{"path": {"type": path.0, "value": path.1}}]);
    let parents = json!([{"name": "gw", "namespace": "gateways"}]);
    let spec = json!({"parentRefs": parents, "hostnames": [host], "rules": [{"matches": matches}]});
    let name = format!("r{number:05}");
    let metadata = json!({"name": name, "namespace": format!("t{:03}", number % tenants)});
    typed(json!({"kind": "HTTPRoute", "metadata": metadata, "spec": spec}))
}

fn seen(objects: Vec<Object>, options: &TranslateOptions) -> (Translator, ResourceSet, Translation) {
    let resources = set(&objects);
    let mut translator = Translator::new(options.clone());
    let translation = translator.update(&resources);
    (translator, resources, translation)
}

#[test]
fn an_edit_has_only_its_own_hosts_looked_at_again() {
    let mut objects = vec![class(), shared_gateway()];
    // A host each, but for three routes that share one.
    objects.extend((3..ROUTES).map(|n| route(n, 100, &format!("h{n}.example.com"), ("PathPrefix", "/"))));
    objects.extend((0..3).map(|n| route(n, 100, "shared.example.com", ("PathPrefix", "/"))));
    for host_ownership in [HostOwnership::Shared, HostOwnership::OldestNamespace] {
        let options = TranslateOptions { host_ownership, ..TranslateOptions::default() };
        let (mut translator, mut resources, first) = seen(objects.clone(), &options);
        assert_eq!((translator.rebuilt().hosts, translator.rebuilt().host_routes), (ROUTES - 2, ROUTES));
        assert_eq!(translator.update(&resources), first);
        assert_eq!(translator.rebuilt(), Rebuilt::default(), "nothing was edited");

        let mut examined = |resources: &ResourceSet| {
            translator.update(resources);
            let Rebuilt { routes, hosts, host_routes, .. } = translator.rebuilt();
            (routes, hosts, host_routes)
        };
        resources.insert(route(7, 100, "h7.example.com", ("Exact", "/login")), None);
        assert_eq!(examined(&resources), (1, 1, 1), "a route that is alone on its host");
        resources.insert(route(7, 100, "shared.example.com", ("Exact", "/login")), None);
        assert_eq!(
            examined(&resources),
            (1, 2, 4),
            "it moves: its old host, which is nobody's now, and the new one"
        );
        resources.insert(route(7, 100, "h7.example.com", ("Exact", "/login")), None);
        assert_eq!(examined(&resources), (1, 2, 4), "and back: both hosts");
        let labels = json!({"hosts.sluice.dev/shared.example.com": ""});
        let namespace = json!({"kind": "Namespace", "metadata": {"name": "t002", "labels": labels}});
        resources.insert(typed(namespace), None);
        let by_label = if host_ownership == HostOwnership::Shared { (0, 0, 0) } else { (0, 1, 3) };
        assert_eq!(examined(&resources), by_label, "a label: the host that it names");
    }
}

#[test]
fn what_is_said_of_a_crowded_host_is_bounded() {
    // One route with everything below "/", and thousands of younger ones of other namespaces within.
    let mut objects = vec![class(), shared_gateway(), route(0, 100, "shop.example.com", ("PathPrefix", "/"))];
    let paths: Vec<_> = (1..5_000).map(|n| format!("/p{}", n % 4_000)).collect();
    objects.extend((1..).zip(&paths).map(|(n, path)| route(n, 100, "shop.example.com", ("Exact", path))));
    let (_, _, translation) = seen(objects, &TranslateOptions::default());
    assert_eq!(translation.hosts.shared, 1);
    // Those of its own namespace take nothing from it, and neither do those that are never reached.
    assert_eq!(translation.hosts.unreachable_rules, 999);
    assert_eq!(translation.hosts.taking_rules, 4_000 - 40);
    let of = |text: &str| translation.diagnostics.iter().filter(|one| one.message.contains(text)).count();
    assert_eq!((of("takes requests for"), of("no request for")), (16, 16));
    let told = |(_, status): (&gateway_ir::RouteId, &std::sync::Arc<gateway_api_types::RouteStatus>)| {
        let conditions = status.parents.iter().flat_map(|parent| &parent.conditions);
        conditions.filter(|one| one.type_ == "sluice.dev/HostConflict").map(|one| one.message.len()).max()
    };
    let lengths: Vec<_> = translation.status.routes.iter().filter_map(told).collect();
    assert!(lengths.len() <= 16 + 16 + 16 + 1, "{} routes are told", lengths.len());
    assert!(lengths.iter().all(|length| *length < 1_000), "{lengths:?}");
}

#[test]
fn refused_routes_are_all_refused_however_many_there_are() {
    let options =
        TranslateOptions { host_ownership: HostOwnership::OldestNamespace, ..TranslateOptions::default() };
    let mut objects = vec![class(), shared_gateway(), route(0, 100, "shop.example.com", ("PathPrefix", "/"))];
    objects.extend((1..1_000).map(|n| route(n, 100, "shop.example.com", ("Exact", "/login"))));
    let resources = set(&objects);
    let translation = translate(&resources, &options);
    assert_eq!(translation.hosts.refused_routes, 990, "all but those of the owner");
    assert_eq!(translation.ir.routes.len(), 10);
    let refused = |status: &gateway_api_types::RouteStatus| {
        let conditions = status.parents.iter().flat_map(|parent| &parent.conditions);
        conditions.filter(|one| one.reason == "HostOwnedByOtherNamespace").count() == 1
    };
    assert_eq!(translation.status.routes.values().filter(|status| refused(status)).count(), 990);
    let errors = translation.diagnostics.iter().filter(|one| one.severity == Severity::Error);
    assert_eq!(errors.count(), 990);
}
