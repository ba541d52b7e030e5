//! The shared Gateway, the neighbour, and objects as large as they can be.

use gateway_api_types::{Kind, Object};
use serde_json::{Value, json};

/// Parses an object without the schema: what is here is as large as the schema allows.
pub(crate) fn typed(value: Value) -> Object {
    let kind = Kind::ALL.iter().copied().find(|kind| value["kind"] == kind.as_str()).expect("a kind of ours");
    Object::from_value(kind, value).expect("an object of ours")
}

/// `length` characters that end in the number.
pub(crate) fn long(number: usize, length: usize) -> String {
    format!("{}{number:08}", "x".repeat(length.saturating_sub(8)))
}

/// A Gateway of that many listeners, on one port each, open to all namespaces.
pub(crate) fn gateway(listeners: usize) -> Value {
    let listener = |n: usize| {
        json!({"name": format!("l{n}"), "port": 8000 + n, "protocol": "HTTP",
            "allowedRoutes": {"namespaces": {"from": "All"}}})
    };
    let listeners: Vec<_> = (0..listeners).map(listener).collect();
    json!({"kind": "Gateway", "metadata": {"name": "gw", "namespace": "edge"},
        "spec": {"gatewayClassName": "sluice", "listeners": listeners}})
}

/// A route of tenant `loud` on all listeners of the Gateway.
pub(crate) fn route(number: usize, hostnames: &[String], rules: &[Value]) -> Value {
    json!({"kind": "HTTPRoute", "metadata": {"name": format!("r{number}"), "namespace": "loud"},
        "spec": {"parentRefs": [{"name": "gw", "namespace": "edge"}], "hostnames": hostnames, "rules": rules}})
}

/// Class, Gateway, and the neighbour: a Service with an endpoint and a route.
pub(crate) fn base(listeners: usize) -> Vec<Value> {
    vec![
        json!({"kind": "GatewayClass", "metadata": {"name": "sluice"}, "spec": {"controllerName": "sluice.dev/gateway"}}),
        gateway(listeners),
        service("small", "web", &[80]),
        slice("small", "web", 0, 1),
        neighbour("/"),
    ]
}

/// The neighbour's route; its path is what the edit changes.
pub(crate) fn neighbour(path: &str) -> Value {
    json!({"kind": "HTTPRoute", "metadata": {"name": "web", "namespace": "small"},
        "spec": {"parentRefs": [{"name": "gw", "namespace": "edge", "sectionName": "l0"}], "hostnames": ["small.example.com"],
            "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": path}}], "backendRefs": [{"name": "web", "port": 80}]}]}})
}

pub(crate) fn service(namespace: &str, name: &str, ports: &[u16]) -> Value {
    let ports: Vec<_> = ports.iter().map(|port| json!({"name": format!("p{port}"), "port": port})).collect();
    json!({"kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": {"ports": ports}})
}

/// One slice of so many endpoints for port 80.
pub(crate) fn slice(namespace: &str, service: &str, number: usize, endpoints: usize) -> Value {
    let endpoint =
        |n: usize| json!({"addresses": [format!("10.{}.{}.{}", number % 250, n / 250, n % 250 + 1)]});
    let endpoints: Vec<_> = (0..endpoints).map(endpoint).collect();
    json!({"kind": "EndpointSlice", "addressType": "IPv4", "ports": [{"name": "p80", "port": 8080}], "endpoints": endpoints,
        "metadata": {"name": format!("{service}-{number}"), "namespace": namespace,
            "labels": {"kubernetes.io/service-name": service}}})
}

/// So many hosts of the tenant's.
pub(crate) fn hosts(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("h{n}.loud.example.com")).collect()
}
