//! Sluice's configuration as files: one listener, one backend with one endpoint, and routes to it.

use std::fs;
use std::net::SocketAddr;

use anyhow::Result;
use gateway_testkit::tls::SelfSigned;

use super::{Pass, Setup, Traffic};
use crate::testbed::{GRPC_ADDRESS, WEBSOCKET_ADDRESS};

/// On a Service's port whose backend speaks HTTP/2 in clear text.
const H2C: &str = ", appProtocol: kubernetes.io/h2c";
/// A host that has a route in every scenario, and the name of every certificate.
pub(crate) const HOST: &str = "h0.example";
/// Another name of certificates, which wrk sends: it is the one name whose address it finds anywhere.
pub(crate) const SERVER_NAME: &str = "localhost";
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

/// A route that passes everything on as it is.
pub(crate) fn pass(setup: &Setup, pass: Pass) -> String {
    let (listen, backend) = (setup.listen, setup.backend);
    let (kind, hostnames) = match pass {
        Pass::Tcp => ("TCPRoute", String::new()),
        Pass::Sni => ("TLSRoute", format!("  hostnames: [{SERVER_NAME}]\n")),
        Pass::Udp => ("UDPRoute", String::new()),
    };
    format!(
        "{}---
apiVersion: gateway.networking.k8s.io/v1
kind: {kind}
metadata: {{name: all, namespace: bench}}
spec:
  parentRefs: [{{name: bench}}]
{hostnames}  rules:
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

/// Listener and backend of a proxy that is measured, with the Secret of its certificate and the policy of its backend.
fn measured(setup: &Setup) -> Result<String> {
    let traffic = setup.role.traffic();
    let mut text = base(setup.listen, setup.backend, traffic);
    if traffic.tls {
        let [certificate, key] = [setup.certificate(), setup.key()].map(fs::read_to_string);
        text += &SelfSigned { certificate: certificate?, key: key? }.secret("bench", "certificate");
    }
    if traffic.backend_tls.is_some() {
        text += &policy(&fs::read_to_string(setup.certificate())?);
    }
    Ok(text)
}

/// TLS to the backend, whose certificate is the one that is trusted.
fn policy(certificate: &str) -> String {
    let certificate: String = certificate.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "---
apiVersion: v1
kind: ConfigMap
metadata: {{name: authority, namespace: bench}}
data:
  ca.crt: |
{certificate}---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {{name: backend, namespace: bench}}
spec:
  targetRefs: [{{group: \"\", kind: Service, name: backend}}]
  validation:
    caCertificateRefs: [{{group: \"\", kind: ConfigMap, name: authority}}]
    hostname: {HOST}
"
    )
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
    let listener = match traffic.pass {
        Some(Pass::Tcp) => "name: tcp, protocol: TCP",
        Some(Pass::Sni) => "name: tls, protocol: TLS, tls: {mode: Passthrough}",
        Some(Pass::Udp) => "name: udp, protocol: UDP",
        None if traffic.tls => "name: https, protocol: HTTPS, tls: {certificateRefs: [{name: certificate}]}",
        None => "name: http, protocol: HTTP",
    };
    let protocol = match traffic.pass {
        Some(Pass::Udp) => ", protocol: UDP",
        _ if traffic.backend_http2 => H2C,
        _ => "",
    };
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
    let transport = if protocol.contains("UDP") { "UDP" } else { "TCP" };
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
ports: [{{name: http, port: {port}, protocol: {transport}}}]
endpoints: [{{addresses: [{address}], conditions: {{ready: true}}}}]
"
    )
}
