//! Random edits of a world in which much is served.

use gateway_api_types::{Kind, Object, ObjectKey, Origin, ResourceSet};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use super::world::{object, typed};

/// A certificate of an authority.
const AUTHORITY: &str = include_str!("authority.pem");

/// Both Gateways, and for both names of all tenants a Service with an endpoint and a route that uses it: with
/// little at work, edits would change little. One tenant is over its budget of expressions.
pub(crate) fn settled() -> Vec<Value> {
    let mut objects = Vec::new();
    for name in ["one", "two"] {
        let all = json!({"namespaces": {"from": "All"}});
        let listener = json!({"name": "l0", "port": 80, "protocol": "HTTP", "allowedRoutes": all});
        let address = if name == "one" { "10.0.0.1" } else { "10.0.0.2" };
        let spec = json!({"gatewayClassName": "sluice", "listeners": [listener], "addresses": [{"value": address}],
            "allowedListeners": {"namespaces": {"from": "All"}}});
        objects.push(
            json!({"kind": "Gateway", "metadata": {"name": name, "namespace": "gateways"}, "spec": spec}),
        );
        for (number, tenant) in ["a", "b", "c"].iter().enumerate() {
            let metadata = json!({"name": name, "namespace": tenant});
            let ports = json!({"ports": [{"name": "http", "port": 80}]});
            objects.push(json!({"kind": "Service", "metadata": metadata, "spec": ports}));
            objects.push(slice(tenant, name, number));
            let backend = json!({"name": name, "namespace": tenant, "port": 80});
            let parent = json!({"name": name, "namespace": "gateways"});
            let mut rules = vec![json!({"backendRefs": [backend]})];
            if *tenant == "a" {
                // Either route fits into the budgets of `tight`, both are too much for their namespace.
                let text = if name == "one" { "/.*a.{5}b" } else { "/.*c.{5}d" };
                let path = json!({"path": {"type": "RegularExpression", "value": text}});
                rules.push(json!({"matches": [path], "backendRefs": [backend]}));
            }
            let spec = json!({"parentRefs": [parent], "rules": rules});
            objects.push(json!({"kind": "HTTPRoute", "metadata": metadata, "spec": spec}));
        }
    }
    for (number, tenant) in FLOWS.iter().enumerate() {
        let parent = json!({"kind": "ListenerSet", "name": "flows"});
        let spec = json!({"parentRefs": [parent], "rules": [{"backendRefs": [{"name": "one", "port": 80}]}]});
        let metadata = json!({"name": "flows", "namespace": tenant});
        objects.push(json!({"kind": "UDPRoute", "metadata": metadata, "spec": spec}));
        objects.push(flows(number));
    }
    objects
}

/// Tenants with a set of flows.
const FLOWS: [&str; 4] = ["a", "b", "c", "d"];

/// A tenant's set with a listener for flows, in which places are all that is told from another's.
fn flows(number: usize) -> Value {
    let all = json!({"namespaces": {"from": "All"}});
    let listener = json!({"name": "l0", "port": 5_000 + number, "protocol": "UDP", "allowedRoutes": all});
    let parent = json!({"name": "one", "namespace": "gateways"});
    let metadata = json!({"name": "flows", "namespace": FLOWS[number]});
    json!({"kind": "ListenerSet", "metadata": metadata, "spec": {"parentRef": parent, "listeners": [listener]}})
}

/// Edits that people make to resources.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Put(Value),
    Remove(Index),
    Rename(Index, &'static str),
    /// One field of the object becomes this alternative of its kind.
    Tweak(Index, usize),
    /// The object is read again and is what it was, some lines further down.
    Touch(Index, u32),
    /// Of the sets of [`flows`] those that are there, a bit each: several come and go at once.
    Flows(u8),
    /// Two edits seen at once.
    Both(Box<(Edit, Edit)>),
}

/// Any edit.
pub(crate) fn edit() -> impl Strategy<Value = Edit> {
    let put = prop_oneof![4 => object().boxed(), 1 => rare().boxed()];
    let one = prop_oneof![
        8 => put.prop_map(Edit::Put),
        3 => any::<Index>().prop_map(Edit::Remove),
        1 => (any::<Index>(), select(&["one", "two", "oen", "d"][..])).prop_map(|(at, to)| Edit::Rename(at, to)),
        6 => (any::<Index>(), 0..6_usize).prop_map(|(at, which)| Edit::Tweak(at, which)),
        1 => (any::<Index>(), 1..3_u32).prop_map(|(at, line)| Edit::Touch(at, line)),
        1 => (0..16_u8).prop_map(Edit::Flows),
    ];
    (one.clone(), proptest::option::weighted(0.2, one)).prop_map(|(one, other)| match other {
        Some(other) => Edit::Both(Box::new((one, other))),
        None => one,
    })
}

/// Objects that are rare in the tenants' world: other classes, policies, odd Services and slices,
/// narrow grants.
fn rare() -> impl Strategy<Value = Value> {
    let spec = |index: usize| match index {
        0 => json!({"controllerName": "sluice.dev/gateway"}),
        1 => json!({"controllerName": "example.com/other"}),
        _ => {
            json!({"controllerName": "sluice.dev/gateway", "parametersRef": {"group": "", "kind": "P", "name": "p"}})
        }
    };
    let metadata = |namespace: &str, name: &str| json!({"namespace": namespace, "name": name});
    let place = || (select(&["a", "b", "c"][..]), select(&["one", "two", "oen"][..]));
    let service = |index: usize| match index {
        0 => json!({"type": "ExternalName", "externalName": "x.example.com"}),
        1 => json!({"ports": [{"name": "web", "port": 80}]}),
        2 => json!({"ports": [{"port": 81, "appProtocol": "kubernetes.io/h2c"}, {"port": 80}]}),
        _ => json!({"ports": [{"name": "http", "port": 80, "appProtocol": "example.com/x"}]}),
    };
    prop_oneof![
        2 => (0..3_usize).prop_map(move |index| {
            json!({"kind": "GatewayClass", "metadata": {"name": "sluice"}, "spec": spec(index)})
        }),
        1 => select(&["gateways", "a"][..]).prop_map(move |namespace| {
            let spec = json!({"gatewayClassName": "none", "listeners": [{"name": "l0", "port": 80, "protocol": "HTTP"}]});
            json!({"kind": "Gateway", "metadata": metadata(namespace, "two"), "spec": spec})
        }),
        2 => (place(), proptest::option::of(select(&["http", "web"][..])), select(&["one", "two"][..]), 0..3_usize)
            .prop_map(move |((namespace, name), section, policy, trust)| {
                let mut target = json!({"group": "", "kind": "Service", "name": name});
                target["sectionName"] = section.map_or(Value::Null, Value::from);
                let mut validation = json!({"hostname": "x.example.com"});
                match trust {
                    0 => validation["wellKnownCACertificates"] = json!("System"),
                    1 => validation["caCertificateRefs"] = json!([{"group": "", "kind": "ConfigMap", "name": "ca"}]),
                    _ => {
                        let reference = json!({"group": "certificates.k8s.io", "kind": "ClusterTrustBundle", "name": "ca"});
                        validation["caCertificateRefs"] = json!([reference]);
                    }
                }
                let spec = json!({"targetRefs": [target], "validation": validation});
                json!({"kind": "BackendTLSPolicy", "metadata": metadata(namespace, policy), "spec": spec})
            }),
        1 => (select(&["a", "b", "c"][..]), select(&[AUTHORITY, "none"][..])).prop_map(move |(namespace, pem)| {
            json!({"kind": "ConfigMap", "metadata": metadata(namespace, "ca"), "data": {"ca.crt": pem}})
        }),
        1 => select(&[AUTHORITY, "none"][..]).prop_map(|pem| {
            json!({"kind": "ClusterTrustBundle", "metadata": {"name": "ca"}, "spec": {"trustBundle": pem}})
        }),
        4 => (place(), 0..4_usize).prop_map(move |((namespace, name), index)| {
            json!({"kind": "Service", "metadata": metadata(namespace, name), "spec": service(index)})
        }),
        2 => (place(), any::<bool>()).prop_map(move |((namespace, name), labelled)| {
            let mut metadata = metadata(namespace, "one-1");
            if labelled {
                metadata["labels"] = json!({"kubernetes.io/service-name": name});
            }
            let ports = json!([{"name": "web", "port": 8080}]);
            json!({"kind": "EndpointSlice", "metadata": metadata, "addressType": "IPv4", "ports": ports, "endpoints": []})
        }),
        2 => (place(), select(&["a", "b", "c"][..])).prop_map(move |((namespace, name), user)| {
            let from = json!({"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": user});
            let spec = json!({"from": [from], "to": [{"group": "", "kind": "Service", "name": name}]});
            json!({"kind": "ReferenceGrant", "metadata": metadata(namespace, user), "spec": spec})
        }),
        1 => select(&["d", "dd", "a"][..]).prop_map(|name| json!({"kind": "Namespace", "metadata": {"name": name}})),
        1 => (place(), select(&["d", "ddd"][..])).prop_map(move |((namespace, name), other)| {
            let backend = json!({"name": "one", "namespace": other, "port": 80});
            let parent = json!({"name": "one", "namespace": "gateways"});
            let spec = json!({"parentRefs": [parent], "rules": [{"backendRefs": [backend]}]});
            json!({"kind": "HTTPRoute", "metadata": metadata(namespace, name), "spec": spec})
        }),
        1 => place().prop_map(move |(namespace, name)| {
            let spec = json!({"parentRefs": [{"name": "oen", "namespace": "gateways"}]});
            json!({"kind": "HTTPRoute", "metadata": metadata(namespace, name), "spec": spec})
        }),
    ]
}

/// Makes an edit.
pub(crate) fn apply(edit: &Edit, resources: &mut ResourceSet) {
    let all: Vec<Object> = resources.iter().collect();
    let pick = |at: &Index| (!all.is_empty()).then(|| at.get(&all).clone());
    match edit {
        Edit::Put(value) => {
            resources.insert(typed(value.clone()), None);
        }
        Edit::Remove(at) => {
            if let Some(object) = pick(at) {
                resources.remove(object.kind(), &object.key());
            }
        }
        Edit::Rename(at, name) => {
            if let Some(object) = pick(at) {
                resources.remove(object.kind(), &object.key());
                resources.insert(changed(&object, |value| value["metadata"]["name"] = json!(name)), None);
            }
        }
        Edit::Tweak(at, which) => {
            if let Some(object) = pick(at) {
                resources.insert(changed(&object, |value| tweak(object.kind(), value, *which)), None);
            }
        }
        Edit::Touch(at, line) => {
            if let Some(object) = pick(at) {
                let origin = Origin { file: "edited.yaml".into(), line: *line };
                resources.insert(changed(&object, |_| {}), Some(origin));
            }
        }
        Edit::Flows(there) => {
            for (number, tenant) in FLOWS.iter().enumerate() {
                match there >> number & 1 {
                    1 => drop(resources.insert(typed(flows(number)), None)),
                    _ => drop(resources.remove(Kind::ListenerSet, &ObjectKey::new(*tenant, "flows"))),
                }
            }
        }
        Edit::Both(both) => {
            apply(&both.0, resources);
            apply(&both.1, resources);
        }
    }
}

/// Changes one thing that translation reads, and leaves the rest as it is.
fn tweak(kind: Kind, value: &mut Value, which: usize) {
    let times = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"];
    match (kind, which) {
        (Kind::EndpointSlice, 0) => value["addressType"] = json!("IPv6"),
        (Kind::EndpointSlice, 1) => value["ports"] = json!([{"name": "web", "port": 9090}]),
        (Kind::EndpointSlice, 2) => value["ports"] = json!([{"name": "http", "port": 9090}]),
        (Kind::EndpointSlice, 3) => value["endpoints"] = json!([]),
        (Kind::EndpointSlice, _) => {
            let service = ["one", "two"][which % 2];
            value["metadata"]["labels"] = json!({"kubernetes.io/service-name": service});
        }
        (Kind::Secret, 0) => value["data"]["tls.key"] = json!(""),
        (Kind::Secret, 1) => value["type"] = json!("Opaque"),
        (Kind::Gateway, 4) => {
            let listener = &mut value["spec"]["listeners"][0];
            listener["protocol"] = json!("HTTPS");
            listener["tls"] = json!({"certificateRefs": [{"name": "one"}]});
        }
        (Kind::Service, 0) => value["spec"]["type"] = json!("ExternalName"),
        (Kind::Service, 1) => value["spec"]["type"] = json!("ClusterIP"),
        (Kind::Gateway, 0) => value["spec"]["listeners"][0]["hostname"] = json!("x.example.com"),
        (Kind::Gateway, 1) => value["spec"]["addresses"] = json!([{"value": "10.0.0.1"}]),
        (Kind::Gateway | Kind::HttpRoute | Kind::GrpcRoute | Kind::TcpRoute, 2 | 3) => {
            value["metadata"]["creationTimestamp"] = json!(times[which % 2]);
        }
        (Kind::Namespace, 0) => value["metadata"]["labels"]["sluice.dev/hosts"] = json!("y.example.com"),
        (Kind::Namespace, 1) => value["metadata"]["labels"] = json!({"team": "yes"}),
        (Kind::HttpRoute | Kind::GrpcRoute, 0) => value["spec"]["hostnames"] = json!(["y.example.com"]),
        _ => value["metadata"]["generation"] = json!(which),
    }
}

/// The object with a change, in memory of its own.
pub(crate) fn changed(object: &Object, change: impl FnOnce(&mut Value)) -> Object {
    let mut value = object.to_value().expect("our objects are JSON");
    change(&mut value);
    typed(value)
}

/// A slice of a Service with one endpoint; the number is in its address.
pub(crate) fn slice(tenant: &str, service: &str, number: usize) -> Value {
    let labels = json!({"kubernetes.io/service-name": service});
    let address = format!("10.{}.{}.1", number / 250, number % 250);
    json!({
        "kind": "EndpointSlice",
        "metadata": {"name": format!("{service}-x"), "namespace": tenant, "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"addresses": [address]}]
    })
}
