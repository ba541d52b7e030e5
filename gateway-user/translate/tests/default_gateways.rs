//! Default Gateways of a route (GEP-3793): no more than its status has room for.

mod common;

use std::collections::BTreeSet;

use common::world::{class, run, set, typed};
use gateway_api_types::{Kind, Object, ObjectKey};
use gateway_ir::{ObjectName, RouteId, RouteKind};
use gateway_translate::{TranslateOptions, Translation, Translator};
use serde_json::json;

/// A default Gateway that lets all routes in; the lower its number the younger.
fn gateway(number: usize) -> Object {
    let created = format!("2026-01-{:02}T00:00:{:02}Z", 28 - number / 10, 59 - number % 10);
    let listener = json!({"name": "l", "port": 8_000 + number, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}});
    typed(
        json!({"kind": "Gateway", "metadata": {"name": format!("g{number:02}"), "namespace": "x", "creationTimestamp": created},
        "spec": {"gatewayClassName": "sluice", "defaultScope": "All", "listeners": [listener]}}),
    )
}

/// The Gateways that the route's status tells of.
fn parents(translation: &Translation) -> BTreeSet<String> {
    let id = RouteId { kind: RouteKind::HTTPRoute, object: ObjectName::new("apps", "r") };
    let parents = &translation.status.routes.get(&id).expect("a route of ours").parents;
    let names: BTreeSet<_> = parents.iter().map(|parent| parent.parent_ref.name.clone()).collect();
    assert_eq!(names.len(), parents.len(), "each once");
    names
}

#[test]
fn a_route_has_the_oldest_default_gateways_that_its_status_has_room_for() {
    let foreign = json!({"kind": "Gateway", "metadata": {"name": "foreign", "namespace": "x"}, "spec": {
        "gatewayClassName": "other", "listeners": [{"name": "l", "port": 80, "protocol": "HTTP"}]}});
    let route = json!({"kind": "HTTPRoute", "metadata": {"name": "r", "namespace": "apps"}, "spec": {
        "parentRefs": [{"name": "g00", "namespace": "x"}, {"name": "foreign", "namespace": "x"}],
        "useDefaultGateways": "All", "rules": [{}]}});
    let mut objects = vec![class(), typed(foreign), typed(route)];
    objects.extend((0..33).map(gateway));
    let mut resources = set(&objects);
    let mut translator = Translator::new(TranslateOptions::default());
    let translation = translator.update(&resources);
    let wanted = |first: usize| -> BTreeSet<String> {
        std::iter::once(0).chain(first..33).map(|number| format!("g{number:02}")).collect()
    };
    // The youngest that is named, thirty others, and room for what another controller writes.
    assert_eq!(parents(&translation), wanted(3));
    let notes = translation.diagnostics.iter().filter(|one| one.field == "useDefaultGateways");
    let notes: Vec<_> = notes.map(|one| one.message.as_str()).collect();
    assert!(
        matches!(*notes, [note] if note.contains("32 parents at most, so that Gateway \"x/g02\"")),
        "{notes:?}"
    );

    resources.remove(Kind::Gateway, &ObjectKey::new("x", "g20"));
    let after = translator.update(&resources);
    assert_eq!(after, run(&resources));
    assert!(parents(&after).contains("g02"), "room goes to the next one");
    let older = json!("2025-01-01T00:00:00Z");
    let mut value = gateway(1).to_value().expect("JSON");
    value["metadata"]["creationTimestamp"] = older;
    resources.insert(typed(value), None);
    let after = translator.update(&resources);
    assert_eq!(after, run(&resources), "created again, as an older one");
    assert!(parents(&after).contains("g01") && !parents(&after).contains("g02"));
}
