//! Listeners, routes and Services of the tests, and the backends behind them.

use std::fmt::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use gateway_testkit::tls::{self, Authority, SelfSigned, Versions};
use rustls::ClientConfig;

use crate::ends::start_echo;

/// The name in the certificate of the backend that is spoken to over TLS by policy.
pub(crate) const SEALED: &str = "sealed.team2.svc";

/// HTTPS, and TLS in both modes, on one port.
const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: data, namespace: ingress}
spec:
  gatewayClassName: sluice
  listeners:
  - {name: web, protocol: HTTPS, port: 443, hostname: web.example, allowedRoutes: {namespaces: {from: All}}, tls: {certificateRefs: [{name: web}]}}
  - {name: ends, protocol: TLS, port: 443, hostname: ends.example, allowedRoutes: {namespaces: {from: All}}, tls: {mode: Terminate, certificateRefs: [{name: ends}]}}
  - {name: sealed, protocol: TLS, port: 443, hostname: sealed.example, allowedRoutes: {namespaces: {from: All}}, tls: {mode: Terminate, certificateRefs: [{name: ends}]}}
  - {name: passes, protocol: TLS, port: 443, hostname: '*.example', allowedRoutes: {namespaces: {from: All}}, tls: {mode: Passthrough}}
  - {name: alone, protocol: TLS, port: 8443, hostname: alone.example, allowedRoutes: {namespaces: {from: All}}, tls: {mode: Passthrough}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: team2}
spec:
  parentRefs: [{name: data, namespace: ingress, sectionName: web}]
  rules: [{backendRefs: [{name: httpbin, port: 8000}]}]
";

/// Routes and Services: name, hostname, listener and port of the endpoint on loopback.
const ROUTES: [(&str, &str, &str, u16); 5] = [
    ("ends", "ends.example", "ends", 15432),
    ("exact", "a.b.example", "passes", 15443),
    ("wild", "*.b.example", "passes", 15444),
    ("stock", "stock.example", "passes", 15445),
    ("sealed", "sealed.example", "sealed", 15446),
];

/// Resources of all of it.
pub(crate) fn resources() -> String {
    let mut all = GATEWAY.to_owned();
    for (name, hostname, listener, port) in ROUTES {
        let _ = write!(
            all,
            "---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {{name: {name}, namespace: team2}}
spec:
  parentRefs: [{{name: data, namespace: ingress, sectionName: {listener}}}]
  hostnames: ['{hostname}']
  rules: [{{backendRefs: [{{name: {name}, port: 443, weight: 1}}]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: team2}}
spec: {{ports: [{{name: tls, port: 443}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-1, namespace: team2, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: tls, port: {port}}}]
endpoints: [{{addresses: [127.0.0.1], conditions: {{ready: true}}}}]
"
        );
    }
    all
}

/// Certificates of the listeners and of the backends.
pub(crate) struct Certificates {
    pub(crate) web: SelfSigned,
    pub(crate) ends: SelfSigned,
    pub(crate) exact: SelfSigned,
    pub(crate) wild: SelfSigned,
    pub(crate) stock: SelfSigned,
    /// Of a backend that is spoken to by policy.
    pub(crate) authority: Authority,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let of = |name| SelfSigned::new(&[name]);
        Self {
            web: of("web.example"),
            ends: SelfSigned::new(&["ends.example", "sealed.example"]),
            exact: of("a.b.example"),
            wild: of("*.b.example"),
            stock: of("stock.example"),
            authority: Authority::new(),
        }
    }

    /// A client that trusts all but the authority.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        tls::client(&[&self.web, &self.ends, &self.exact, &self.wild, &self.stock], Versions::New)
    }
}

/// Serves each connection so, until its process ends.
fn backend(port: u16, serve: impl Fn(TcpStream) + Send + Sync + 'static) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
}

/// Starts all of them but OpenSSL's.
pub(crate) fn start_backends(certificates: &Certificates) {
    start_echo("127.0.0.1:15432");
    let sealed = certificates.authority.issue(&[SEALED]);
    for (port, identity) in [(15443, &certificates.exact), (15444, &certificates.wild), (15446, &sealed)] {
        let server = tls::server(identity, &[]);
        backend(port, move |stream| drop(tls::echo(stream, &server)));
    }
}
