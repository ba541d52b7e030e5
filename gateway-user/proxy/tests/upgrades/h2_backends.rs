//! Backends over HTTP/2: an upgrade becomes an extended CONNECT (RFC 8441), whatever its client speaks.

use std::future::Future;
use std::sync::mpsc::channel;

use bytes::Bytes;
use gateway_io::Driver;
use gateway_proxy::ProxyConfig;
use gateway_testkit::wait::WAIT_TIMEOUT;
use h2::SendStream;
use h2::ext::Protocol;
use h2::server::Builder;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::http2::{connect, connected, is_at_end, open, read, until};
use crate::on_every_driver;
use crate::peers::{ACCEPT, Peer, handshake};
use crate::support::Gateway;
use crate::support::h2_backend::{self, Exchange, H2Backend};
use crate::support::ir::Config;

on_every_driver![
    a_handshake_becomes_an_extended_connect,
    a_stream_becomes_a_stream,
    an_empty_frame_ends_a_stream,
    tunnels_share_a_connection_with_requests,
    either_side_may_finish_first,
    another_response_is_one_of_http,
    other_protocols_are_named,
    a_backend_without_extended_connect_is_told_of,
];

/// A backend that knows extended CONNECT.
pub(crate) fn knowing<F: Future<Output = ()> + 'static>(
    serve: impl Fn(Exchange) -> F + Send + 'static,
) -> H2Backend {
    let mut settings = Builder::new();
    settings.enable_connect_protocol();
    H2Backend::with(settings, usize::MAX, serve)
}

/// The tunnel's way to the client; `None` for a request that is no extended CONNECT, which is answered.
pub(crate) async fn accept(mut exchange: Exchange) -> Option<(Exchange, SendStream<Bytes>)> {
    if exchange.request.method() != Method::CONNECT {
        exchange.ok("here").await;
        return None;
    }
    let head = Response::builder().header("sec-websocket-protocol", "chat").body(()).unwrap();
    let stream = exchange.response.send_response(head, false).ok()?;
    Some((exchange, stream))
}

/// The next bytes of the client; `None` at its end.
pub(crate) async fn next(exchange: &mut Exchange) -> Option<Result<Bytes, h2::Error>> {
    let body = exchange.request.body_mut();
    let data = body.data().await?;
    if let Ok(data) = &data {
        let _ = body.flow_control().release_capacity(data.len());
    }
    Some(data)
}

/// Sends back what it gets, until its client has finished.
async fn echo(exchange: Exchange) {
    let Some((mut exchange, mut stream)) = accept(exchange).await else { return };
    while let Some(Ok(data)) = next(&mut exchange).await {
        if stream.send_data(data, false).is_err() {
            return;
        }
    }
    let _ = stream.send_data(Bytes::new(), true);
}

fn a_handshake_becomes_an_extended_connect(driver: Driver) {
    let (seen, see) = channel();
    let backend = knowing(move |exchange| {
        let request = &exchange.request;
        let protocol = request.extensions().get::<Protocol>().map(|name| name.as_str().to_owned());
        let names: Vec<_> = request.headers().keys().map(ToString::to_string).collect();
        seen.send((request.method().clone(), request.uri().to_string(), protocol, names)).unwrap();
        echo(exchange)
    });
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let mut client = Peer::send(&gateway, handshake("/chat?x=1") + "early ");
    let head = client.head().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    let accept = format!("sec-websocket-accept: {}", ACCEPT.to_ascii_lowercase());
    for line in ["upgrade: websocket", "connection: upgrade", "sec-websocket-protocol: chat", &accept] {
        assert_eq!(head.lines().filter(|other| *other == line).count(), 1, "{line}: {head}");
    }
    client.write("and late");
    assert_eq!(client.read(14), b"early and late");
    client.finish();
    assert_eq!(client.rest().unwrap(), b"");

    let (method, uri, protocol, names) = see.recv_timeout(WAIT_TIMEOUT).unwrap();
    assert_eq!((method, uri.as_str()), (Method::CONNECT, "http://a.example/chat?x=1"));
    assert_eq!(protocol.as_deref(), Some("websocket"));
    for name in ["sec-websocket-version", "sec-websocket-protocol", "x-forwarded-for"] {
        assert!(names.iter().any(|other| other == name), "{name}: {names:?}");
    }
    for name in ["sec-websocket-key", "upgrade", "connection", "host", "content-length"] {
        assert!(!names.iter().any(|other| other == name), "{name}: {names:?}");
    }
    gateway.until("its end", |counters| counters.tunnels == 0);
    let line = gateway.log_lines(1).remove(0);
    assert_eq!((&line["response_code"], &line["upgrade"]), (&101.into(), &"websocket".into()));
    assert_eq!((&line["bytes_received"], &line["bytes_sent"]), (&14.into(), &14.into()));
    assert_eq!(line["reason"], serde_json::Value::Null);
}

fn a_stream_becomes_a_stream(driver: Driver) {
    let (seen, see) = channel();
    let backend = knowing(move |exchange| {
        let seen = seen.clone();
        async move {
            let Some((mut exchange, mut stream)) = accept(exchange).await else { return };
            while let Some(Ok(data)) = next(&mut exchange).await {
                stream.send_data(data, false).unwrap();
            }
            seen.send(exchange.request.body_mut().trailers().await.unwrap()).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("x-a", HeaderValue::from_static("1"));
            stream.send_trailers(trailers).unwrap();
        }
    });
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    connected(&gateway, |client| async move {
        let (response, mut stream) = open(&client, connect("websocket")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
        assert!(!response.headers().contains_key("sec-websocket-accept"));
        let mut body = response.into_body();
        for word in ["there", "and back"] {
            stream.send_data(word.into(), false).unwrap();
            assert_eq!(read(&mut body, word.len()).await, word.as_bytes());
        }
        // A tunnel has no trailers: they would pass all filters.
        let mut trailers = HeaderMap::new();
        trailers.insert("x-forwarded-for", HeaderValue::from_static("1.2.3.4"));
        stream.send_trailers(trailers).unwrap();
        assert!(is_at_end(&mut body).await && body.trailers().await.unwrap().is_none());
    });
    assert!(see.recv_timeout(WAIT_TIMEOUT).unwrap().is_none());
    gateway.until("its end", |counters| counters.tunnels == 0 && counters.tunnel_bytes_sent == 13);
    let lines = gateway.log_lines(2);
    let line = lines.iter().find(|line| line["path"] == "/chat?x=1").unwrap();
    assert_eq!((&line["response_code"], &line["upgrade"]), (&200.into(), &"websocket".into()));
    assert_eq!(line["reason"], serde_json::Value::Null);
}

fn an_empty_frame_ends_a_stream(driver: Driver) {
    // This one ends by an empty frame, too.
    let backend = knowing(echo);
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let gateway = &gateway;
    connected(gateway, |client| async move {
        let (response, mut stream) = open(&client, connect("websocket")).await;
        let mut body = response.into_body();
        stream.send_data("there".into(), false).unwrap();
        assert_eq!(read(&mut body, 5).await, b"there");
        stream.send_data(Bytes::new(), true).unwrap();
        assert!(is_at_end(&mut body).await);
        until(gateway, |counters| counters.tunnels == 0).await;
    });
}

fn tunnels_share_a_connection_with_requests(driver: Driver) {
    let backend = knowing(echo);
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let mut clients: Vec<_> = (0..20).map(|_| Peer::connect(&gateway)).collect();
    for round in ["a", "b", "c"] {
        for client in &mut clients {
            client.write(round);
            assert_eq!(client.read(1), round.as_bytes());
        }
        assert_eq!(gateway.get("/").text(), "here");
    }
    gateway.until("all of them", |counters| counters.tunnels == 20);
    assert_eq!(backend.accepted(), 1);
    drop(clients);
    gateway.until("their ends", |counters| counters.tunnels == 0);
    // Their streams are free again.
    let one = ProxyConfig { upstream_h2_max_streams: 1, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to_h2(backend.address()), one);
    let mut first = Peer::connect(&gateway);
    let _second = Peer::connect(&gateway);
    assert_eq!(backend.accepted(), 3, "one for each of two tunnels");
    first.write("x");
    first.finish();
    assert_eq!(first.rest().unwrap(), b"x");
    gateway.until("its end", |counters| counters.tunnels == 1);
    assert_eq!(gateway.get("/").text(), "here");
    assert_eq!(backend.accepted(), 3, "the first tunnel's");
}

fn either_side_may_finish_first(driver: Driver) {
    let (seen, see) = channel();
    let backend = knowing(move |exchange| {
        let seen = seen.clone();
        async move {
            let Some((mut exchange, mut stream)) = accept(exchange).await else { return };
            stream.send_data("that is all".into(), true).unwrap();
            let mut got = Vec::new();
            while let Some(data) = next(&mut exchange).await {
                got.extend_from_slice(&data.unwrap());
            }
            seen.send(got).unwrap();
        }
    });
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let mut client = Peer::connect(&gateway);
    assert_eq!(client.rest().unwrap(), b"that is all");
    gateway.until("the tunnel to go on", |counters| counters.tunnels == 1);
    client.write("I have more");
    client.finish();
    assert_eq!(see.recv_timeout(WAIT_TIMEOUT).unwrap(), b"I have more");
    gateway.until("its end", |counters| counters.tunnels == 0);
    let gateway = &gateway;
    connected(gateway, |client| async move {
        let (response, mut stream) = open(&client, connect("websocket")).await;
        let mut body = response.into_body();
        assert_eq!(read(&mut body, 11).await, b"that is all");
        assert!(is_at_end(&mut body).await);
        stream.send_data("I too".into(), true).unwrap();
        until(gateway, |counters| counters.tunnels == 0).await;
    });
    assert_eq!(see.recv_timeout(WAIT_TIMEOUT).unwrap(), b"I too");
    let ended_well = |line: &serde_json::Value| line["reason"] == serde_json::Value::Null;
    assert!(gateway.log_lines(3).iter().all(ended_well));
}

fn another_response_is_one_of_http(driver: Driver) {
    let backend = knowing(|mut exchange| async move {
        if exchange.request.method() != Method::CONNECT {
            return exchange.ok("here").await;
        }
        let head = Response::builder().status(StatusCode::FORBIDDEN).body(()).unwrap();
        let stream = exchange.response.send_response(head, false).unwrap();
        let _ = h2_backend::send(stream, "no".into(), None).await;
    });
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let refused = gateway.raw(handshake("/"));
    assert_eq!((refused.status, refused.text().as_str()), (403, "no"));
    connected(&gateway, |client| async move {
        let (response, _stream) = open(&client, connect("websocket")).await;
        assert_eq!(response.status(), 403);
        assert_eq!(read(&mut response.into_body(), 2).await, b"no");
    });
    assert_eq!(backend.accepted(), 1);
}

fn other_protocols_are_named(driver: Driver) {
    let backend = knowing(|exchange| async move {
        let protocol = exchange.request.extensions().get::<Protocol>().cloned();
        let Some((_, mut stream)) = accept(exchange).await else { return };
        let _ = stream.send_data(protocol.unwrap().as_str().to_owned().into(), true);
    });
    let proxy = ProxyConfig { upgrade_protocols: vec!["example/2".into()], ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to_h2(backend.address()), proxy);
    let ask = |method: &str| {
        format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: Example/2\r\n\r\n")
    };
    let mut client = Peer::send(&gateway, ask("GET"));
    let head = client.head().to_ascii_lowercase();
    assert!(head.contains("\r\nupgrade: example/2\r\n") && !head.contains("sec-websocket-accept"), "{head}");
    client.finish();
    assert_eq!(client.rest().unwrap(), b"example/2");
    // CONNECT has no room for another method.
    let response = gateway.raw(ask("OPTIONS"));
    assert_eq!((response.status, response.reason()), (501, Some("upstream_http2_upgrade")));
}

fn a_backend_without_extended_connect_is_told_of(driver: Driver) {
    let backend = H2Backend::start(|exchange| async move {
        assert_ne!(exchange.request.method(), Method::CONNECT);
        exchange.ok("here").await;
    });
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.send(handshake("/")).unwrap();
        let response = client.response().unwrap();
        assert_eq!((response.status, response.reason()), (501, Some("upstream_http2_upgrade")));
    }
    connected(&gateway, |client| async move {
        let (response, _stream) = open(&client, connect("websocket")).await;
        assert_eq!(response.status(), 501);
        assert_eq!(response.headers()["x-sluice-reason"], "upstream_http2_upgrade");
    });
    assert_eq!(gateway.get("/").text(), "here");
    assert_eq!(backend.accepted(), 1, "the connection is as good as before");
}
