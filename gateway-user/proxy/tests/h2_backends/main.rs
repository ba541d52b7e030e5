//! Requests through one worker to backends over HTTP/2, from clients over both versions.

#[path = "../http2/client.rs"]
mod client;
#[path = "../support/mod.rs"]
mod support;

mod calls;
mod connections;
mod faults;
mod limits;
mod trailers;
mod twins;

use std::io::{Read, Write};
use std::net::TcpStream;

use bytes::Bytes;
use gateway_io::Driver;
use gateway_proxy::ProxyConfig;
use gateway_testkit::http::Client;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};

use calls::calls_may_be_silent_and_other_requests_may_not;
use client::{ask, connected, get, send};
use support::Gateway;
use support::h2_backend::{self, Exchange, H2Backend};
use support::ir::Config;

on_every_driver![
    a_request_over_http_1_arrives_as_one_of_http_2,
    bodies_go_both_ways_from_http_1,
    bodies_go_both_ways_from_http_2,
    heads_without_a_body_end_their_stream,
    interim_responses_are_passed_on,
    an_early_response_reaches_its_client,
    a_request_without_a_host_names_the_endpoint,
    calls_may_be_silent_and_other_requests_may_not,
];

/// Sends a request over HTTP/1.1, and reads its response.
fn asked(client: &mut Client, request: &str) -> gateway_testkit::http::Response {
    client.send(request).unwrap();
    client.response_to(request.split(' ').next().unwrap()).unwrap()
}

/// Responds with what has come: `name: value` a line.
async fn mirror(mut exchange: Exchange) {
    let mut lines = format!(
        "{} {} {:?}\n",
        exchange.request.method(),
        exchange.request.uri(),
        exchange.request.version()
    );
    for (name, value) in exchange.request.headers() {
        lines += &format!("{name}: {}\n", value.to_str().unwrap());
    }
    let Some((body, trailers)) = exchange.body().await else { return };
    lines += &format!("body {}\n", body.len());
    for (name, value) in &trailers.unwrap_or_default() {
        lines += &format!("trailer {}: {}\n", name, value.to_str().unwrap());
    }
    exchange.ok(lines).await;
}

fn a_request_over_http_1_arrives_as_one_of_http_2(driver: Driver) {
    let backend = H2Backend::start(mirror);
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let mut client = Client::connect(gateway.address).unwrap();
    let response = asked(
        &mut client,
        "GET /p%2Fq?a=b HTTP/1.1\r\nHost: A.example:81\r\nX-A: 1\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\
         TE: trailers\r\nCookie: a=1; b=2\r\n\r\n",
    );
    assert_eq!(response.status, 200);
    let seen = response.text();
    let lines: Vec<_> = seen.lines().collect();
    assert_eq!(lines[0], "GET http://A.example:81/p%2Fq?a=b HTTP/2.0");
    for line in ["x-a: 1", "cookie: a=1; b=2", "x-forwarded-proto: http", "body 0"] {
        assert!(lines.contains(&line), "{line}: {seen}");
    }
    for name in ["host:", "connection:", "x-hop:", "transfer-encoding:", "content-length:"] {
        assert!(!lines.iter().any(|line| line.starts_with(name)), "{name}: {seen}");
    }
    // The client's connection serves on, and so does the backend's.
    assert_eq!(asked(&mut client, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    assert_eq!(backend.accepted(), 1);
    let line = gateway.log_lines(2).remove(0);
    assert_eq!((&line["protocol"], &line["response_code"]), (&"HTTP/1.1".into(), &200.into()));
}

/// Sends the request's body back, with its trailers.
async fn echo(mut exchange: Exchange) {
    let Some((body, trailers)) = exchange.body().await else { return };
    let mut end = HeaderMap::new();
    end.insert("x-end", HeaderValue::from(trailers.map_or(0, |trailers| trailers.len())));
    let Ok(stream) = exchange.response.send_response(Response::new(()), false) else { return };
    let _ = h2_backend::send(stream, body.into(), Some(end)).await;
}

fn bodies_go_both_ways_from_http_1(driver: Driver) {
    let backend = H2Backend::start(echo);
    let keep = ProxyConfig { request_trailers: true, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to_h2(backend.address()), keep);
    let mut client = Client::connect(gateway.address).unwrap();
    let chunked = asked(
        &mut client,
        "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n\
         3\r\ndef\r\n0\r\nX-Sum: 7\r\n\r\n",
    );
    assert_eq!(chunked.text(), "abcdef");
    let long = "x".repeat(3 << 20);
    let counted = asked(
        &mut client,
        &format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{long}", long.len()),
    );
    assert!(counted.text() == long, "{} bytes came back", counted.body.len());
    assert_eq!(backend.accepted(), 1);
}

fn bodies_go_both_ways_from_http_2(driver: Driver) {
    let backend = H2Backend::start(echo);
    let keep = ProxyConfig { request_trailers: true, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to_h2(backend.address()), keep);
    connected(&gateway, |mut client| async move {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("7"));
        let post = || Request::post("http://a.example/");
        let unknown =
            send(&mut client, post().body(()).unwrap(), &[b"abc", b"def"], Some(trailers)).await.unwrap();
        assert_eq!(unknown.text(), "abcdef");
        assert_eq!(unknown.trailers.unwrap()["x-end"], "1");
        let counted = post().header("content-length", "200000").body(()).unwrap();
        static LONG: [u8; 200_000] = [b'x'; 200_000];
        let counted = send(&mut client, counted, &[&LONG], None).await.unwrap();
        assert_eq!(counted.body.len(), LONG.len());
        assert_eq!(counted.trailers.unwrap()["x-end"], "0");
    });
    assert_eq!(backend.accepted(), 1);
}

fn heads_without_a_body_end_their_stream(driver: Driver) {
    let backend = H2Backend::start(|mut exchange: Exchange| async move {
        let status: u16 = exchange.request.uri().path()[1..].parse().unwrap();
        let mut response = Response::builder().status(status);
        if status == 304 || exchange.request.method() == http::Method::HEAD {
            response = response.header("content-length", "12");
        }
        let _ = exchange.response.send_response(response.body(()).unwrap(), true);
    });
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let mut client = Client::connect(gateway.address).unwrap();
    for (method, path, length) in [
        ("GET", "200", Some("0")),
        ("GET", "204", None),
        ("GET", "304", Some("12")),
        ("HEAD", "200", Some("12")),
    ] {
        let response = asked(&mut client, &format!("{method} /{path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(response.status.to_string(), path);
        assert_eq!(response.header("content-length"), length, "{method} {path}");
        assert!(response.body.is_empty());
    }
    connected(&gateway, |mut client| async move {
        let empty = ask(&mut client, get("/204")).await.unwrap();
        assert_eq!((empty.status, empty.body.len()), (StatusCode::NO_CONTENT, 0));
    });
    assert_eq!(backend.accepted(), 1);
}

fn interim_responses_are_passed_on(driver: Driver) {
    let backend = H2Backend::start(|mut exchange: Exchange| async move {
        let hints = Response::builder().status(103).header("link", "</a>").body(()).unwrap();
        exchange.response.send_informational(hints).unwrap();
        exchange.ok("after").await;
    });
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let mut client = TcpStream::connect(gateway.address).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 103 "), "{text}");
    assert!(text.contains("\r\n\r\nHTTP/1.1 200 "), "{text}");
    assert!(text.contains("after"), "{text}");
}

fn an_early_response_reaches_its_client(driver: Driver) {
    let backend = H2Backend::start(|exchange: Exchange| exchange.ok("early"));
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let mut client = Client::connect(gateway.address).unwrap();
    let body = "x".repeat(1 << 20);
    let response = asked(
        &mut client,
        &format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
    );
    assert_eq!((response.status, response.text().as_str()), (200, "early"));
    connected(&gateway, |mut client| async move {
        static LONG: [u8; 300_000] = [b'x'; 300_000];
        let post = Request::post("http://a.example/").body(()).unwrap();
        let mut ready = client.clone().ready().await.unwrap();
        let (response, mut stream) = ready.send_request(post, false).unwrap();
        stream.send_data(Bytes::from_static(&LONG[..60_000]), false).unwrap();
        let response = client::whole(response.await.unwrap()).await.unwrap();
        assert_eq!(response.text(), "early");
        assert_eq!(ask(&mut client, get("/")).await.unwrap().text(), "early");
    });
}

fn a_request_without_a_host_names_the_endpoint(driver: Driver) {
    let backend = H2Backend::start(mirror);
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let mut client = TcpStream::connect(gateway.address).unwrap();
    client.write_all(b"GET /old HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert!(text.contains(&format!("GET http://{}/old HTTP/2.0", backend.address())), "{text}");
}
