//! Requests and answers in every framing, byte for byte.

mod support;

use std::io::Write;
use std::net::Shutdown;
use std::thread;

use gateway_io::Driver;
use gateway_proxy::ProxyConfig;
use gateway_testkit::http::Client;
use support::Gateway;
use support::backend::{Backend, echo, ok};
use support::ir::Config;

on_every_driver![
    connections_are_kept_and_requests_pipelined,
    bodies_of_every_size_pass_both_ways,
    split_writes_are_put_together,
    trailers_pass_both_ways,
    a_hundred_continue_is_relayed,
    answers_without_a_body,
    old_clients_get_what_they_understand,
    hop_by_hop_fields_stay_behind,
    an_early_answer_is_delivered,
    both_directions_run_at_once,
    a_half_closed_client_is_gone,
];

/// Deterministic filler.
fn filler(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 31 + n / 251) as u8).collect()
}

/// A backend that sends back every body it gets, in the framing that `?chunked` asks for.
fn mirror() -> Backend {
    Backend::answering(|request| {
        if !request.target.ends_with("?chunked") {
            return ok(&request.body);
        }
        let mut out = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for part in request.body.chunks(10_007) {
            write!(out, "{:x};ext=1\r\n", part.len()).unwrap();
            out.extend_from_slice(part);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"0\r\n\r\n");
        out
    })
}

fn connections_are_kept_and_requests_pipelined(driver: Driver) {
    let backend = Backend::answering(|request| ok(&request.target));
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = gateway.connect();
    for n in 0..5 {
        assert_eq!(client.get("a.example", &format!("/{n}")).unwrap().text(), format!("/{n}"));
    }
    let ten: String = (0..10).map(|n| format!("GET /p{n} HTTP/1.1\r\nHost: a.example\r\n\r\n")).collect();
    client.send(ten).unwrap();
    for n in 0..10 {
        assert_eq!(client.response().unwrap().text(), format!("/p{n}"), "answers come in order");
    }
    // A response is counted after it is sent.
    let counters = gateway.until("the last request's end", |counters| counters.requests == 15);
    assert_eq!((counters.accepted, backend.accepted()), (1, 1));
    assert_eq!((counters.upstream_connects, counters.upstream_reused), (1, 14));
    assert_eq!((counters.connections, gateway.gauge()), (1, 1));
    drop(client);
    gateway.until("the connection's end", |counters| counters.connections == 0);
    assert_eq!(gateway.gauge(), 0);
}

fn bodies_of_every_size_pass_both_ways(driver: Driver) {
    let backend = mirror();
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = gateway.connect();
    for size in [0, 1, 2, 100, 16_383, 16_384, 16_385, 50_000, 1_000_000, 5_000_000] {
        let body = filler(size);
        for target in ["/", "/?chunked"] {
            let mut counted =
                format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n").into_bytes();
            counted.extend_from_slice(&body);
            assert_eq!(exchange(&mut client, counted).body, body, "{size} bytes counted to {target}");
            let mut chunked =
                format!("POST {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                    .into_bytes();
            for part in body.chunks(70_001) {
                write!(chunked, "{:X}\r\n", part.len()).unwrap();
                chunked.extend_from_slice(part);
                chunked.extend_from_slice(b"\r\n");
            }
            chunked.extend_from_slice(b"0\r\n\r\n");
            assert_eq!(exchange(&mut client, chunked).body, body, "{size} bytes in chunks to {target}");
        }
    }
    assert_eq!(gateway.metrics().counters.accepted, 1, "one connection served all");
}

/// Writes while reading: a body larger than all buffers on the way would block otherwise.
fn exchange(client: &mut Client, request: Vec<u8>) -> gateway_testkit::http::Response {
    let mut writer = client.stream().try_clone().unwrap();
    let writing = thread::spawn(move || writer.write_all(&request).unwrap());
    let answer = client.response().unwrap();
    writing.join().unwrap();
    answer
}

fn split_writes_are_put_together(driver: Driver) {
    let backend = mirror();
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = gateway.connect();
    let counted = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".to_vec();
    let chunked = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                    2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nt: 1\r\n\r\n";
    for wire in [counted, chunked.to_vec()] {
        for step in [1, 2, 3, 7, 50] {
            for part in wire.chunks(step) {
                client.send(part).unwrap();
            }
            assert_eq!(client.response().unwrap().text(), "hello", "in pieces of {step}");
        }
    }
}

fn trailers_pass_both_ways(driver: Driver) {
    let backend = Backend::answering(|request| {
        let seen = format!("{:?}", request.trailers);
        let mut out = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        write!(out, "{:x}\r\n{seen}\r\n0\r\nX-Sum: 7\r\nContent-Length: 5\r\n\r\n", seen.len()).unwrap();
        out
    });
    let proxy = ProxyConfig { request_trailers: true, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to(backend.address()), proxy);
    let answer = gateway.raw(
        "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n\
         1\r\nx\r\n0\r\nX-Up: 1\r\nHost: evil\r\n\r\n",
    );
    assert_eq!(answer.text(), r#"[("X-Up", "1")]"#, "fields that frame or route are no trailers");
    assert_eq!(answer.trailers, [("X-Sum".to_owned(), "7".to_owned())]);
}

fn a_hundred_continue_is_relayed(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        while let Some(mut request) = exchange.head() {
            assert_eq!(request.header("expect"), Some("100-continue"));
            exchange.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
            exchange.body(&mut request).unwrap();
            exchange.stream.write_all(&ok(&request.body)).unwrap();
        }
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = gateway.connect();
    for _ in 0..2 {
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            .unwrap();
        assert_eq!(
            client.response().unwrap().status,
            100,
            "the interim response comes before the body is sent"
        );
        client.send("hello").unwrap();
        let answer = client.response().unwrap();
        assert_eq!((answer.status, answer.text()), (200, "hello".to_owned()));
    }
}

fn answers_without_a_body(driver: Driver) {
    let backend = Backend::answering(|request| match request.target.as_str() {
        "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "/304" => b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"x\"\r\n\r\n".to_vec(),
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n".to_vec(),
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = gateway.connect();
    for (method, target, status, length) in
        [("GET", "/204", 204, None), ("GET", "/304", 304, Some("99")), ("HEAD", "/", 200, Some("99"))]
    {
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
        let answer = client.response_to(method).unwrap();
        assert_eq!((answer.status, answer.header("content-length")), (status, length), "{method} {target}");
    }
    assert_eq!(gateway.metrics().counters.accepted, 1);
    assert_eq!(backend.accepted(), 1, "the upstream connection was kept too");
}

fn old_clients_get_what_they_understand(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            assert!(request.header("transfer-encoding").is_none());
            exchange.stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n").unwrap();
            let answer = match request.target.as_str() {
                "/counted" => ok("counted"),
                _ => {
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
                        .to_vec()
                }
            };
            exchange.stream.write_all(&answer).unwrap();
        }
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = gateway.connect();
    client.send("GET /counted HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap();
    let answer = client.response().unwrap();
    assert_eq!((answer.text().as_str(), answer.header("connection")), ("counted", Some("keep-alive")));
    client.send("GET /chunked HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap();
    let answer = client.response().unwrap();
    assert_eq!(answer.header("transfer-encoding"), None);
    assert_eq!((answer.text().as_str(), answer.header("connection")), ("abcdefg", Some("close")));
    let mut client = gateway.connect();
    client.send("GET /counted HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(client.response().unwrap().text(), "counted");
    assert!(client.at_end().unwrap(), "HTTP/1.0 keeps a connection only if asked");
}

fn hop_by_hop_fields_stay_behind(driver: Driver) {
    let backend = Backend::answering(|request| {
        let mut out = echo(request);
        let fields = b"Connection: X-Private\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\nX-Public: 2\r\n";
        let at = out.windows(2).position(|two| two == b"\r\n").unwrap() + 2;
        out.splice(at..at, fields.iter().copied());
        out
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let answer = gateway.raw(
        "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, X-Secret, Host\r\nX-Secret: 1\r\nKeep-Alive: 5\r\n\
         Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\nTE: gzip\r\nX-Kept: yes\r\n\r\n",
    );
    for gone in ["x-private", "keep-alive", "connection"] {
        assert_eq!(answer.header(gone), None, "{gone} is the backend's connection's");
    }
    assert_eq!(answer.header("x-public"), Some("2"));
    assert!(answer.header("date").is_some(), "an answer without a date is given one");
    let seen: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let names: Vec<_> = seen["headers"].as_array().unwrap().iter().map(|h| h[0].as_str().unwrap()).collect();
    for gone in ["x-secret", "keep-alive", "proxy-connection", "upgrade", "te", "connection"] {
        assert!(!names.iter().any(|name| name.eq_ignore_ascii_case(gone)), "{gone} in {names:?}");
    }
    assert!(names.contains(&"X-Kept") && names.contains(&"Host"));
}

fn an_early_answer_is_delivered(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        if exchange.head().is_some() {
            exchange
                .stream
                .write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
                .unwrap();
            // Closes with the request unread.
        }
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc").unwrap();
    let answer = client.response().unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (413, "big"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(client.at_end().unwrap(), "the connection is in the middle of a request and is closed");
}

fn both_directions_run_at_once(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        exchange.head().unwrap();
        exchange.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").unwrap();
        for _ in 0..5 {
            let byte = exchange.byte().unwrap().unwrap();
            exchange.stream.write_all(&[byte.to_ascii_uppercase()]).unwrap();
        }
        while exchange.byte().is_ok_and(|byte| byte.is_some()) {}
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n").unwrap();
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\n") {
        std::io::Read::read_exact(&mut client.stream(), &mut byte).unwrap();
        seen.push(byte[0]);
    }
    for byte in *b"hello" {
        client.send([byte]).unwrap();
        let mut echoed = [0];
        std::io::Read::read_exact(&mut client.stream(), &mut echoed).unwrap();
        assert_eq!(echoed[0], byte.to_ascii_uppercase(), "each byte is answered before the next is sent");
    }
}

fn a_half_closed_client_is_gone(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        exchange.head().unwrap();
        // Never answers; sees the gateway close instead.
        assert!(!exchange.byte().is_ok_and(|byte| byte.is_some()));
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    gateway.until("the request at the backend", |counters| counters.upstream_connects == 1);
    client.stream().shutdown(Shutdown::Write).unwrap();
    gateway.until("the exchange's end", |counters| counters.requests == 1 && counters.connections == 0);
    assert_eq!(gateway.log_lines(1)[0]["reason"], "client_closed");
}
