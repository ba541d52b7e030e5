//! Objects of `bench edits`: one Gateway, a Service with an endpoint that nobody asks, and routes to it.

use gateway_testkit::apiserver::ApiServer;
use serde_json::{Value, json};

/// The port of all routes, and that of the listener that comes and goes.
pub(super) const PORT: u16 = 80;
pub(super) const EXTRA_PORT: u16 = 8081;

pub(super) const GATEWAYS: &str = "gateways.gateway.networking.k8s.io";
pub(super) const ROUTES: &str = "httproutes.gateway.networking.k8s.io";
const CLASSES: &str = "gatewayclasses.gateway.networking.k8s.io";
const SLICES: &str = "endpointslices.discovery.k8s.io";

const NAMESPACE: &str = "edge";

fn named(name: &str, namespace: &str, generation: usize, mut object: Value) -> Value {
    object["metadata"] = json!({"name": name, "namespace": namespace, "generation": generation, "uid": name});
    object
}

/// The Gateway with a listener on each of these ports.
pub(super) fn gateway(ports: &[u16], generation: usize) -> Value {
    let listener = |port: &u16| json!({"name": format!("on-{port}"), "port": port, "protocol": "HTTP"});
    let listeners: Vec<Value> = ports.iter().map(listener).collect();
    let spec = json!({"gatewayClassName": "sluice", "listeners": listeners});
    named("web", NAMESPACE, generation, json!({"spec": spec}))
}

pub(super) fn host(number: usize) -> String {
    format!("h{number}.edits.test")
}

pub(super) fn first_path(number: usize) -> String {
    format!("/path-{number}")
}

/// The route of this number with that path.
pub(super) fn route(number: usize, path: &str, generation: usize) -> Value {
    let matches = json!([{"path": {"type": "PathPrefix", "value": path}}]);
    let rules = json!([{"matches": matches, "backendRefs": [{"name": "backend", "port": 80}]}]);
    let spec = json!({"parentRefs": [{"name": "web"}], "hostnames": [host(number)], "rules": rules});
    named(&format!("route-{number}"), NAMESPACE, generation, json!({"spec": spec}))
}

/// Everything as it is first.
pub(super) fn put_all(api: &ApiServer, routes: usize) {
    api.put(CLASSES, named("sluice", "", 1, json!({"spec": {"controllerName": "sluice.dev/gateway"}})));
    api.put("namespaces", named(NAMESPACE, "", 1, json!({})));
    api.put(GATEWAYS, gateway(&[PORT], 1));
    api.put("services", named("backend", NAMESPACE, 1, json!({"spec": {"ports": [{"port": 80}]}})));
    let slice = json!({
        "addressType": "IPv4", "ports": [{"port": 8000}], "endpoints": [{"addresses": ["192.0.2.1"]}],
    });
    let mut slice = named("backend-1", NAMESPACE, 1, slice);
    slice["metadata"]["labels"] = json!({"kubernetes.io/service-name": "backend"});
    api.put(SLICES, slice);
    (0..routes).for_each(|number| api.put(ROUTES, route(number, &first_path(number), 1)));
}
