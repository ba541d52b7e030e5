//! Objects that the scale bench writes: one Gateway, a Service with hand-made endpoints for each backend,
//! and the routes.

use serde_json::{Value, json};

use sluice_cluster::conformance::install::GATEWAY_CLASS;
use sluice_cluster::network::NODE_V4;

pub(super) const NAMESPACE: &str = "default";
pub(super) const GATEWAY: &str = "scale";
/// The host of the client that sends all the time; no change touches its route.
pub(super) const STEADY_HOST: &str = "steady.scale.test";
/// Ports of the backends, which are processes of the node.
pub(super) const ECHO_PORT: u16 = 8000;
pub(super) const STEADY_PORT: u16 = 8001;

/// The API's path of a collection.
pub(super) fn path(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
    let plural = format!("{kind}s");
    match object["apiVersion"].as_str().unwrap_or_default() {
        "v1" => format!("/api/v1/namespaces/{NAMESPACE}/{plural}"),
        version => format!("/apis/{version}/namespaces/{NAMESPACE}/{plural}"),
    }
}

/// Everything but the routes that are counted.
pub(super) fn base() -> Vec<Value> {
    let mut all = vec![
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": { "name": GATEWAY },
            "spec": {
                "gatewayClassName": GATEWAY_CLASS,
                "listeners": [{ "name": "http", "protocol": "HTTP", "port": 80 }],
            },
        }),
        route("steady", STEADY_HOST, "/", "steady", STEADY_PORT),
    ];
    all.extend(backend("echo", ECHO_PORT));
    all.extend(backend("steady", STEADY_PORT));
    all
}

/// The route of this number, as it is first.
pub(super) fn numbered(number: usize) -> Value {
    route(&format!("route-{number}"), &host(number), &first_path(number), "echo", ECHO_PORT)
}

pub(super) fn host(number: usize) -> String {
    format!("h{number}.scale.test")
}

/// The backend serves these paths and names the one that was requested.
pub(super) fn first_path(number: usize) -> String {
    format!("/anything/{number}")
}

/// A change of the route's path.
pub(super) fn moved(number: usize, to: &str) -> Value {
    json!({ "spec": { "rules": rules(to, "echo", ECHO_PORT), "hostnames": [host(number)] } })
}

fn route(name: &str, host: &str, path: &str, service: &str, port: u16) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": { "name": name },
        "spec": {
            "parentRefs": [{ "name": GATEWAY }], "hostnames": [host], "rules": rules(path, service, port),
        },
    })
}

fn rules(path: &str, service: &str, port: u16) -> Value {
    json!([{
        "matches": [{ "path": { "type": "PathPrefix", "value": path } }],
        "backendRefs": [{ "name": service, "port": port }],
    }])
}

fn backend(name: &str, port: u16) -> [Value; 2] {
    [
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
            "spec": { "ports": [{ "name": "http", "port": port, "targetPort": port }] },
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": { "name": format!("{name}-1"), "labels": { "kubernetes.io/service-name": name } },
            "addressType": "IPv4", "ports": [{ "name": "http", "port": port, "protocol": "TCP" }],
            "endpoints": [{ "addresses": [NODE_V4], "conditions": { "ready": true } }],
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_has_its_collection() {
        let paths: Vec<_> = base().iter().map(path).collect();
        assert_eq!(paths[0], "/apis/gateway.networking.k8s.io/v1/namespaces/default/gateways");
        assert_eq!(paths[2], "/api/v1/namespaces/default/services");
        assert_eq!(paths[3], "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices");
    }
}
