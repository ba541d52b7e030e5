//! Requests that change protocols, and the tunnels that they become.

#[path = "../http2/client.rs"]
mod client;
#[path = "../support/mod.rs"]
mod support;

mod gone;
mod h2_backends;
mod h2_ends;
mod http2;
mod limits;
mod peers;
mod streams;
mod tls;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::time::Duration;

use gateway_io::Driver;
use gateway_ir::Filter;
use gateway_proxy::ProxyConfig;
use gateway_testkit::wait::until;

use peers::{ACCEPT, KEY, Peer, echo, handshake, switch, switch_for, switched};
use support::Gateway;
use support::backend::{Backend, ok};
use support::ir::{Config, forward, headers};

on_every_driver![
    a_handshake_becomes_a_tunnel,
    bytes_behind_the_heads_are_not_lost,
    either_side_may_finish_first,
    a_reset_of_one_side_reaches_the_other,
    what_was_sent_before_a_side_was_gone_arrives,
    a_slow_receiver_slows_its_sender,
    another_response_is_one_of_http,
    a_switch_that_does_not_fit_is_refused,
    a_bad_handshake_is_told_why,
    other_protocols_are_ignored_and_counted,
    listed_protocols_are_tunnelled,
];

fn a_handshake_becomes_a_tunnel(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        let request = exchange.head().unwrap();
        let all = |name: &str| request.all(name).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(all("upgrade"), ["websocket"]);
        assert_eq!(all("connection"), ["upgrade"]);
        assert_eq!(all("sec-websocket-key"), [KEY]);
        assert_eq!((all("x-own"), all("x-forwarded-proto")), (vec!["1".into()], vec!["http".into()]));
        exchange.stream.write_all(&switch(&request)).unwrap();
        assert_eq!(exchange.byte().unwrap(), Some(b'a'));
        exchange.stream.write_all(b"bcd").unwrap();
        assert_eq!(exchange.byte().unwrap(), None);
    });
    let changes = |filter| vec![filter];
    let request = Filter::RequestHeaders(headers(&[("x-own", "1")], &[], &[]));
    let response = Filter::ResponseHeaders(headers(&[("x-own", "2")], &[], &["server"]));
    let config = Config::default()
        .filtered(forward("/", "app"), changes(request).into_iter().chain([response]).collect())
        .endpoints("app", &[backend.address()]);
    let gateway = Gateway::start(driver, &config);
    let mut client = Peer::send(&gateway, handshake("/chat?x=1"));
    let head = client.head();
    for line in [
        "HTTP/1.1 101 Switching Protocols\r\n",
        "\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        &format!("\r\nSec-WebSocket-Accept: {ACCEPT}\r\n"),
        "\r\nx-own: 2\r\n",
    ] {
        assert!(head.contains(line), "{line:?} in {head}");
    }
    assert!(!head.contains("Server"), "{head}");
    let counters = gateway.until("a tunnel", |counters| counters.tunnels == 1);
    assert_eq!((counters.requests, counters.active_requests), (1, 0));
    client.write("a");
    assert_eq!(client.read(3), b"bcd");
    client.finish();
    assert_eq!(client.rest().unwrap(), b"");
    let counters = gateway.until("its end", |counters| counters.tunnels == 0 && counters.connections == 0);
    assert_eq!((counters.tunnel_bytes_received, counters.tunnel_bytes_sent), (1, 3));
    let line = gateway.log_lines(1).remove(0);
    assert_eq!((&line["response_code"], &line["upgrade"]), (&101.into(), &"websocket".into()));
    assert_eq!((&line["bytes_received"], &line["bytes_sent"]), (&1.into(), &3.into()));
    assert_eq!((&line["reason"], &line["path"]), (&serde_json::Value::Null, &"/chat?x=1".into()));
}

fn bytes_behind_the_heads_are_not_lost(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        let request = exchange.head().unwrap();
        let mut out = switch(&request);
        out.extend_from_slice(b"first");
        exchange.stream.write_all(&out).unwrap();
        for byte in b"early and late" {
            assert_eq!(exchange.byte().unwrap(), Some(*byte));
        }
        exchange.stream.write_all(b"all").unwrap();
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = Peer::send(&gateway, handshake("/") + "early");
    client.head();
    assert_eq!(client.read(5), b"first");
    client.write(" and late");
    assert_eq!(client.rest().unwrap(), b"all");
}

fn either_side_may_finish_first(driver: Driver) {
    let backend = echo();
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = Peer::connect(&gateway);
    client.write("all of it");
    client.finish();
    assert_eq!(client.rest().unwrap(), b"all of it");

    let (seen, see) = std::sync::mpsc::channel();
    let backend = switched(move |exchange| {
        exchange.stream.write_all(b"that is all").unwrap();
        exchange.stream.shutdown(Shutdown::Write).unwrap();
        let mut got = Vec::new();
        while let Some(byte) = exchange.byte().unwrap() {
            got.push(byte);
        }
        seen.send(got).unwrap();
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = Peer::connect(&gateway);
    assert_eq!(client.rest().unwrap(), b"that is all");
    gateway.until("the tunnel to go on", |counters| counters.tunnels == 1);
    client.write("I have more");
    client.finish();
    assert_eq!(see.recv_timeout(gateway_testkit::wait::WAIT_TIMEOUT).unwrap(), b"I have more");
    gateway.until("its end", |counters| counters.tunnels == 0);
    assert_eq!(gateway.log_lines(1)[0]["reason"], serde_json::Value::Null);
}

fn a_reset_of_one_side_reaches_the_other(driver: Driver) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let backend = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut head = vec![0; 64 * 1024];
        assert!(stream.read(&mut head).unwrap() > 0);
        stream.write_all(&switch_for(KEY)).unwrap();
        stream.read_exact(&mut head[..1]).unwrap();
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let gateway = Gateway::start(driver, &Config::to(address));
    let mut client = Peer::connect(&gateway);
    client.write("x");
    assert!(client.rest().is_err(), "an end in order");
    backend.join().unwrap();
    assert_eq!(gateway.log_lines(1)[0]["reason"], "tunnel_upstream_closed");

    let (gone, see) = std::sync::mpsc::channel();
    let backend = switched(move |exchange| {
        while let Ok(Some(_)) = exchange.byte() {}
        gone.send(()).unwrap();
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    Peer::connect(&gateway).reset();
    see.recv_timeout(gateway_testkit::wait::WAIT_TIMEOUT).unwrap();
    assert_eq!(gateway.log_lines(1)[0]["reason"], "client_closed");
}

fn what_was_sent_before_a_side_was_gone_arrives(driver: Driver) {
    // The server says something and closes while its client still sends, so that what comes later is met by a reset.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let backend = std::thread::spawn(move || {
        for stream in listener.incoming().take(20) {
            let mut stream = stream.unwrap();
            let mut head = vec![0; 64 * 1024];
            assert!(stream.read(&mut head).unwrap() > 0);
            stream.write_all(&switch_for(KEY)).unwrap();
            stream.read_exact(&mut head[..1]).unwrap();
            stream.write_all(b"final bytes").unwrap();
            // With bytes that it has not read it would be a reset at once, instead of an end.
            stream.shutdown(Shutdown::Write).unwrap();
        }
    });
    let gateway = Gateway::start(driver, &Config::to(address));
    for _ in 0..20 {
        let mut client = Peer::connect(&gateway);
        for _ in 0..4 {
            client.write("x");
            std::thread::sleep(Duration::from_millis(3));
        }
        assert_eq!(client.rest().unwrap(), b"final bytes");
    }
    backend.join().unwrap();
}

fn a_slow_receiver_slows_its_sender(driver: Driver) {
    const ALL: usize = 32 << 20;
    let backend = switched(|exchange| {
        let piece = [b'x'; 64 * 1024];
        for _ in 0..ALL / piece.len() {
            exchange.stream.write_all(&piece).unwrap();
        }
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = Peer::connect(&gateway);
    client.read(1);
    // The kernel's buffers take some MiB; then nothing moves.
    let mut seen = (0, 0);
    let before = until("it to stop", || {
        let counters = gateway.metrics().counters;
        assert!(counters.buffer_bytes <= 1 << 20, "{} bytes of buffers", counters.buffer_bytes);
        let (before, times) = seen;
        seen = (counters.tunnel_bytes_sent, if counters.tunnel_bytes_sent == before { times + 1 } else { 0 });
        (seen.1 > 20).then_some(before)
    });
    assert!(before < ALL as u64, "all was taken");
    assert_eq!(client.rest().unwrap().len(), ALL - 1);
}

fn another_response_is_one_of_http(driver: Driver) {
    let backend = Backend::answering(|request| match request.target.as_str() {
        "/no" => b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".to_vec(),
        _ => ok("no upgrade"),
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = gateway.connect();
    for (target, status, text) in [("/no", 403, "no"), ("/", 200, "no upgrade"), ("/no", 403, "no")] {
        client.send(handshake(target)).unwrap();
        let response = client.response().unwrap();
        assert_eq!((response.status, response.text().as_str()), (status, text));
    }
    assert_eq!(backend.accepted(), 1, "its connection stays as well");
    let lines = gateway.log_lines(3);
    assert!(lines.iter().all(|line| line.get("upgrade").is_none()), "{lines:?}");
}

fn a_switch_that_does_not_fit_is_refused(driver: Driver) {
    let backend = Backend::answering(|request| {
        let right = String::from_utf8(switch(request)).unwrap();
        match request.target.as_str() {
            "/key" => right.replace("s3p", "S3p"),
            "/protocol" => right.replace("WebSocket\r\n", "other\r\n"),
            _ => right.replace("Connection: Upgrade\r\n", ""),
        }
        .into_bytes()
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    for target in ["/key", "/protocol", "/connection"] {
        let response = gateway.raw(handshake(target));
        assert_eq!((response.status, response.reason()), (502, Some("upstream_bad_upgrade")), "{target}");
    }
    let unasked = gateway.raw("GET /key HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((unasked.status, unasked.reason()), (502, Some("upstream_unexpected_upgrade")));
}

fn a_bad_handshake_is_told_why(driver: Driver) {
    let backend = Backend::named("never asked");
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let good = handshake("/");
    for (bad, status, reason) in [
        (good.replace("GET", "POST"), 400, "websocket_bad_method"),
        (good.replace("Host", "Content-Length: 1\r\nHost"), 400, "websocket_body"),
        (good.replace("ZQ==", "ZQ="), 400, "websocket_bad_key"),
        (good.replace("Sec-WebSocket-Key", "X-Key"), 400, "websocket_bad_key"),
        (good.replace("Version: 13", "Version: 8"), 426, "websocket_bad_version"),
    ] {
        let response = gateway.raw(&bad);
        assert_eq!((response.status, response.reason()), (status, Some(reason)), "{bad}");
        let version = (status == 426).then_some("13");
        assert_eq!(response.header("sec-websocket-version"), version);
        assert_eq!(response.header("upgrade"), version.map(|_| "websocket"));
    }
    assert_eq!(backend.accepted(), 0);
    // HTTP/1.0 knows no upgrade (RFC 9110 section 7.8).
    assert_eq!(gateway.raw(good.replace("HTTP/1.1", "HTTP/1.0")).text(), "never asked");
}

fn other_protocols_are_ignored_and_counted(driver: Driver) {
    let backend = Backend::answering(|request| {
        assert!(request.header("upgrade").is_none() && request.header("connection").is_none());
        ok("here")
    });
    let none = ProxyConfig { upgrade_protocols: Vec::new(), ..ProxyConfig::default() };
    for (proxy, request, name) in [
        (
            ProxyConfig::default(),
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n".to_owned(),
            "other",
        ),
        (none, handshake("/"), "websocket"),
    ] {
        let gateway = Gateway::with(driver, &Config::to(backend.address()), proxy);
        assert_eq!(gateway.raw(request).text(), "here");
        let counted: Vec<_> = gateway.metrics().unsupported.each().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(name, 1)]);
        assert_eq!(gateway.log_lines(1)[0]["ignored_upgrade"], name);
    }
}

fn listed_protocols_are_tunnelled(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            if request.header("upgrade") != Some("example/2") {
                exchange.stream.write_all(&ok("HTTP")).unwrap();
                continue;
            }
            let head = b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: Example/2\r\n\r\n";
            exchange.stream.write_all(head).unwrap();
            while let Ok(Some(byte)) = exchange.byte() {
                exchange.stream.write_all(&[byte]).unwrap();
            }
            return;
        }
    });
    let proxy = ProxyConfig { upgrade_protocols: vec!["example/2".into()], ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to(backend.address()), proxy);
    let ask = |more: &str, body: &str| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c, EXAMPLE/2\r\n{more}\r\n{body}"
        )
    };
    // A body, and the bytes of another protocol behind it: left out.
    assert_eq!(gateway.raw(ask("Content-Length: 3\r\n", "abc")).text(), "HTTP");
    let mut client = Peer::send(&gateway, ask("", ""));
    assert!(client.head().contains("\r\nUpgrade: example/2\r\n"));
    client.write("through");
    assert_eq!(client.read(7), b"through");
    gateway.until("a tunnel", |counters| counters.tunnels == 1);
}
