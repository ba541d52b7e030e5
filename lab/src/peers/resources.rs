//! Sluice's configuration as files: one listener, one backend with one endpoint, and routes to it.

use std::fs;
use std::net::SocketAddr;

use anyhow::Result;
use gateway_testkit::tls::SelfSigned;

use super::{Setup, Traffic};
use crate::testbed::{GRPC_ADDRESS, WEBSOCKET_ADDRESS};

/// On a Service's port whose backend speaks HTTP/2 in clear text.
const H2C: &str = ", appProtocol: kubernetes.io/h2c";
/// A host that has a route in every scenario, and the name of every certificate.
pub(crate) const HOST: &str = "h0.example";
/// Names in the scenario of many routes; each has a route of its own.
pub(crate) const HOSTS: usize = 1000;
/// Rules of each of these routes.
pub(crate) const PATHS: usize = 10;

/// As [`pass_everything`], beside a route for WebSockets and one for calls of gRPC, each to a backend of its own.
pub(crate) fn pass_streams_too(listen: SocketAddr, backend: SocketAddr) -> Result<String> {
    let (websocket, grpc): (SocketAddr, SocketAddr) = (WEBSOCKET_ADDRESS.parse()?, GRPC_ADDRESS.parse()?);
    let rule = format!(
        "    - matches: [{{path: {{type: Exact, value: /websocket}}}}]
      backendRefs: [{{name: websocket, port: {}}}]
",
        websocket.port()
    );
    Ok(pass_everything(listen, backend)
        + "---\n"
        + &service("websocket", websocket, "")
        + &route("websocket", "", &rule)
        + "---\n"
        + &service("grpc", grpc, H2C)
        + &format!(
            "---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {{name: grpc, namespace: bench}}
spec:
  parentRefs: [{{name: bench}}]
  rules:
    - matches: [{{method: {{service: bench.Echo}}}}]
      backendRefs: [{{name: grpc, port: {}}}]
",
            grpc.port()
        ))
}

/// One route that takes everything to the backend as it is.
pub(crate) fn pass_everything(listen: SocketAddr, backend: SocketAddr) -> String {
    let rule = format!("    - backendRefs: [{{name: backend, port: {}}}]\n", backend.port());
    base(listen, backend, Traffic::PLAIN) + &route("all", "", &rule)
}

/// One route that takes `/app` away from the path.
pub(crate) fn strip_prefix(setup: &Setup) -> Result<String> {
    Ok(measured(setup)? + &route("all", "", &strip_rule("", setup.backend.port())))
}

/// A TCPRoute for all connections.
pub(crate) fn pass_bytes(setup: &Setup) -> String {
    let (listen, backend) = (setup.listen, setup.backend);
    format!(
        "{}---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {{name: all, namespace: bench}}
spec:
  parentRefs: [{{name: bench}}]
  rules:
    - backendRefs: [{{name: backend, port: {}}}]
",
        base(listen, backend, setup.role.traffic()),
        backend.port()
    )
}

/// [`HOSTS`] routes with [`PATHS`] rules each; a rule takes `/app/N` away from the path.
pub(crate) fn many_routes(setup: &Setup) -> Result<String> {
    let rules: String = (0..PATHS).map(|n| strip_rule(&format!("/{n}"), setup.backend.port())).collect();
    let mut text = measured(setup)?;
    for host in 0..HOSTS {
        text += &route(&format!("r{host}"), &format!("  hostnames: [h{host}.example]\n"), &rules);
    }
    Ok(text)
}

/// Listener and backend of a proxy that is measured, with the Secret of its certificate.
fn measured(setup: &Setup) -> Result<String> {
    let traffic = setup.role.traffic();
    let text = base(setup.listen, setup.backend, traffic);
    if !traffic.tls {
        return Ok(text);
    }
    let [certificate, key] = [setup.certificate(), setup.key()].map(fs::read_to_string);
    Ok(text + &SelfSigned { certificate: certificate?, key: key? }.secret("bench", "certificate"))
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
fn base(listen: SocketAddr, backend: SocketAddr, traffic: Traffic) -> String {
    let listener = match traffic.tls {
        _ if traffic.bytes => "name: tcp, protocol: TCP",
        true => "name: https, protocol: HTTPS, tls: {certificateRefs: [{name: certificate}]}",
        false => "name: http, protocol: HTTP",
    };
    let protocol = if traffic.backend_http2 { H2C } else { "" };
    let (port, backend) = (listen.port(), service("backend", backend, protocol));
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
  listeners: [{{{listener}, port: {port}}}]
---
{backend}"
    )
}

/// A Service with one endpoint; `protocol` is more of its port.
fn service(name: &str, at: SocketAddr, protocol: &str) -> String {
    let (address, port) = (at.ip(), at.port());
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: bench}}
spec:
  ports: [{{name: http, port: {port}, targetPort: {port}{protocol}}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}-1
  namespace: bench
  labels: {{kubernetes.io/service-name: {name}}}
addressType: IPv4
ports: [{{name: http, port: {port}, protocol: TCP}}]
endpoints: [{{addresses: [{address}], conditions: {{ready: true}}}}]
"
    )
}
