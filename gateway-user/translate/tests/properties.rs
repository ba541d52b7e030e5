//! What holds for any resources: order does not matter, the input stays as it was, and tenants do not touch one another.

mod common;

use gateway_api_types::{Kind, Object, ResourceSet};
use gateway_ir::{Endpoints, Ir};
use gateway_translate::{TranslateOptions, Translation, translate};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Objects from a small world, so that they meet: two Gateways, three tenants, few names.
fn object() -> impl Strategy<Value = Value> {
    prop_oneof![namespace(), gateway(), route(), service(), slice(), grant()]
}

fn tenant() -> impl Strategy<Value = String> {
    prop_oneof![Just("a"), Just("b"), Just("c")].prop_map(str::to_owned)
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![Just("one"), Just("two")].prop_map(str::to_owned)
}

fn host() -> impl Strategy<Value = Option<&'static str>> {
    let hosts = ["x.example.com", "y.example.com", "*.example.com", "*.com", "10.0.0.1"];
    prop_oneof![Just(None), (0..hosts.len()).prop_map(move |index| Some(hosts[index]))]
}

fn namespace() -> impl Strategy<Value = Value> {
    (tenant(), any::<bool>()).prop_map(|(name, label)| {
        let labels = if label { json!({"team": "yes"}) } else { json!({}) };
        json!({"kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    })
}

fn listener() -> impl Strategy<Value = Value> {
    let port = prop_oneof![Just(80), Just(81)];
    let protocol = prop_oneof![4 => Just("HTTP"), 1 => Just("HTTPS"), 1 => Just("TCP")];
    let from = prop_oneof![Just("All"), Just("Same"), Just("Selector")];
    (port, protocol, from, host()).prop_map(|(port, protocol, from, host)| {
        let mut namespaces = json!({"from": from});
        if from == "Selector" {
            namespaces["selector"] = json!({"matchLabels": {"team": "yes"}});
        }
        let mut listener =
            json!({"port": port, "protocol": protocol, "allowedRoutes": {"namespaces": namespaces}});
        if let Some(host) = host {
            listener["hostname"] = json!(host);
        }
        listener
    })
}

fn gateway() -> impl Strategy<Value = Value> {
    let address = prop_oneof![2 => Just(None), 1 => Just(Some("10.0.0.1")), 1 => Just(Some("10.0.0.2"))];
    let created =
        prop_oneof![Just(None), Just(Some("2026-01-01T00:00:00Z")), Just(Some("2026-01-02T00:00:00Z"))];
    (name(), address, created, prop::collection::vec(listener(), 1..4)).prop_map(
        |(name, address, created, listeners)| {
            let listeners: Vec<_> = listeners
                .into_iter()
                .enumerate()
                .map(|(index, mut listener)| {
                    listener["name"] = json!(format!("l{index}"));
                    listener
                })
                .collect();
            let mut metadata = json!({"name": name, "namespace": "gateways"});
            if let Some(created) = created {
                metadata["creationTimestamp"] = json!(created);
            }
            let addresses: Vec<_> = address.iter().map(|value| json!({"value": value})).collect();
            let spec = json!({"gatewayClassName": "sluice", "listeners": listeners, "addresses": addresses});
            json!({"kind": "Gateway", "metadata": metadata, "spec": spec})
        },
    )
}

fn route() -> impl Strategy<Value = Value> {
    let path =
        prop_oneof![Just(("PathPrefix", "/")), Just(("Exact", "/x")), Just(("RegularExpression", "/("))];
    let section = prop_oneof![2 => Just(None), 1 => Just(Some("l0")), 1 => Just(Some("none"))];
    let backend = (tenant(), name(), prop_oneof![Just(80), Just(81)]);
    let rule = (path, prop::collection::vec(backend, 0..3));
    let rules = prop::collection::vec(rule, 1..3);
    (tenant(), name(), name(), section, host(), rules).prop_map(
        |(tenant, name, gateway, section, host, rules)| {
            let mut parent = json!({"name": gateway, "namespace": "gateways"});
            if let Some(section) = section {
                parent["sectionName"] = json!(section);
            }
            let rules: Vec<_> = rules
                .into_iter()
                .map(|((type_, value), backends)| {
                    let backends: Vec<_> = backends
                        .into_iter()
                        .map(|(ns, name, port)| json!({"name": name, "namespace": ns, "port": port}))
                        .collect();
                    json!({"matches": [{"path": {"type": type_, "value": value}}], "backendRefs": backends})
                })
                .collect();
            let hostnames: Vec<_> = host.into_iter().collect();
            let spec = json!({"parentRefs": [parent], "hostnames": hostnames, "rules": rules});
            json!({"kind": "HTTPRoute", "metadata": {"name": name, "namespace": tenant}, "spec": spec})
        },
    )
}

fn service() -> impl Strategy<Value = Value> {
    (tenant(), name()).prop_map(|(tenant, name)| {
        let spec = json!({"ports": [{"name": "http", "port": 80}]});
        json!({"kind": "Service", "metadata": {"name": name, "namespace": tenant}, "spec": spec})
    })
}

fn slice() -> impl Strategy<Value = Value> {
    (tenant(), name(), 1..9_u8, any::<bool>()).prop_map(|(tenant, service, last, ready)| {
        let labels = json!({"kubernetes.io/service-name": service});
        json!({
            "kind": "EndpointSlice",
            "metadata": {"name": format!("{service}-{last}"), "namespace": tenant, "labels": labels},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [{"addresses": [format!("10.1.0.{last}")], "conditions": {"ready": ready}}]
        })
    })
}

fn grant() -> impl Strategy<Value = Value> {
    (tenant(), tenant()).prop_map(|(owner, user)| {
        let spec = json!({
            "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": user}],
            "to": [{"group": "", "kind": "Service"}]
        });
        json!({"kind": "ReferenceGrant", "metadata": {"name": user, "namespace": owner}, "spec": spec})
    })
}

fn typed(value: Value) -> Object {
    let kind = Kind::ALL.iter().copied().find(|kind| value["kind"] == kind.as_str()).expect("a kind of ours");
    Object::from_value(kind, value).expect("an object of ours")
}

fn class() -> Object {
    let spec = json!({"controllerName": "sluice.dev/gateway"});
    typed(json!({"kind": "GatewayClass", "metadata": {"name": "sluice"}, "spec": spec}))
}

/// A set without repeats, in the order given, so that a reordered list holds the same objects.
fn distinct(values: Vec<Value>) -> Vec<Object> {
    let mut objects: Vec<Object> = vec![class()];
    for object in values.into_iter().map(typed) {
        if objects.iter().all(|other| (other.kind(), other.key()) != (object.kind(), object.key())) {
            objects.push(object);
        }
    }
    objects
}

fn set(objects: &[Object]) -> ResourceSet {
    objects.iter().cloned().map(|object| (object, None)).collect()
}

fn run(resources: &ResourceSet) -> Translation {
    translate(resources, &TranslateOptions::default())
}

/// What one tenant's routes are served as: its routes, where they are attached, and its endpoints.
fn served(ir: &Ir, endpoints: &Endpoints, tenant: &str) -> String {
    let routes: Vec<_> =
        ir.http_routes.values().filter(|route| route.id.object.namespace == tenant).collect();
    let places: Vec<_> = ir
        .binds
        .iter()
        .flat_map(|bind| bind.listeners.iter().map(move |listener| (bind.address, bind.port, listener)))
        .flat_map(|(address, port, listener)| {
            let own = listener.routes.iter().filter(|route| route.route.object.namespace == tenant);
            own.map(move |route| (address, port, &listener.id, route))
        })
        .collect();
    let own = endpoints.clusters.iter().filter(|(cluster, _)| cluster.service.namespace == tenant);
    // Only clusters that the tenant's own routes use: a Service may be used by others as well.
    let used = format!("{routes:?}");
    let own: Vec<_> = own.filter(|(cluster, _)| used.contains(&format!("{cluster:?}"))).collect();
    format!("{routes:#?}\n{places:#?}\n{own:#?}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_does_not_matter(
        objects in prop::collection::vec(object(), 0..24).prop_map(distinct),
        seed in any::<u64>(),
    ) {
        let mut shuffled = objects.clone();
        // A permutation that the seed picks: any order of insertion.
        for index in (1..shuffled.len()).rev() {
            let other = (seed.rotate_left(index as u32 * 7) % (index as u64 + 1)) as usize;
            shuffled.swap(index, other);
        }
        prop_assert_eq!(run(&set(&objects)), run(&set(&shuffled)));
    }

    #[test]
    fn the_input_stays_and_the_answer_is_the_same_twice(
        objects in prop::collection::vec(object(), 0..24).prop_map(distinct),
    ) {
        let resources = set(&objects);
        let before = resources.clone();
        let first = run(&resources);
        prop_assert_eq!(&resources, &before);
        prop_assert_eq!(first, run(&resources));
    }

    #[test]
    fn a_tenant_that_refers_to_nobody_else_is_not_touched_by_others(
        objects in prop::collection::vec(object(), 0..30).prop_map(distinct),
    ) {
        // Everything of tenants b and c goes: routes, Services, grants, labels.
        let without: Vec<_> = objects
            .iter()
            .filter(|object| {
                let metadata = object.metadata();
                let place = metadata.namespace.as_ref().or(metadata.name.as_ref()).map(String::as_str);
                !matches!(place, Some("b" | "c"))
            })
            .cloned()
            .collect();
        let own_only = |object: &Object| match object {
            Object::HttpRoute(route) if route.metadata.namespace.as_deref() == Some("a") => route
                .spec
                .rules
                .iter()
                .flat_map(|rule| &rule.backend_refs)
                .all(|backend| backend.backend.namespace.as_deref() == Some("a")),
            _ => true,
        };
        let keep = |objects: &[Object]| objects.iter().filter(|o| own_only(o)).cloned().collect::<Vec<_>>();
        let (all, some) = (run(&set(&keep(&objects))), run(&set(&keep(&without))));
        prop_assert_eq!(served(&all.ir, &all.endpoints, "a"), served(&some.ir, &some.endpoints, "a"));
    }

    #[test]
    fn what_is_served_holds_together(objects in prop::collection::vec(object(), 0..30).prop_map(distinct)) {
        let translation = run(&set(&objects));
        let ir = &translation.ir;
        let mut places: Vec<_> = ir.binds.iter().map(|bind| (bind.port, bind.address)).collect();
        prop_assert!(places.is_sorted());
        places.dedup();
        prop_assert_eq!(places.len(), ir.binds.len(), "a bind twice");
        for bind in &ir.binds {
            prop_assert!(!bind.listeners.is_empty(), "a bind of nobody");
            let mut hosts: Vec<_> = bind.listeners.iter().map(|listener| &listener.hostname).collect();
            hosts.dedup();
            prop_assert_eq!(hosts.len(), bind.listeners.len(), "a hostname twice on a bind");
            for attached in bind.listeners.iter().flat_map(|listener| &listener.routes) {
                prop_assert!(ir.http_routes.contains_key(&attached.route));
                prop_assert!(!attached.hostnames.is_empty());
            }
        }
        for (id, route) in &ir.http_routes {
            let attached = ir.binds.iter().flat_map(|bind| &bind.listeners).flat_map(|one| &one.routes);
            prop_assert!(attached.into_iter().any(|one| one.route == *id), "{} is attached nowhere", id);
            for backend in route.rules.iter().flat_map(|rule| match &rule.action {
                gateway_ir::Action::Forward(backends) => backends.as_slice(),
                _ => &[],
            }) {
                if let gateway_ir::WeightedTarget::Cluster(cluster) = &backend.target {
                    prop_assert!(translation.endpoints.clusters.contains_key(cluster), "{} is unknown", cluster);
                }
            }
        }
    }
}
