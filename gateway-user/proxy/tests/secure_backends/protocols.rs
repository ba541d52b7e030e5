//! Protocols within TLS.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use gateway_io::Driver;
use gateway_ir::{BackendProtocol, SubjectAltName};
use gateway_testkit::tls::{Authority, FrontOptions, Leaf, TlsFront, Versions};

use crate::support::Gateway;
use crate::support::backend::{Backend, echo, ok};
use crate::support::h2_backend::H2Backend;
use crate::support::ir::tls;
use crate::{NAME, config, on_every_driver, trusting};

on_every_driver! {
    requests_go_over_both_versions,
    http_2_is_chosen_by_alpn,
    a_tunnel_goes_over_tls,
    names_of_the_policy_stand_for_the_hostname,
    a_client_certificate_is_shown,
}

const HTTP_1: FrontOptions<'static> =
    FrontOptions { version: None, protocols: &[b"http/1.1"], clients: None };

fn requests_go_over_both_versions(driver: Driver) {
    let (authority, backend) = (Authority::new(), Backend::answering(echo));
    let identity = authority.issue(&[NAME]);
    for version in [Versions::Old, Versions::New] {
        let options = FrontOptions { version: Some(version), ..HTTP_1 };
        let front = TlsFront::start(&identity, backend.address(), &options);
        let gateway =
            Gateway::start(driver, &config(front.address(), BackendProtocol::Http1, trusting(&authority)));
        let mut client = gateway.connect();
        for _ in 0..3 {
            assert_eq!(client.get("test.example", "/a").unwrap().status, 200);
        }
        let body = vec![b'x'; 200_000];
        let head = format!("POST / HTTP/1.1\r\nHost: test.example\r\nContent-Length: {}\r\n\r\n", body.len());
        client.send(head).unwrap();
        client.send(&body).unwrap();
        let response = client.response().unwrap();
        assert!(
            response.status == 200 && response.text().contains("\"length\":200000"),
            "{}",
            response.text()
        );
        let handshakes = front.handshakes();
        assert_eq!(handshakes.len(), 1, "one connection carries all: {handshakes:?}");
        assert_eq!(handshakes[0].server_name.as_deref(), Some(NAME));
        assert_eq!(handshakes[0].protocol.as_deref(), Some(&b"http/1.1"[..]));
        let counters = gateway.metrics().counters;
        assert_eq!((counters.upstream_tls_handshakes, counters.upstream_tls_failures), (1, 0));
    }
}

fn http_2_is_chosen_by_alpn(driver: Driver) {
    let authority = Authority::new();
    let backend = H2Backend::start(|mut exchange| async move {
        let text =
            format!("{} {}", exchange.request.uri().scheme_str().unwrap_or_default(), exchange.connection);
        let response = http::Response::builder().body(()).unwrap();
        let mut body = exchange.response.send_response(response, false).unwrap();
        body.send_data(Bytes::from(text), true).unwrap();
    });
    let options = FrontOptions { protocols: &[b"h2", b"http/1.1"], ..FrontOptions::default() };
    let front = TlsFront::start(&authority.issue(&[NAME]), backend.address(), &options);
    let gateway =
        Gateway::start(driver, &config(front.address(), BackendProtocol::Http2, trusting(&authority)));
    for _ in 0..3 {
        let response = gateway.get("/");
        assert_eq!((response.status, response.text().as_str()), (200, "https 0"));
    }
    assert_eq!(front.handshakes()[0].protocol.as_deref(), Some(&b"h2"[..]));
}

fn a_tunnel_goes_over_tls(driver: Driver) {
    let authority = Authority::new();
    let backend = Backend::start(|mut exchange| {
        let request = exchange.request().unwrap();
        assert_eq!(request.header("upgrade"), Some("websocket"));
        let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{accept}\r\n\r\n"
        );
        exchange.stream.write_all(head.as_bytes()).unwrap();
        while let Ok(Some(byte)) = exchange.byte() {
            exchange.stream.write_all(&[byte.to_ascii_uppercase()]).unwrap();
        }
    });
    let front = TlsFront::start(&authority.issue(&[NAME]), backend.address(), &HTTP_1);
    let gateway =
        Gateway::start(driver, &config(front.address(), BackendProtocol::Http1, trusting(&authority)));
    let mut stream = std::net::TcpStream::connect(gateway.address).unwrap();
    stream.set_read_timeout(Some(gateway_testkit::wait::WAIT_TIMEOUT)).unwrap();
    let head = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        response.push(byte[0]);
    }
    assert!(response.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&response));
    stream.write_all(b"hello").unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"HELLO");
}

fn names_of_the_policy_stand_for_the_hostname(driver: Driver) {
    let (authority, backend) = (Authority::new(), Backend::answering(|_| ok("hello")));
    let uri = "spiffe://cluster.example/ns/apps/sa/app";
    let identity = authority.sign(&Leaf { names: &["a.apps.example"], uris: &[uri], ..Leaf::default() });
    let front = TlsFront::start(&identity, backend.address(), &HTTP_1);
    let dns = |name: &str| SubjectAltName::Hostname(name.to_owned());
    for (names, status) in [
        (vec![dns("a.apps.example")], 200),
        (vec![dns("*.apps.example")], 200),
        (vec![dns("other.example"), SubjectAltName::Uri(uri.to_owned())], 200),
        (vec![dns("b.apps.example")], 502),
        (vec![dns(NAME)], 502),
        (vec![SubjectAltName::Uri(format!("{uri}/more"))], 502),
        (Vec::new(), 502),
    ] {
        let settings = gateway_ir::BackendTls { subject_alt_names: names.clone(), ..trusting(&authority) };
        let gateway = Gateway::start(driver, &config(front.address(), BackendProtocol::Http1, settings));
        let response = gateway.get("/");
        let reason = (status == 502).then_some("upstream_tls_wrong_name");
        assert_eq!((response.status, response.reason()), (status, reason), "{names:?}");
    }
    assert!(
        front.handshakes().iter().all(|one| one.server_name.as_deref() == Some(NAME)),
        "sent all the same"
    );
}

fn a_client_certificate_is_shown(driver: Driver) {
    let (authority, clients) = (Authority::new(), Authority::new());
    let backend = Backend::answering(|_| ok("hello"));
    let (identity, own) = (authority.issue(&[NAME]), clients.issue(&["gateway.example"]));
    for version in [Versions::Old, Versions::New] {
        let options = FrontOptions { version: Some(version), clients: Some(&clients), ..HTTP_1 };
        let front = TlsFront::start(&identity, backend.address(), &options);
        let mut config = config(front.address(), BackendProtocol::Http1, trusting(&authority));
        let gateway = Gateway::start(driver, &config);
        let response = gateway.get("/");
        let refused = (502, Some("upstream_tls_refused"));
        assert_eq!((response.status, response.reason()), refused, "{version:?} without one");
        drop(gateway);
        config.backend_certificate = tls(&own).certificates.pop();
        let gateway = Gateway::start(driver, &config);
        assert_eq!(gateway.get("/").status, 200, "{version:?}");
        assert_eq!(front.handshakes().pop().unwrap().client.as_deref(), Some(own.der().as_ref()));
        drop(gateway);
        config.backend_certificate = tls(&authority.issue(&["gateway.example"])).certificates.pop();
        let gateway = Gateway::start(driver, &config);
        let response = gateway.get("/");
        assert_eq!((response.status, response.reason()), refused, "{version:?} with another authority's");
    }
}
