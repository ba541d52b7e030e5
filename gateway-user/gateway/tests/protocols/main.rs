//! HTTP/2, gRPC and WebSocket through the whole gateway, from YAML to the last byte.

#[path = "../common/mod.rs"]
mod common;

mod backends;
mod drains;
mod mirrors;

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{HTTP, metric, with_gateway};
use gateway_testkit::http2::client::{Whole, ask, connected, read, send};
use gateway_testkit::wait::WAIT_TIMEOUT;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Method, Request};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocket};
use tungstenite::{Message, client};

fn http() -> SocketAddr {
    HTTP.parse().unwrap()
}

fn get(url: &str) -> Request<()> {
    Request::get(url).body(()).unwrap()
}

fn post(url: &str, content: &str) -> Request<()> {
    Request::post(url).header("content-type", content).header("te", "trailers").body(()).unwrap()
}

fn call(url: &str) -> Request<()> {
    post(url, "application/grpc")
}

/// The backend that has responded.
fn by(response: &Whole) -> Option<&str> {
    response.header("x-backend")
}

/// A WebSocket through the gateway.
fn chat(host: &str) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(http()).unwrap();
    stream.set_read_timeout(Some(WAIT_TIMEOUT)).unwrap();
    let (socket, response) = client(format!("ws://{host}/chat"), stream).unwrap();
    let own = response.headers().get("x-own").map(|value| value.to_str().unwrap());
    assert_eq!(own, (host == "chat.example").then_some("1"), "the route's filter");
    socket
}

/// Opens a stream both ways.
async fn open(client: &SendRequest<Bytes>, request: Request<()>) -> (SendStream<Bytes>, RecvStream) {
    let (response, stream) = client.clone().ready().await.unwrap().send_request(request, false).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    (stream, response.into_body())
}

/// An extended CONNECT, once the gateway's settings are there that allow it.
async fn tunnel(client: &SendRequest<Bytes>, url: &str) -> (SendStream<Bytes>, RecvStream) {
    let end = Instant::now() + WAIT_TIMEOUT;
    while !client.is_extended_connect_protocol_enabled() {
        assert!(Instant::now() < end, "no settings");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let request = Request::builder().method(Method::CONNECT).uri(url).header("sec-websocket-version", "13");
    open(client, request.extension(Protocol::from_static("websocket")).body(()).unwrap()).await
}

/// Sends a word on a stream and reads it back.
async fn exchange(stream: &mut SendStream<Bytes>, body: &mut RecvStream, word: &'static str) {
    stream.send_data(word.into(), false).unwrap();
    assert_eq!(read(body, word.len()).await.unwrap(), word.as_bytes());
}

/// Reads the end, and nothing before it.
async fn ends(body: &mut RecvStream) {
    assert_eq!(read(body, 1).await.unwrap(), b"");
}

#[test]
fn a_service_of_h2c_is_spoken_to_over_http_2() {
    with_gateway("h2c", |_, running| {
        let backends = backends::serve(running);
        let mut old = gateway_testkit::http::Client::connect(http()).unwrap();
        for _ in 0..3 {
            let response = old.get("both.example", "/a/b").unwrap();
            assert_eq!((response.status, response.text().as_str()), (200, "GET /a/b 0"));
        }
        connected(http(), |mut client| async move {
            let request = post("http://both.example/up", "text/plain");
            let response = send(&mut client, request, &[b"abc", b"de"], None).await.unwrap();
            assert_eq!((response.status.as_u16(), response.text()), (200, "POST /up 5"));
        });
        // One for each worker that has had a request.
        let workers = std::thread::available_parallelism().unwrap().get();
        assert!((1..=workers).contains(&backends.web.accepted()), "{}", backends.web.accepted());
    });
}

#[test]
fn calls_have_their_messages_and_their_status() {
    with_gateway("calls", |_, running| {
        let _backends = backends::serve(running);
        connected(http(), |mut client| async move {
            let request = call("http://calls.example/a.Echo/Say");
            let response = send(&mut client, request, &[b"\0\0\0\0\x02hi"], None).await.unwrap();
            assert_eq!((response.status.as_u16(), response.body.as_slice()), (200, &b"\0\0\0\0\x02hi"[..]));
            let trailers = response.trailers.unwrap();
            assert_eq!(
                (&trailers["grpc-status"], &trailers["grpc-message"]),
                (&"0".parse().unwrap(), &"well done".parse().unwrap())
            );
            // Both ways at once: each message has its echo before the next one is sent.
            let (mut stream, mut body) = open(&client, call("http://calls.example/a.Echo/Chat")).await;
            for word in ["one", "two", "three"] {
                exchange(&mut stream, &mut body, word).await;
            }
            stream.send_data(Bytes::new(), true).unwrap();
            ends(&mut body).await;
            assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
            // A method that no rule has: a status, and the response's only head.
            let unknown = call("http://calls.example/b.Other/Do");
            let response = send(&mut client, unknown, &[b"\0\0\0\0\0"], None).await.unwrap();
            assert_eq!((response.status.as_u16(), response.header("grpc-status")), (200, Some("12")));
            // A host of calls alone has no page.
            let page = ask(&mut client, get("http://calls.example/a.Echo/Say")).await.unwrap();
            assert_eq!(page.status, 404);
        });
    });
}

#[test]
fn two_kinds_of_routes_share_a_host() {
    with_gateway("both", |_, running| {
        let _backends = backends::serve(running);
        connected(http(), |mut client| async move {
            for (request, backend) in [
                (call("http://both.example/a.Echo/Say"), "calls"),
                (post("http://both.example/a.Echo/Say", "application/grpc+proto"), "calls"),
                // No calls, and a call of another service: the other route's.
                (post("http://both.example/a.Echo/Say", "application/json"), "web"),
                (post("http://both.example/a.Echo/Say", "application/grpc-web"), "web"),
                (call("http://both.example/b.Other/Do"), "web"),
                (call("http://both.example/a.EchoMore/Say"), "web"),
            ] {
                let what = format!("{} {:?}", request.uri(), request.headers()["content-type"]);
                let response = send(&mut client, request, &[b"\0\0\0\0\0"], None).await.unwrap();
                assert_eq!((response.status.as_u16(), by(&response)), (200, Some(backend)), "{what}");
            }
            let page = ask(&mut client, get("http://both.example/a.Echo/Say")).await.unwrap();
            assert_eq!(by(&page), Some("web"));
        });
    });
}

#[test]
fn a_websocket_goes_through_a_route() {
    with_gateway("chat", |_, running| {
        let _backends = backends::serve(running);
        let mut socket = chat("chat.example");
        for message in [Message::text("hello"), Message::binary(vec![7; 300_000]), Message::text("")] {
            socket.send(message.clone()).unwrap();
            assert_eq!(socket.read().unwrap(), message);
        }
        socket.send(Message::Ping("are you there".into())).unwrap();
        assert_eq!(socket.read().unwrap(), Message::Pong("are you there".into()));
        assert_eq!(metric("sluice_tunnels", &[]), 1.0);
        let frame = CloseFrame { code: CloseCode::from(4001), reason: "that is all".into() };
        socket.close(Some(frame.clone())).unwrap();
        assert_eq!(socket.read().unwrap(), Message::Close(Some(frame)));
        drop(socket);
        gateway_testkit::wait::until("its end", || (metric("sluice_tunnels", &[]) == 0.0).then_some(()));
        // What is no handshake is a request, of which this server knows none.
        let mut plain = gateway_testkit::http::Client::connect(http()).unwrap();
        assert_eq!(plain.get("chat.example", "/elsewhere").unwrap().status, 404);
    });
}

#[test]
fn tunnels_go_from_each_version_to_each() {
    with_gateway("tunnels", |_, running| {
        let _backends = backends::serve(running);
        connected(http(), |client| async move {
            // To HTTP/1.1: frames of WebSocket, one of text and its echo, which is not masked.
            let (mut stream, mut body) = tunnel(&client, "http://chat.example/chat").await;
            stream.send_data(Bytes::from_static(b"\x81\x82\0\0\0\0hi"), false).unwrap();
            assert_eq!(read(&mut body, 4).await.unwrap(), b"\x81\x02hi");
            // To HTTP/2, where the backend sends back whatever comes.
            let (mut stream, mut body) = tunnel(&client, "http://both.example/chat").await;
            exchange(&mut stream, &mut body, "there and back").await;
            stream.send_data(Bytes::new(), true).unwrap();
            ends(&mut body).await;
        });
        // From HTTP/1.1 to HTTP/2: a frame comes back as it was, masked, which no client takes.
        let mut socket = chat("both.example");
        socket.send(Message::text("masked")).unwrap();
        assert!(socket.read().is_err(), "it is as it was sent");
        drop(socket);
        gateway_testkit::wait::until("the line of each", || {
            let log = running.log();
            let line = |host: &str| {
                log.lines()
                    .filter(|line| line.contains("\"upgrade\":\"websocket\"") && line.contains(host))
                    .count()
            };
            (line("both.example") == 2 && line("chat.example") == 1).then_some(())
        });
    });
}
