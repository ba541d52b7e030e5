//! Objects of these tests.

use std::net::SocketAddr;

use gateway_testkit::tls::{self, Authority, SelfSigned, Versions};
use gateway_testkit::wait;

use crate::asked;
use crate::common::Running;

/// The host that takes valid certificates only.
pub(crate) const STRICT: &str = "strict.example";
/// The host that takes all clients, with or without one.
pub(crate) const LAX: &str = "lax.example";
/// A host of another Gateway, which asks for none.
pub(crate) const OPEN: &str = "open.example";

pub(crate) const GATEWAYS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: asks, namespace: ingress}
spec:
  gatewayClassName: sluice
  tls:
    frontend:
      default: {validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}}
      perPort:
      - {port: 8443, tls: {}}
      - {port: 9443, tls: {validation: {mode: AllowInsecureFallback, caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}}}
  listeners:
  - {name: strict, protocol: HTTPS, port: 443, hostname: strict.example, allowedRoutes: {namespaces: {from: All}}, tls: {certificateRefs: [{name: server}], options: {sluice.dev/forward-client-cert: 'true'}}}
  - {name: free, protocol: HTTPS, port: 8443, hostname: strict.example, allowedRoutes: {namespaces: {from: All}}, tls: {certificateRefs: [{name: server}]}}
  - {name: lax, protocol: HTTPS, port: 9443, hostname: lax.example, allowedRoutes: {namespaces: {from: All}}, tls: {certificateRefs: [{name: server}], options: {sluice.dev/forward-client-cert: 'true'}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: open, namespace: ingress}
spec:
  gatewayClassName: sluice
  listeners:
  - {name: open, protocol: HTTPS, port: 443, hostname: open.example, allowedRoutes: {namespaces: {from: All}}, tls: {certificateRefs: [{name: server}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: secure, namespace: team2}
spec:
  parentRefs: [{name: asks, namespace: ingress}, {name: open, namespace: ingress}]
  rules: [{backendRefs: [{name: httpbin, port: 8000}]}]
";

pub(crate) fn port(number: u16) -> SocketAddr {
    ([127, 0, 0, 1], number).into()
}

/// Writes the objects beside the example's and waits until they are served; gives the servers' certificate and the authority of
/// clients.
pub(crate) fn serve(running: &Running) -> (SelfSigned, Authority) {
    let server = SelfSigned::new(&[STRICT, LAX, OPEN]);
    let authority = Authority::new();
    running.config.write("server.yaml", &server.secret("ingress", "server")).unwrap();
    running.config.write("ca.yaml", &authority.config_map("ingress", "ca")).unwrap();
    running.config.write("asks.yaml", GATEWAYS).unwrap();
    let client = tls::showing(&[&server], Versions::New, Some(&authority.issue(&["first.example"])));
    wait::until("the listeners", || {
        asked(port(443), STRICT, &client).ok().filter(|response| response.status == 200)
    });
    (server, authority)
}
