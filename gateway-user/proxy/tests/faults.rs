//! Faults of either side, as the other side sees them.

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use gateway_io::Driver;
use gateway_proxy::{ProxyConfig, Timeouts};
use gateway_testkit::http::is_silent;
use gateway_testkit::wait::until;
use support::Gateway;
use support::backend::{Backend, ok};
use support::ir::{Config, forward};

on_every_driver![
    malformed_requests_are_answered_before_the_close,
    a_slow_head_is_told_so,
    an_idle_connection_closes_silently,
    a_body_that_stops_is_told_so,
    a_malformed_body_is_told_so,
    a_refusing_backend_is_passed_over,
    no_backend_can_be_reached,
    a_hanging_backend_is_given_up,
    a_backend_that_takes_no_more_is_given_up,
    route_timeouts_hold,
    a_backend_that_dies_before_its_answer,
    a_backend_that_dies_in_its_head,
    a_backend_that_dies_in_its_body,
    a_backend_that_lies,
    a_body_that_is_broken_from_its_start_is_told,
    a_head_does_not_wait_for_its_body,
    a_backend_that_drips_its_head_is_given_up,
    a_backend_that_drips_while_it_is_sent_to_is_given_up,
    a_backend_that_never_comes_to_the_point_is_given_up,
    stale_connections_are_retried_once_where_that_is_safe,
    connections_closed_while_idle_are_not_used,
    unasked_for_octets_end_a_pooled_connection,
    a_client_that_leaves_frees_the_backend,
];

/// Limits short enough to wait for.
fn hasty() -> ProxyConfig {
    let timeouts = Timeouts {
        client_header: Duration::from_millis(300),
        client_idle: Duration::from_millis(300),
        client_body: Duration::from_millis(300),
        response_header: Duration::from_millis(300),
        upstream_idle_body: Duration::from_millis(300),
        connect: Duration::from_millis(300),
        ..Timeouts::default()
    };
    ProxyConfig { timeouts, ..ProxyConfig::default() }
}

fn malformed_requests_are_answered_before_the_close(driver: Driver) {
    let backend = Backend::named("unreached");
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(500));
    for (request, status, reason) in [
        ("GET / HTTP/1.1\r\n\r\n", 400, "missing_host"),
        ("GET /\r\n\r\n", 400, "bad_request_line"),
        ("GET / HTTP/1.1\nHost: a\n\n", 400, "bare_lf"),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "unsupported_version"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost : b\r\n\r\n", 400, "space_before_colon"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "length_with_transfer_encoding",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            400,
            "repeated_content_length",
        ),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501, "connect_not_supported"),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n", 417, "expectation_failed"),
        (&long, 414, "request_line_too_long"),
        (&many, 431, "too_many_headers"),
    ] {
        let mut client = gateway.connect();
        client.send(request).unwrap();
        // More than the gateway reads: closing at once would reset the connection and eat the response.
        client.send("x".repeat(60_000)).unwrap();
        let answer = client.response().unwrap();
        assert_eq!((answer.status, answer.reason()), (status, Some(reason)), "{request:.60}");
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(client.at_end().unwrap(), "closed in order");
    }
    assert_eq!(backend.accepted(), 0);
    let lines = gateway.log_lines(11);
    assert_eq!((&lines[0]["reason"], &lines[0]["response_code"]), (&"missing_host".into(), &400.into()));
}

fn a_slow_head_is_told_so(driver: Driver) {
    let backend = Backend::named("here");
    let gateway = Gateway::with(driver, &Config::to(backend.address()), hasty());
    let answer = gateway.raw("GET / HTTP/1.1\r\nHos");
    assert_eq!((answer.status, answer.reason()), (408, Some("request_header_timeout")));
}

fn an_idle_connection_closes_silently(driver: Driver) {
    let backend = Backend::named("here");
    let gateway = Gateway::with(driver, &Config::to(backend.address()), hasty());
    let mut fresh = gateway.connect();
    assert!(fresh.at_end().unwrap());
    let mut used = gateway.connect();
    assert_eq!(used.get("a", "/").unwrap().text(), "here");
    assert!(used.at_end().unwrap());
    assert_eq!(gateway.metrics().counters.requests, 1);
}

fn a_body_that_stops_is_told_so(driver: Driver) {
    let backend = Backend::named("unreached");
    let gateway = Gateway::with(driver, &Config::to(backend.address()), hasty());
    let answer = gateway.raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!((answer.status, answer.reason()), (408, Some("request_body_timeout")));
}

fn a_malformed_body_is_told_so(driver: Driver) {
    let backend = Backend::start(|mut exchange| while exchange.request().is_some() {});
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let answer = gateway.raw("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n");
    assert_eq!((answer.status, answer.reason()), (400, Some("bad_chunk_end")));
}

/// An address that refuses connections: nothing listens, and the socket that holds it keeps others away.
fn refusing() -> (std::net::SocketAddr, TcpListener) {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut address = holder.local_addr().unwrap();
    address.set_ip([127, 0, 0, 77].into());
    (address, holder)
}

fn a_refusing_backend_is_passed_over(driver: Driver) {
    let backend = Backend::named("here");
    let (dead, _holder) = refusing();
    let config = Config::default().rule(forward("/", "app")).endpoints("app", &[dead, backend.address()]);
    let gateway = Gateway::start(driver, &config);
    for _ in 0..20 {
        let answer = gateway.raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(answer.text(), "here", "another endpoint is tried, whatever the method");
    }
    let failures = gateway.metrics().counters.upstream_connect_failures;
    assert!(failures <= 1, "a failed endpoint is passed over for a while: {failures} failures");
}

fn no_backend_can_be_reached(driver: Driver) {
    let (dead, _holder) = refusing();
    let gateway = Gateway::start(driver, &Config::to(dead));
    let mut client = gateway.connect();
    for _ in 0..2 {
        let answer = client.get("a", "/").unwrap();
        assert_eq!((answer.status, answer.reason()), (503, Some("upstream_connect_failed")));
    }
}

fn a_hanging_backend_is_given_up(driver: Driver) {
    let backend = Backend::start(|mut exchange| while exchange.request().is_some() {});
    let gateway = Gateway::with(driver, &Config::to(backend.address()), hasty());
    let mut client = gateway.connect();
    let answer = client.get("a", "/").unwrap();
    assert_eq!((answer.status, answer.reason()), (504, Some("upstream_response_timeout")));
    assert_eq!(client.get("a", "/").unwrap().status, 504, "the client's connection is kept");
    assert_eq!(backend.accepted(), 2, "the backend's is not");
}

fn a_backend_that_takes_no_more_is_given_up(driver: Driver) {
    let over = Arc::new(AtomicBool::new(false));
    let told = over.clone();
    let backend = Backend::start(move |mut exchange| {
        exchange.head();
        until("the test's end", || told.load(Ordering::SeqCst).then_some(()));
    });
    let gateway = Gateway::with(driver, &Config::to(backend.address()), hasty());
    let mut client = gateway.connect();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n").unwrap();
    let mut writer = client.stream().try_clone().unwrap();
    let writing = thread::spawn(move || while writer.write_all(&[7; 65_536]).is_ok() {});
    let answer = client.response().unwrap();
    assert_eq!((answer.status, answer.reason()), (504, Some("upstream_response_timeout")));
    over.store(true, Ordering::SeqCst);
    drop(client);
    drop(gateway);
    writing.join().unwrap();
}

fn route_timeouts_hold(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            if request.target == "/body" {
                exchange.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").unwrap();
            }
        }
    });
    let limits = |request_ms, backend_request_ms| gateway_ir::Timeouts { request_ms, backend_request_ms };
    for (timeouts, reason) in [
        (limits(Some(200), None), "request_timeout"),
        (limits(Some(5000), Some(200)), "backend_request_timeout"),
        (limits(Some(0), Some(200)), "backend_request_timeout"),
    ] {
        let gateway = Gateway::start(driver, &Config::to(backend.address()).timeouts(timeouts));
        let answer = gateway.get("/");
        assert_eq!((answer.status, answer.reason()), (504, Some(reason)));
        let mut client = gateway.connect();
        assert!(client.get("a", "/body").is_err(), "an answer that has begun is cut short");
        let line = &gateway.log_lines(2)[1];
        assert_eq!((&line["reason"], &line["response_code"]), (&reason.into(), &200.into()));
    }
}

fn a_backend_that_dies_before_its_answer(driver: Driver) {
    let backend = Backend::start(|mut exchange| drop(exchange.request()));
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.reason()), (502, Some("upstream_reset")));
    assert_eq!(backend.accepted(), 1, "a fresh connection is not retried");
}

fn a_backend_that_dies_in_its_head(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        exchange.request();
        exchange.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Le").unwrap();
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    assert_eq!(gateway.get("/").reason(), Some("upstream_reset"));
}

fn a_backend_that_dies_in_its_body(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        let head = match exchange.request().unwrap().target.as_str() {
            "/counted" => "Content-Length: 20",
            "/chunked" => "Transfer-Encoding: chunked",
            _ => "Connection: close",
        };
        write!(exchange.stream, "HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nabcde\r\n").unwrap();
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    for target in ["/counted", "/chunked"] {
        let mut client = gateway.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
        let rest = client.rest().unwrap();
        assert!(rest.windows(5).any(|five| five == b"abcde"), "{target}: what came is passed on");
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{target}: a cut never looks like an end");
    }
    let mut old = gateway.connect();
    old.send("GET /chunked HTTP/1.0\r\n\r\n").unwrap();
    assert!(old.rest().is_err(), "where only the close ends a body, a cut is a reset");
    assert_eq!(gateway.get("/close").text(), "5\r\nabcde\r\n", "and here the close is the end");
    for line in gateway.log_lines(4).iter().take(3) {
        assert_eq!(line["reason"], "upstream_body_truncated");
        assert_eq!(line["response_code"], 200);
    }
}

fn a_backend_that_lies(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        let answer: &[u8] = match exchange.request().unwrap().target.as_str() {
            "/both" => b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "/text" => b"hello there, this is no HTTP\r\n\r\n",
            "/switch" => b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            _ => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        };
        exchange.stream.write_all(answer).unwrap();
        while exchange.byte().is_ok_and(|byte| byte.is_some()) {}
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    for (target, reason) in [
        ("/both", "backend_length_with_transfer_encoding"),
        ("/text", "backend_bad_status_line"),
        ("/switch", "upstream_unexpected_upgrade"),
    ] {
        let answer = gateway.get(target);
        assert_eq!((answer.status, answer.reason()), (502, Some(reason)), "{target}");
    }
    let answer = gateway.get("/chunk");
    assert_eq!((answer.status, answer.reason()), (502, Some("backend_bad_chunk_size")));
    assert_eq!(gateway.metrics().counters.upstream_reused, 0);
}

fn a_body_that_is_broken_from_its_start_is_told(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        let answer: &[u8] = match exchange.request().unwrap().target.as_str() {
            "/size" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
            "/end" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n",
            "/trailer" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA B: 1\r\n\r\n",
            "/long" => b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\nabc",
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        };
        exchange.stream.write_all(answer).unwrap();
    });
    let proxy = ProxyConfig {
        body: gateway_http::h1::BodyLimits { content: 1000, ..gateway_http::h1::BodyLimits::default() },
        ..ProxyConfig::default()
    };
    let gateway = Gateway::with(driver, &Config::to(backend.address()), proxy);
    let mut client = gateway.connect();
    for (target, reason) in [
        ("/size", "backend_bad_chunk_size"),
        ("/end", "backend_bad_chunk_end"),
        ("/trailer", "backend_bad_trailer"),
        ("/long", "backend_body_too_long"),
    ] {
        let answer = client.get("a", target).unwrap();
        assert_eq!((answer.status, answer.reason()), (502, Some(reason)), "{target}");
    }
    let lines = gateway.log_lines(4);
    assert!(lines.iter().all(|line| line["response_code"] == 502), "{lines:?}");
    // The end may be seen before the head goes out or after it: a 502 or a response that is cut short, but no whole one.
    match gateway.connect().get("a", "/nothing") {
        Ok(answer) => assert_eq!((answer.status, answer.reason()), (502, Some("upstream_body_truncated"))),
        Err(_) => assert_eq!(gateway.log_lines(5)[4]["response_code"], 200),
    }
    assert_eq!(gateway.log_lines(5)[4]["reason"], "upstream_body_truncated");
    assert_eq!(gateway.metrics().counters.upstream_reused, 0);
}

fn a_head_does_not_wait_for_its_body(driver: Driver) {
    let seen = Arc::new(AtomicBool::new(false));
    let told = seen.clone();
    let backend = Backend::start(move |mut exchange| {
        exchange.request();
        exchange.stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        until("the client to see the head", || told.load(Ordering::SeqCst).then_some(()));
        exchange.stream.write_all(b"2\r\nhi\r\n0\r\n\r\n").unwrap();
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"\r\n\r\n") {
        let mut one = [0];
        client.stream().read_exact(&mut one).unwrap();
        got.extend(one);
    }
    seen.store(true, Ordering::SeqCst);
    assert!(client.rest().unwrap().ends_with(b"2\r\nhi\r\n0\r\n\r\n"));
}

/// Writes one byte after another, with pauses far below every limit, until the other side closes.
fn drip(exchange: &mut support::backend::Exchange, text: &str) {
    for byte in text.bytes().cycle() {
        if exchange.stream.write_all(&[byte]).is_err() {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn a_backend_that_drips_its_head_is_given_up(driver: Driver) {
    let backend = Backend::start(|mut exchange| match exchange.request().unwrap().target.as_str() {
        "/interim" => {
            exchange.stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").unwrap();
            exchange.stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").unwrap();
            drip(&mut exchange, "x");
        }
        _ => {
            exchange.stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").unwrap();
            drip(&mut exchange, "x");
        }
    });
    let gateway = Gateway::with(driver, &Config::to(backend.address()), hasty());
    let mut client = gateway.connect();
    let answer = client.get("a", "/").unwrap();
    assert_eq!((answer.status, answer.reason()), (504, Some("upstream_response_timeout")));
    assert_eq!(client.get("a", "/interim").unwrap().status, 103);
    let answer = client.response().unwrap();
    assert_eq!((answer.status, answer.reason()), (504, Some("upstream_response_timeout")));
}

fn a_backend_that_drips_while_it_is_sent_to_is_given_up(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        exchange.head();
        exchange.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX: ").unwrap();
        drip(&mut exchange, "x");
    });
    let gateway = Gateway::with(driver, &Config::to(backend.address()), hasty());
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n").unwrap();
    assert_eq!(client.response().unwrap().status, 100);
    // The request goes on and on, so that its end begins no wait.
    let mut writer = client.stream().try_clone().unwrap();
    let uploading = thread::spawn(move || {
        while writer.write_all(&[b'x'; 200]).is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let answer = client.response().unwrap();
    assert_eq!((answer.status, answer.reason()), (504, Some("upstream_response_timeout")));
    drop(gateway);
    uploading.join().unwrap();
}

fn a_backend_that_never_comes_to_the_point_is_given_up(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            let interim = request.target.trim_start_matches('/').parse::<usize>().unwrap();
            let mut wire = "HTTP/1.1 102 Processing\r\n\r\n".repeat(interim).into_bytes();
            wire.extend(ok("at last"));
            if exchange.stream.write_all(&wire).is_err() {
                return;
            }
        }
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = gateway.connect();
    let mut answers = |interim: usize| {
        client.send(format!("GET /{interim} HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
        let mut relayed = 0;
        loop {
            let answer = client.response().unwrap();
            if answer.status != 102 {
                return (relayed, answer.status, answer.reason().map(str::to_owned));
            }
            relayed += 1;
        }
    };
    assert_eq!(answers(8), (8, 200, None));
    assert_eq!(answers(9), (8, 502, Some("upstream_too_many_interim".to_owned())));
    assert_eq!(answers(1), (1, 200, None));
}

/// A backend whose connections answer once and close when they see a second request.
fn once_only() -> Backend {
    Backend::start(|mut exchange| {
        exchange.request();
        exchange.stream.write_all(&ok("once")).unwrap();
        exchange.head();
    })
}

fn stale_connections_are_retried_once_where_that_is_safe(driver: Driver) {
    let backend = once_only();
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = gateway.connect();
    assert_eq!(client.get("a", "/").unwrap().text(), "once");
    assert_eq!(client.get("a", "/").unwrap().text(), "once", "sent again on a fresh connection");
    let counters = gateway.metrics().counters;
    assert_eq!((counters.upstream_retries, counters.upstream_connects), (1, 2));
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").unwrap();
    let answer = client.response().unwrap();
    assert_eq!((answer.status, answer.reason()), (502, Some("upstream_reset")), "a POST is never sent twice");
    assert_eq!(gateway.metrics().counters.upstream_retries, 1);
}

fn connections_closed_while_idle_are_not_used(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        exchange.request();
        exchange.stream.write_all(&ok("bye")).unwrap();
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = gateway.connect();
    for n in 1..=3 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").unwrap();
        assert_eq!(client.response().unwrap().text(), "bye");
        gateway.until("the pool's look at the close", |counters| counters.upstream_stale == n);
    }
    assert_eq!(backend.accepted(), 3);
}

fn unasked_for_octets_end_a_pooled_connection(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        while exchange.request().is_some() {
            let mut answer = ok("right");
            answer.extend_from_slice(&ok("wrong"));
            exchange.stream.write_all(&answer).unwrap();
        }
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = gateway.connect();
    for _ in 0..3 {
        assert_eq!(
            client.get("a", "/").unwrap().text(),
            "right",
            "an answer nobody asked for reaches nobody"
        );
    }
    assert_eq!(backend.accepted(), 3);
}

fn a_client_that_leaves_frees_the_backend(driver: Driver) {
    let freed = Arc::new(AtomicBool::new(false));
    let told = freed.clone();
    let backend = Backend::start(move |mut exchange| {
        let mut request = exchange.head().unwrap();
        assert!(exchange.body(&mut request).is_err(), "the body never comes whole");
        told.store(true, Ordering::SeqCst);
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc").unwrap();
    gateway.until("the backend's connection", |counters| counters.upstream_connects == 1);
    assert!(is_silent(&client, Duration::from_millis(50)).unwrap());
    drop(client);
    until("the backend to be freed", || freed.load(Ordering::SeqCst).then_some(()));
    gateway
        .until("the connection's end", |counters| counters.connections == 0 && counters.active_requests == 0);
    assert_eq!(gateway.log_lines(1)[0]["reason"], "client_closed");
}
