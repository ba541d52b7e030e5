//! Sluice's configuration as files: one listener, one backend with one endpoint, and routes to it.

use std::net::SocketAddr;

/// Names in the scenario of many routes; each has a route of its own.
pub(crate) const HOSTS: usize = 1000;
/// Rules of each of these routes.
pub(crate) const PATHS: usize = 10;

/// One route that takes everything to the backend as it is.
pub(crate) fn pass_everything(listen: SocketAddr, backend: SocketAddr) -> String {
    let rule = format!("    - backendRefs: [{{name: backend, port: {}}}]\n", backend.port());
    base(listen, backend) + &route("all", "", &rule)
}

/// One route that takes `/app` away from the path.
pub(crate) fn strip_prefix(listen: SocketAddr, backend: SocketAddr) -> String {
    base(listen, backend) + &route("all", "", &strip_rule("", backend.port()))
}

/// [`HOSTS`] routes with [`PATHS`] rules each; a rule takes `/app/N` away from the path.
pub(crate) fn many_routes(listen: SocketAddr, backend: SocketAddr) -> String {
    let rules: String = (0..PATHS).map(|n| strip_rule(&format!("/{n}"), backend.port())).collect();
    let mut text = base(listen, backend);
    for host in 0..HOSTS {
        text += &route(&format!("r{host}"), &format!("  hostnames: [h{host}.example]\n"), &rules);
    }
    text
}

/// A route; `hostnames` and `rules` are whole lines.
fn route(name: &str, hostnames: &str, rules: &str) -> String {
    format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: bench}}
spec:
  parentRefs: [{{name: bench}}]
{hostnames}  rules:
{rules}"
    )
}

/// A rule for `/app` with `path` behind it.
fn strip_rule(path: &str, port: u16) -> String {
    format!(
        "    - matches: [{{path: {{type: PathPrefix, value: /app{path}}}}}]
      filters:
        - type: URLRewrite
          urlRewrite: {{path: {{type: ReplacePrefixMatch, replacePrefixMatch: /}}}}
      backendRefs: [{{name: backend, port: {port}}}]
"
    )
}

/// Everything but the routes.
fn base(listen: SocketAddr, backend: SocketAddr) -> String {
    let (port, address, backend_port) = (listen.port(), backend.ip(), backend.port());
    format!(
        "apiVersion: v1
kind: Namespace
metadata: {{name: bench}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: sluice}}
spec: {{controllerName: sluice.dev/gateway}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: bench, namespace: bench}}
spec:
  gatewayClassName: sluice
  listeners: [{{name: http, protocol: HTTP, port: {port}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: backend, namespace: bench}}
spec:
  ports: [{{name: http, port: {backend_port}, targetPort: {backend_port}}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: backend-1
  namespace: bench
  labels: {{kubernetes.io/service-name: backend}}
addressType: IPv4
ports: [{{name: http, port: {backend_port}, protocol: TCP}}]
endpoints: [{{addresses: [{address}], conditions: {{ready: true}}}}]
"
    )
}
