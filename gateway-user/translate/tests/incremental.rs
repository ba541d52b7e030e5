//! A [`Translator`] after any edits gives what a translation from scratch gives, and does no more than the
//! edit asks.

mod common;

use std::cell::Cell;
use std::sync::Arc;

use common::edits::{apply, changed, edit, settled, slice};
use common::world::{class, distinct, object, run, set, tight, typed};
use gateway_api_types::{Kind, Object, ObjectKey, ResourceSet};
use gateway_ir::{ClusterKey, ObjectName};
use gateway_translate::{HostOwnership, Rebuilt, TranslateOptions, Translation, Translator, translate};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

/// Worlds, and edits of each: 6,000 steps.
const WORLDS: u32 = 150;
const EDITS: usize = 40;

/// Routes that are what they were must be where they were.
fn shared(old: &Translation, new: &Translation) -> Result<(), TestCaseError> {
    for (id, route) in &new.ir.routes {
        let before = old.ir.routes.get(id).filter(|before| before == &route);
        prop_assert!(before.is_none_or(|before| Arc::ptr_eq(before, route)), "{} was copied", id);
    }
    Ok(())
}

/// The places of expressions that a namespace's budget refuses.
fn over_namespace(translation: &Translation) -> Vec<(&ObjectKey, &str)> {
    let diagnostics = translation.diagnostics.iter();
    let over = diagnostics.filter(|diagnostic| diagnostic.message.contains("--regex-namespace-bytes"));
    over.map(|diagnostic| (&diagnostic.object.key, &*diagnostic.field)).collect()
}

#[test]
fn edit_after_edit_the_answer_is_that_of_a_translation_from_scratch() {
    let config = ProptestConfig { cases: WORLDS, failure_persistence: None, ..ProptestConfig::default() };
    let world = prop::collection::vec(object(), 0..20).prop_map(|mut objects| {
        objects.extend(settled());
        distinct(objects)
    });
    // How often an edit of something else made a route different, and how often routes were left alone.
    let (followed, spared) = (Cell::new(0), Cell::new(0));
    // How often each of the bounds of expressions refused something.
    let refused_texts: [Cell<usize>; 4] = Default::default();
    // How often an edit changed which expressions a namespace's budget refuses.
    let rebudgeted = Cell::new(0);
    // The same for hosts: edits after which another verdict was reached, and hosts that were left alone.
    let (evaluated, refused) = (Cell::new(0), Cell::new(0));
    let ownership = select(&[HostOwnership::Shared, HostOwnership::OldestNamespace][..]);
    let steps = (world, prop::collection::vec(edit(), EDITS), ownership);
    TestRunner::new(config)
        .run(&steps, |(objects, edits, host_ownership)| {
            let mut resources = set(&objects);
            let options = TranslateOptions { host_ownership, ..tight() };
            let mut translator = Translator::new(options.clone());
            let mut last = translator.update(&resources);
            prop_assert_eq!(&last, &translate(&resources, &options));
            for edit in &edits {
                let before = resources.clone();
                apply(edit, &mut resources);
                let next = translator.update(&resources);
                let scratch = translate(&resources, &options);
                prop_assert_eq!(&next, &scratch, "after {:?}", edit);
                for (count, said) in refused_texts.iter().zip([
                    "--regex-bytes",
                    "--regex-route",
                    "--regex-names",
                    "--regex-scan",
                ]) {
                    let is_said = next.diagnostics.iter().any(|diagnostic| diagnostic.message.contains(said));
                    count.set(count.get() + usize::from(is_said));
                }
                let differs = over_namespace(&last) != over_namespace(&next);
                rebudgeted.set(rebudgeted.get() + usize::from(differs));
                evaluated.set(evaluated.get() + usize::from(last.hosts != next.hosts));
                refused.set(refused.get() + usize::from(next.hosts.refused_routes > 0));
                shared(&last, &next)?;
                let same_routes = before.http_routes == resources.http_routes;
                followed.set(
                    followed.get() + usize::from(same_routes && last.status.routes != next.status.routes),
                );
                spared.set(
                    spared.get() + usize::from(translator.rebuilt().routes < resources.http_routes.len()),
                );
                last = next;
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    let [text, route, namespace, scan] = refused_texts.map(|count| count.get());
    // Whole worlds have routes beyond their budget or have none, so that their number says little.
    assert!(text > 0 && route > 0 && namespace > 100 && scan > 20, "{text} {route} {namespace} {scan}");
    assert!(rebudgeted.get() > 12, "{}", rebudgeted.get());
    assert!(followed.get() > 50 && spared.get() > 500, "{} {}", followed.get(), spared.get());
    assert!(evaluated.get() > 20 && refused.get() > 10, "{} {}", evaluated.get(), refused.get());
}

/// 1,000 routes of ten tenants on one Gateway, each with a Service and a slice of its own; tenant 0 uses the
/// Service of tenant 1's first route as well, by a grant.
fn large() -> ResourceSet {
    let listeners = json!([{
        "name": "web", "port": 80, "protocol": "HTTP",
        "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "yes"}}}}
    }]);
    let spec = json!({"gatewayClassName": "sluice", "listeners": listeners});
    let mut objects = vec![
        class(),
        typed(json!({"kind": "Gateway", "metadata": {"name": "gw", "namespace": "gateways"}, "spec": spec})),
        typed(grant()),
    ];
    for number in 0..1_000 {
        let (tenant, name) = (format!("t{}", number % 10), format!("s{number}"));
        let metadata = json!({"name": name, "namespace": tenant});
        let ports = json!({"ports": [{"name": "http", "port": 80}]});
        objects.push(typed(json!({"kind": "Service", "metadata": metadata, "spec": ports})));
        objects.push(typed(slice(&tenant, &name, number)));
        objects.push(typed(route(number, "/")));
    }
    for tenant in 0..10 {
        let metadata = json!({"name": format!("t{tenant}"), "labels": {"team": "yes"}});
        objects.push(typed(json!({"kind": "Namespace", "metadata": metadata})));
    }
    set(&objects)
}

fn route(number: usize, path: &str) -> Value {
    let mut backends = vec![json!({"name": format!("s{number}"), "port": 80})];
    if number.is_multiple_of(10) {
        backends.push(json!({"name": "s1", "namespace": "t1", "port": 80}));
    }
    let rules = json!([{"matches": [{"path": {"value": path}}], "backendRefs": backends}]);
    let metadata = json!({"name": format!("r{number}"), "namespace": format!("t{}", number % 10)});
    let parents = json!([{"name": "gw", "namespace": "gateways"}]);
    json!({"kind": "HTTPRoute", "metadata": metadata, "spec": {"parentRefs": parents, "rules": rules}})
}

fn grant() -> Value {
    let from = json!({"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "t0"});
    let spec = json!({"from": [from], "to": [{"group": "", "kind": "Service"}]});
    json!({"kind": "ReferenceGrant", "metadata": {"name": "t0", "namespace": "t1"}, "spec": spec})
}

/// A translator that has seen the large set, with the set and the translation.
fn seen() -> (Translator, ResourceSet, Translation) {
    let resources = large();
    let mut translator = Translator::new(TranslateOptions::default());
    let translation = translator.update(&resources);
    let all = Rebuilt { routes: 1_000, clusters: 1_000, hosts: 1, host_routes: 1_000 };
    assert_eq!(translator.rebuilt(), all);
    assert_eq!(translation.ir.routes.len(), 1_000);
    (translator, resources, translation)
}

/// Counts of what the translator rebuilds after this; its translation must be right as well.
fn rebuilt(translator: &mut Translator, resources: &ResourceSet) -> (usize, usize) {
    assert_eq!(translator.update(resources), run(resources));
    (translator.rebuilt().routes, translator.rebuilt().clusters)
}

#[test]
fn nothing_new_rebuilds_nothing() {
    let (mut translator, resources, _) = seen();
    assert_eq!(rebuilt(&mut translator, &resources), (0, 0));
    let read_again: ResourceSet = resources.iter().map(|object| (changed(&object, |_| {}), None)).collect();
    assert_eq!(rebuilt(&mut translator, &read_again), (0, 0), "equal objects in other memory");
    let labelled = |object: Object| {
        let label = |value: &mut Value| value["metadata"]["annotations"] = json!({"seen": "yes"});
        (changed(&object, label), None)
    };
    let labelled: ResourceSet = resources.iter().map(labelled).collect();
    assert_eq!(rebuilt(&mut translator, &labelled), (0, 0), "metadata that nothing is made of");
}

#[test]
fn a_changed_route_rebuilds_itself() {
    let (mut translator, mut resources, before) = seen();
    resources.insert(typed(route(7, "/new")), None);
    let after = translator.update(&resources);
    assert_eq!(after, run(&resources));
    let did = translator.rebuilt();
    assert_eq!((did.routes, did.clusters), (1, 0));
    let same = |(id, route): &(_, &Arc<_>)| Arc::ptr_eq(&before.ir.routes[*id], route);
    assert_eq!(after.ir.routes.iter().filter(same).count(), 999);

    resources.remove(Kind::HttpRoute, &ObjectKey::new("t7", "r7"));
    assert_eq!(rebuilt(&mut translator, &resources), (0, 0), "a removed route");
    resources.insert(typed(route(7, "/new")), None);
    assert_eq!(rebuilt(&mut translator, &resources), (1, 1), "a new route, with a cluster nobody else has");
}

#[test]
fn endpoints_rebuild_no_route() {
    let (mut translator, mut resources, before) = seen();
    resources.insert(typed(slice("t3", "s3", 999)), None);
    let after = translator.update(&resources);
    assert_eq!(after, run(&resources));
    assert_eq!(translator.rebuilt(), Rebuilt { clusters: 1, ..Rebuilt::default() });
    assert_eq!(after.ir, before.ir);
    let key = ClusterKey::new(ObjectName::new("t3", "s3"), 80);
    assert_eq!(after.endpoints.clusters[&key][0].to_string(), "10.3.249.1:8080");
}

#[test]
fn what_routes_refer_to_rebuilds_those_that_do() {
    let (mut translator, mut resources, _) = seen();
    let remove = |resources: &mut ResourceSet, value: &Value| {
        let object = typed(value.clone());
        resources.remove(object.kind(), &object.key()).expect("it was there");
    };
    remove(&mut resources, &grant());
    assert_eq!(rebuilt(&mut translator, &resources), (100, 0), "a grant: those of the tenant that needs it");
    resources.insert(typed(grant()), None);
    assert_eq!(rebuilt(&mut translator, &resources), (100, 0), "its return");

    let service = json!({"kind": "Service", "metadata": {"name": "s1", "namespace": "t1"}});
    remove(&mut resources, &service);
    assert_eq!(rebuilt(&mut translator, &resources), (101, 0), "a Service: its route and those of tenant 0");
    let named = |name: &str, namespace: &str| {
        typed(json!({"kind": "Service", "metadata": {"name": name, "namespace": namespace}}))
    };
    resources.insert(named("other", "t9"), None);
    assert_eq!(rebuilt(&mut translator, &resources), (0, 0), "another name elsewhere: nobody");
    resources.insert(named("other", "t1"), None);
    assert_eq!(
        rebuilt(&mut translator, &resources),
        (101, 0),
        "one in that namespace: who may have meant it"
    );
    resources.insert(named("s1", "t9"), None);
    assert_eq!(rebuilt(&mut translator, &resources), (101, 0), "and one of that name elsewhere");

    let metadata = json!({"name": "t5", "labels": {"team": "no"}});
    resources.insert(typed(json!({"kind": "Namespace", "metadata": metadata})), None);
    assert_eq!(rebuilt(&mut translator, &resources), (100, 0), "labels: the routes of that namespace");
    let stranger = json!({"kind": "Gateway", "metadata": {"name": "x", "namespace": "gateways"},
        "spec": {"gatewayClassName": "other", "listeners": [{"name": "l", "port": 80, "protocol": "HTTP"}]}});
    resources.insert(typed(stranger), None);
    assert_eq!(rebuilt(&mut translator, &resources), (0, 0), "a Gateway that nobody names");
}

/// A set of one UDP listener on a Gateway.
fn flows(namespace: &str, port: u16) -> Object {
    let listener = json!({"name": "l", "port": port, "protocol": "UDP"});
    typed(json!({"kind": "ListenerSet", "metadata": {"name": "flows", "namespace": namespace},
        "spec": {"parentRef": {"name": "shared", "namespace": "edge"}, "listeners": [listener]}}))
}

#[test]
fn a_set_takes_no_routes_of_the_one_whose_place_it_gets() {
    let spec = json!({"gatewayClassName": "sluice", "allowedListeners": {"namespaces": {"from": "All"}},
        "listeners": [{"name": "own", "port": 80, "protocol": "HTTP"}]});
    let gateway =
        json!({"kind": "Gateway", "metadata": {"name": "shared", "namespace": "edge"}, "spec": spec});
    let route = json!({"kind": "UDPRoute", "metadata": {"name": "r", "namespace": "team"}, "spec": {
        "parentRefs": [{"kind": "ListenerSet", "name": "flows"}], "rules": [{"backendRefs": [{"name": "s", "port": 53}]}]}});
    let mut resources =
        set(&[class(), typed(gateway), typed(route), flows("shop", 5_000), flows("team", 5_001)]);
    let mut translator = Translator::new(TranslateOptions::default());
    translator.update(&resources);
    resources.remove(Kind::ListenerSet, &ObjectKey::new("shop", "flows"));
    resources.insert(flows("zeta", 5_002), None);
    let after = translator.update(&resources);
    let listeners = after.ir.binds.iter().flat_map(|bind| bind.listeners.iter().map(|one| (bind.port, one)));
    let routes: Vec<_> = listeners.map(|(port, one)| (port, one.routes.len())).collect();
    assert_eq!(routes, [(80, 0), (5_001, 1), (5_002, 0)]);
    assert_eq!(after, run(&resources));
    resources.remove(Kind::ListenerSet, &ObjectKey::new("team", "flows"));
    assert_eq!(translator.update(&resources), run(&resources), "a set that goes takes its routes along");
}
