//! Backends over HTTP/2 and for WebSocket, and the objects that send traffic there.

use std::net::{SocketAddr, TcpListener};
use std::thread;

use bytes::Bytes;
use gateway_testkit::http2::backend::{Exchange, H2Backend, send};
use h2::SendStream;
use h2::server::Builder;
use http::{HeaderMap, HeaderValue, Method, Response};

use crate::common::{HTTP, Running};

/// The backends of a test. Those over HTTP/2 know extended CONNECT.
pub(crate) struct Backends {
    pub(crate) web: H2Backend,
    pub(crate) calls: H2Backend,
}

/// Starts backends, writes their objects beside the example's, and waits until they are served.
pub(crate) fn serve(running: &Running) -> Backends {
    let backends = Backends { web: speaking_h2(web), calls: speaking_h2(calls) };
    let objects = [
        ROUTES.to_owned(),
        service("web", backends.web.address(), "kubernetes.io/h2c"),
        service("calls", backends.calls.address(), ""),
        service("chat", websocket_echo(), "kubernetes.io/ws"),
    ];
    running.config.write("protocols.yaml", &objects.join("---\n")).unwrap();
    gateway_testkit::wait::until("the routes", || {
        let response = gateway_testkit::http::get(HTTP.parse().unwrap(), "both.example", "/ready").ok()?;
        (response.status == 200).then_some(())
    });
    backends
}

/// Two kinds on one host, a host of calls alone, and one of WebSocket over HTTP/1.1.
const ROUTES: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: team2}
spec:
  parentRefs: [{name: shared-gateway, namespace: ingress}]
  hostnames: [both.example]
  rules: [{backendRefs: [{name: web, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: calls, namespace: team2}
spec:
  parentRefs: [{name: shared-gateway, namespace: ingress}]
  hostnames: [both.example, calls.example]
  rules:
    - matches: [{method: {service: a.Echo}}]
      backendRefs: [{name: calls, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: chat, namespace: team2}
spec:
  parentRefs: [{name: shared-gateway, namespace: ingress}]
  hostnames: [chat.example]
  rules:
    - matches: [{path: {value: /chat}}]
      filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-own, value: '1'}]}}]
      backendRefs: [{name: chat, port: 80}]
";

/// A Service of team2 with one endpoint.
pub(crate) fn service(name: &str, address: SocketAddr, protocol: &str) -> String {
    let protocol = if protocol.is_empty() { String::new() } else { format!(", appProtocol: {protocol}") };
    let port = address.port();
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: team2}}
spec: {{ports: [{{port: 80, targetPort: {port}{protocol}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-1, namespace: team2, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{port: {port}, protocol: TCP}}]
endpoints: [{{addresses: [127.0.0.1], conditions: {{ready: true}}}}]
"
    )
}

fn speaking_h2<F: Future<Output = ()> + 'static>(serve: fn(Exchange) -> F) -> H2Backend {
    let mut settings = Builder::new();
    settings.enable_connect_protocol();
    H2Backend::with(settings, usize::MAX, serve)
}

/// Says what was asked for; an extended CONNECT gets all that it sends back.
async fn web(mut exchange: Exchange) {
    let (method, path) = (exchange.request.method().clone(), exchange.request.uri().path().to_owned());
    if method == Method::CONNECT {
        let Ok(stream) = exchange.response.send_response(Response::new(()), false) else { return };
        let Some(mut stream) = echo(&mut exchange, stream).await else { return };
        let _ = stream.send_data(Bytes::new(), true);
        return;
    }
    let Some((body, _)) = exchange.body().await else { return };
    let head = Response::builder().header("x-backend", "web").body(()).unwrap();
    let Ok(stream) = exchange.response.send_response(head, false) else { return };
    let _ = send(stream, format!("{method} {path} {}", body.len()).into(), None).await;
}

/// Sends each message of a call back as it comes, and a status behind the last one.
async fn calls(mut exchange: Exchange) {
    let head = Response::builder().header("content-type", "application/grpc").header("x-backend", "calls");
    let Ok(stream) = exchange.response.send_response(head.body(()).unwrap(), false) else { return };
    let Some(mut stream) = echo(&mut exchange, stream).await else { return };
    let mut status = HeaderMap::new();
    status.insert("grpc-status", HeaderValue::from_static("0"));
    status.insert("grpc-message", HeaderValue::from_static("well done"));
    let _ = stream.send_trailers(status);
}

/// Sends back what comes; gives the stream once the client has finished.
async fn echo(exchange: &mut Exchange, mut stream: SendStream<Bytes>) -> Option<SendStream<Bytes>> {
    let body = exchange.request.body_mut();
    while let Some(data) = body.data().await {
        let data = data.ok()?;
        body.flow_control().release_capacity(data.len()).ok()?;
        stream.send_data(data, false).ok()?;
    }
    Some(stream)
}

/// A server of WebSocket on threads of its own, which end with their connections.
fn websocket_echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let Ok(mut socket) = tungstenite::accept_hdr(stream, own_field) else { return };
                while let Ok(message) = socket.read() {
                    if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Shows that the route's filter has seen the handshake.
#[allow(clippy::unnecessary_wraps, clippy::result_large_err)] // what the callback is to be
fn own_field(
    request: &tungstenite::handshake::server::Request,
    mut response: tungstenite::handshake::server::Response,
) -> Result<tungstenite::handshake::server::Response, tungstenite::handshake::server::ErrorResponse> {
    if let Some(value) = request.headers().get("x-own") {
        response.headers_mut().insert("x-own", value.clone());
    }
    Ok(response)
}
