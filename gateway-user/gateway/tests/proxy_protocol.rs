//! Connections that begin with a PROXY header: the whole gateway, in clear text and over TLS.

mod common;

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use common::{HTTP, Running, get, metric, with_gateway_flags};
use gateway_testkit::http::Client;
use gateway_testkit::tls::{self, SelfSigned, Versions};
use gateway_testkit::wait;
use nix::sys::signal::Signal;

const SECURE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: secure, namespace: ingress}
spec:
  gatewayClassName: sluice
  listeners:
  - {name: one, protocol: HTTPS, port: 443, allowedRoutes: {namespaces: {from: All}}, tls: {certificateRefs: [{name: one}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: secure, namespace: team2}
spec:
  parentRefs: [{name: secure, namespace: ingress}]
  rules:
  - backendRefs: [{name: httpbin, port: 8000}]
";

const GET: &str = "GET /httpbin/headers HTTP/1.1\r\nHost: a\r\n\r\n";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// Headers of both versions, and the client that each names.
fn headers() -> [(Vec<u8>, &'static str); 4] {
    let mut binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f".to_vec();
    // The last three bytes are a TLV without value.
    binary.extend([198, 51, 100, 2, 10, 0, 0, 1, 0x12, 0x67, 1, 187, 4, 0, 0]);
    [
        (b"PROXY TCP4 198.51.100.1 10.0.0.1 4711 443\r\n".to_vec(), "198.51.100.1"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n".to_vec(), "2001:db8::7"),
        (binary, "198.51.100.2"),
        (LOCAL.to_vec(), "127.0.0.1"),
    ]
}

/// A connection to `to` on which `header` was sent in pieces of so many bytes.
fn announced(to: SocketAddr, header: &[u8], piece: usize) -> TcpStream {
    let mut socket = TcpStream::connect(to).unwrap();
    socket.set_read_timeout(Some(wait::WAIT_TIMEOUT)).unwrap();
    socket.set_nodelay(true).unwrap();
    for part in header.chunks(piece) {
        socket.write_all(part).unwrap();
    }
    socket
}

fn failed(reason: &str) -> f64 {
    metric("sluice_proxy_header_failures_total", &[&format!("reason=\"{reason}\"")])
}

fn seen(text: &str, client: &str) {
    assert!(text.contains(&format!("\"x-forwarded-for\": \"{client}\"")), "not {client}: {text}");
}

fn clear_text() {
    let http = HTTP.parse().unwrap();
    for (header, client) in headers() {
        // The header and the request in one, then byte by byte, then two requests after it.
        for piece in [usize::MAX, 1] {
            let whole = [&header, GET.as_bytes()].concat();
            let mut kept = Client::from(announced(http, &whole, piece));
            seen(&kept.response().unwrap().text(), client);
            seen(&kept.get("a", "/httpbin/headers").unwrap().text(), client);
        }
        let mut late = Client::from(announced(http, &header, usize::MAX));
        seen(&late.get("a", "/httpbin/headers").unwrap().text(), client);
    }
}

fn over_tls(certificate: &SelfSigned) {
    let https = ([127, 0, 0, 1], 443).into();
    for versions in [Versions::Old, Versions::New] {
        let client = tls::client(&[certificate], versions);
        for (header, address) in headers() {
            for piece in [usize::MAX, 1] {
                let socket = announced(https, &header, piece);
                let mut kept = tls::over(socket, "one.example", &client).unwrap();
                seen(&kept.get("one.example", "/headers").unwrap().text(), address);
            }
        }
    }
}

/// Connections with an invalid header end without a response.
fn refused() {
    let http = HTTP.parse().unwrap();
    for (bytes, reason) in [
        (GET, "missing"),
        ("PROXY TCP4 198.51.100.1 10.0.0.1 04711 443\r\n", "bad_address"),
        ("\r\n\r\n\0\r\nQUIT\n\u{22}\u{11}\0\0", "unknown_command"),
    ] {
        let before = failed(reason);
        let mut closed = Client::from(announced(http, bytes.as_bytes(), usize::MAX));
        assert!(closed.at_end().unwrap(), "{bytes:?} gets a response");
        wait::until(reason, || (failed(reason) > before).then_some(()));
    }
    drop(announced(http, b"PROXY TCP4 198", usize::MAX));
    wait::until("a client that goes away", || (failed("client_closed") > 0.0).then_some(()));
    let mut slow = Client::from(announced(http, b"PROXY TCP4 198", usize::MAX));
    assert!(slow.at_end().unwrap());
    wait::until("a slow header", || (failed("timeout") > 0.0).then_some(()));
}

fn play(label: &str, flags: &'static [&'static str]) {
    with_gateway_flags(label, flags, |_, running: &mut Running| {
        let certificate = SelfSigned::new(&["one.example"]);
        running.config.write("secrets.yaml", &certificate.secret("ingress", "one")).unwrap();
        running.config.write("secure.yaml", SECURE).unwrap();
        let client = tls::client(&[&certificate], Versions::New);
        let https: SocketAddr = ([127, 0, 0, 1], 443).into();
        wait::until("the listener", || {
            let socket = TcpStream::connect(https).ok()?;
            socket.set_read_timeout(Some(wait::WAIT_TIMEOUT)).unwrap();
            (&socket).write_all(LOCAL).ok()?;
            tls::over(socket, "one.example", &client).ok()
        });
        clear_text();
        over_tls(&certificate);
        refused();
        running.gateway.signal(Signal::SIGTERM).unwrap();
        running.gateway.wait();
        for (_, client) in headers() {
            let line = format!("\"client_address\":\"{client}\"");
            // Its last lines may still be in the pipe.
            running.gateway.wait_for_output(&line);
        }
    });
}

#[test]
fn announced_clients_are_served_as_if_they_had_come_by_themselves_over_io_uring() {
    play(
        "announced-uring",
        &[
            "--proxy-protocol",
            "127.0.0.1",
            "--io",
            "uring",
            "--client-header-timeout",
            "2s",
            "--access-log",
            "stdout",
            "--drain-min",
            "0s",
        ],
    );
}

#[test]
fn announced_clients_are_served_as_if_they_had_come_by_themselves_over_epoll() {
    play(
        "announced-epoll",
        &[
            "--proxy-protocol",
            "127.0.0.1",
            "--io",
            "epoll",
            "--client-header-timeout",
            "2s",
            "--access-log",
            "stdout",
            "--drain-min",
            "0s",
        ],
    );
}

fn not_asked_for(label: &str, flags: &'static [&'static str]) {
    with_gateway_flags(label, flags, |_, _| {
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        let [(header, _), ..] = headers();
        let whole = [&header, GET.as_bytes()].concat();
        let mut stranger = Client::from(announced(HTTP.parse().unwrap(), &whole, usize::MAX));
        assert_eq!(stranger.response().unwrap().status, 400);
        assert_eq!(metric("sluice_proxy_header_failures_total", &[]), 0.0);
    });
}

#[test]
fn without_the_setting_a_header_is_a_bad_request() {
    not_asked_for("announced-off", &[]);
}

#[test]
fn strangers_send_no_header() {
    not_asked_for("announced-stranger", &["--proxy-protocol", "192.0.2.0/24,2001:db8::/32"]);
}
