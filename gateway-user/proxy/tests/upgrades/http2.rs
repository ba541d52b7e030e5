//! Extended CONNECT (RFC 8441): streams of HTTP/2 as the clients' ends.

use std::future::{Future, poll_fn};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway_io::Driver;
use gateway_proxy::ProxyConfig;
use gateway_proxy::metrics::Counters;
use gateway_testkit::wait::WAIT_TIMEOUT;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request, Response};

use crate::client;
use crate::on_every_driver;
use crate::peers::echo;
use crate::support::Gateway;
use crate::support::backend::{Backend, ok};
use crate::support::ir::Config;

on_every_driver![
    a_stream_becomes_a_tunnel,
    either_end_of_a_stream_may_finish_first,
    a_reset_goes_both_ways,
    a_success_that_is_no_switch_does_not_pass_for_one,
    what_is_not_tunnelled_is_told_so,
    streams_and_tunnels_share_a_connection,
];

/// Runs `test` with a connection that knows that extended CONNECT is served.
pub(crate) fn connected<T, F: Future<Output = T>>(
    gateway: &Gateway,
    test: impl FnOnce(SendRequest<Bytes>) -> F,
) -> T {
    client::connected(gateway, |client| async { test(informed(client).await).await })
}

/// The client, once it has the server's settings, which come with its first bytes.
pub(crate) async fn informed(client: SendRequest<Bytes>) -> SendRequest<Bytes> {
    let first = Request::builder().uri("http://a.example/first").body(()).unwrap();
    let (response, _) = client.clone().ready().await.unwrap().send_request(first, true).unwrap();
    let _ = response.await;
    client
}

pub(crate) fn connect(protocol: &'static str) -> Request<()> {
    Request::builder()
        .method(Method::CONNECT)
        .uri("http://a.example/chat?x=1")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat")
        .extension(Protocol::from_static(protocol))
        .body(())
        .unwrap()
}

pub(crate) async fn open(
    client: &SendRequest<Bytes>,
    request: Request<()>,
) -> (Response<RecvStream>, SendStream<Bytes>) {
    let mut ready = client.clone().ready().await.unwrap();
    let (response, stream) = ready.send_request(request, false).unwrap();
    (response.await.unwrap(), stream)
}

pub(crate) async fn read(body: &mut RecvStream, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        let data = body.data().await.expect("the end").unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend_from_slice(&data);
    }
    bytes
}

/// True if nothing but the end follows.
pub(crate) async fn is_at_end(body: &mut RecvStream) -> bool {
    while let Some(data) = body.data().await {
        if !data.unwrap().is_empty() {
            return false;
        }
    }
    true
}

/// Waits for counters while the connection goes on.
pub(crate) async fn until(gateway: &Gateway, wanted: impl Fn(&Counters) -> bool) {
    let end = Instant::now() + WAIT_TIMEOUT;
    while !wanted(&gateway.metrics().counters) {
        assert!(Instant::now() < end, "gave up waiting");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Answers the first request, and serves what comes then as a tunnel.
pub(crate) fn first_then(
    serve: impl Fn(&mut crate::support::backend::Exchange) + Send + Sync + 'static,
) -> Backend {
    Backend::start(move |mut exchange| {
        while let Some(request) = exchange.request() {
            if request.target == "/first" {
                std::io::Write::write_all(&mut exchange.stream, &ok("")).unwrap();
                continue;
            }
            assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/chat?x=1"));
            assert_eq!(request.header("upgrade"), Some("websocket"));
            let all = |name: &str| request.all(name).count();
            assert_eq!(
                (all("sec-websocket-key"), all("transfer-encoding"), all("content-length")),
                (1, 0, 0)
            );
            std::io::Write::write_all(&mut exchange.stream, &crate::peers::switch(&request)).unwrap();
            return serve(&mut exchange);
        }
    })
}

fn a_stream_becomes_a_tunnel(driver: Driver) {
    let backend = first_then(|exchange| {
        while let Ok(Some(byte)) = exchange.byte() {
            std::io::Write::write_all(&mut exchange.stream, &[byte]).unwrap();
        }
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    connected(&gateway, |client| async move {
        let (response, mut stream) = open(&client, connect("websocket")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
        for name in ["sec-websocket-accept", "upgrade", "connection"] {
            assert!(!response.headers().contains_key(name), "{name}");
        }
        let mut body = response.into_body();
        stream.send_data("there".into(), false).unwrap();
        assert_eq!(read(&mut body, 5).await, b"there");
        stream.send_data("and back".into(), true).unwrap();
        assert_eq!(read(&mut body, 8).await, b"and back");
        assert!(is_at_end(&mut body).await && body.trailers().await.unwrap().is_none());
    });
    gateway.until("its end", |counters| counters.tunnels == 0 && counters.tunnel_bytes_sent == 13);
    let lines = gateway.log_lines(2);
    let line = lines.iter().find(|line| line["path"] == "/chat?x=1").unwrap();
    assert_eq!((&line["response_code"], &line["upgrade"]), (&200.into(), &"websocket".into()));
    assert_eq!((&line["protocol"], &line["bytes_received"]), (&"HTTP/2".into(), &13.into()));
    assert_eq!(line["reason"], serde_json::Value::Null);
}

fn either_end_of_a_stream_may_finish_first(driver: Driver) {
    let backend = first_then(|exchange| {
        std::io::Write::write_all(&mut exchange.stream, b"bye").unwrap();
        exchange.stream.shutdown(std::net::Shutdown::Write).unwrap();
        for byte in b"more" {
            assert_eq!(exchange.byte().unwrap(), Some(*byte));
        }
        assert_eq!(exchange.byte().unwrap(), None);
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let gateway = &gateway;
    connected(gateway, |client| async move {
        let (response, mut stream) = open(&client, connect("websocket")).await;
        let mut body = response.into_body();
        assert_eq!(read(&mut body, 3).await, b"bye");
        assert!(is_at_end(&mut body).await);
        stream.send_data("more".into(), true).unwrap();
        until(gateway, |counters| counters.tunnels == 0 && counters.tunnel_bytes_received == 4).await;
    });
}

fn a_reset_goes_both_ways(driver: Driver) {
    let (gone, see) = std::sync::mpsc::channel();
    let backend = first_then(move |exchange| {
        while let Ok(Some(_)) = exchange.byte() {}
        gone.send(()).unwrap();
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    connected(&gateway, |client| async move {
        let (_response, mut stream) = open(&client, connect("websocket")).await;
        stream.send_reset(Reason::CANCEL);
        tokio::task::spawn_blocking(move || see.recv_timeout(WAIT_TIMEOUT).unwrap()).await.unwrap();
    });
    let lines = gateway.log_lines(2);
    assert!(lines.iter().any(|line| line["reason"] == "client_closed"), "{lines:?}");
    // And of a tunnel that the gateway ends.
    let backend = echo();
    let mut proxy = ProxyConfig::default();
    proxy.timeouts.tunnel_idle = Duration::from_millis(200);
    let gateway = Gateway::with(driver, &Config::to(backend.address()), proxy);
    connected(&gateway, |client| async move {
        let (response, mut stream) = open(&client, connect("websocket")).await;
        let error = response.into_body().data().await.unwrap().unwrap_err();
        assert_eq!(error.reason(), Some(Reason::CANCEL));
        assert!(poll_fn(|cx| stream.poll_reset(cx)).await.is_ok());
    });
}

fn a_success_that_is_no_switch_does_not_pass_for_one(driver: Driver) {
    let backend = Backend::answering(|request| match request.target.as_str() {
        "/first" => ok(""),
        _ => ok("I know no WebSocket"),
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    connected(&gateway, |client| async move {
        let (response, _stream) = open(&client, connect("websocket")).await;
        assert_eq!(response.status(), 502);
        assert_eq!(response.headers()["x-sluice-reason"], "upstream_no_upgrade");
    });
    let backend = Backend::answering(|_| b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno".to_vec());
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    connected(&gateway, |client| async move {
        let (response, _stream) = open(&client, connect("websocket")).await;
        assert_eq!(response.status(), 403);
        assert_eq!(read(&mut response.into_body(), 2).await, b"no");
    });
}

fn what_is_not_tunnelled_is_told_so(driver: Driver) {
    let backend = Backend::answering(|_| ok("here"));
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    connected(&gateway, |client| async move {
        let (response, _stream) = open(&client, connect("connect-udp")).await;
        assert_eq!(response.status(), 501);
        assert_eq!(response.headers()["x-sluice-reason"], "connect_protocol_not_supported");
        let plain = Request::builder().method(Method::CONNECT).uri("a.example:443").body(()).unwrap();
        let (response, _stream) = open(&client, plain).await;
        assert_eq!(response.status(), 501);
        assert_eq!(response.headers()["x-sluice-reason"], "connect_not_supported");
        let mut old = connect("websocket");
        old.headers_mut().insert("sec-websocket-version", http::HeaderValue::from_static("8"));
        let (response, _stream) = open(&client, old).await;
        assert_eq!(response.status(), 426);
        assert_eq!(response.headers()["sec-websocket-version"], "13");
    });
}

fn streams_and_tunnels_share_a_connection(driver: Driver) {
    let backend = first_then(|exchange| {
        while let Ok(Some(byte)) = exchange.byte() {
            std::io::Write::write_all(&mut exchange.stream, &[byte]).unwrap();
        }
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let gateway = &gateway;
    connected(gateway, |client| async move {
        let mut tunnels = Vec::new();
        for _ in 0..20 {
            tunnels.push(open(&client, connect("websocket")).await);
        }
        for round in 0..3 {
            for (response, stream) in &mut tunnels {
                stream.send_data(Bytes::from(format!("{round}")), false).unwrap();
                assert_eq!(read(response.body_mut(), 1).await, format!("{round}").as_bytes());
            }
            let first = Request::builder().uri("http://a.example/first").body(()).unwrap();
            let (response, _) = client.clone().ready().await.unwrap().send_request(first, true).unwrap();
            assert_eq!(response.await.unwrap().status(), 200);
        }
        until(gateway, |counters| counters.tunnels == 20).await;
        tunnels.clear();
        until(gateway, |counters| counters.tunnels == 0).await;
    });
}
