//! Connections of a TCP listener: whole, as their two ends see them.

#[path = "../support/mod.rs"]
mod support;

mod ends;
mod limits;
mod peer;

use std::io::{Read, Write};
use std::net::SocketAddr;

use gateway_http::proxy_header::{Parsed, parse};
use gateway_io::Driver;
use gateway_ir::{BackendProtocol, RuleErrorKind};
use gateway_proxy::ProxyConfig;
use gateway_proxy::metrics::SeriesKey;
use gateway_testkit::wait::until;

use peer::{Peer, accepting, echo, is_reset, refusing, send_back};
use support::Gateway;
use support::ir::Config;

on_every_driver![
    bytes_go_both_ways_and_are_logged_and_counted,
    the_server_may_be_the_first_to_speak,
    shares_are_those_of_the_weights,
    a_broken_share_is_reset_and_counted,
    without_a_backend_every_connection_is_reset,
    the_next_endpoint_is_tried,
    a_backend_learns_of_its_client,
    an_announced_client_is_named_to_the_backend,
    connections_outlive_their_route,
];

/// Connections by the reason for which they ended, as the metrics have them.
fn counted(gateway: &Gateway, reason: Option<&str>) -> u64 {
    let metrics = gateway.metrics();
    let here = metrics.series.sorted().into_iter();
    let here = here.filter(|(key, _)| key.scheme == SeriesKey::TCP && key.reason == reason);
    here.map(|(_, series)| series.duration.count()).sum()
}

fn bytes_go_both_ways_and_are_logged_and_counted(driver: Driver) {
    let backend = echo();
    let gateway = Gateway::start(driver, &Config::to_tcp(&[backend]));
    let mut client = Peer::connect(gateway.address);
    // No protocol at all, and what looks like one.
    for said in ["\0\x01\x02", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01", "PRI * HTTP/2.0\r\n\r\n"] {
        client.write(said);
        assert_eq!(client.read(said.len()), said.as_bytes());
    }
    gateway.until("the tunnel", |counters| counters.tunnels == 1);
    client.finish();
    assert_eq!(client.rest().unwrap(), b"");
    gateway.until("its end", |counters| counters.tunnels == 0 && counters.connections == 0);
    let line = gateway.log_lines(1).remove(0);
    assert_eq!((&line["protocol"], &line["reason"]), (&"TCP".into(), &serde_json::Value::Null));
    assert_eq!((&line["bytes_received"], &line["bytes_sent"]), (&42.into(), &42.into()));
    assert_eq!((&line["listener"], &line["route_name"]), (&"ingress/gateway/tcp".into(), &"apps/tcp".into()));
    assert_eq!(line["upstream_host"], backend.to_string());
    assert_eq!(counted(&gateway, None), 1);
    let counters = gateway.metrics().counters;
    assert_eq!((counters.requests, counters.tunnel_bytes_sent), (0, 42));
}

fn the_server_may_be_the_first_to_speak(driver: Driver) {
    let backend = accepting(|mut stream| {
        stream.write_all(b"220 ready\r\n").unwrap();
        let _ = stream.read(&mut [0]);
    });
    let gateway = Gateway::start(driver, &Config::to_tcp(&[backend]));
    let mut client = Peer::connect(gateway.address);
    assert_eq!(client.read(11), b"220 ready\r\n");
}

/// A backend that says its name.
fn named(name: &'static str) -> SocketAddr {
    accepting(move |mut stream| drop(stream.write_all(name.as_bytes())))
}

fn shares_are_those_of_the_weights(driver: Driver) {
    let config = Config::default()
        .tcp_share(3, "a", &[named("a")])
        .tcp_share(1, "b", &[named("b")])
        .tcp_share(0, "c", &[named("c")]);
    let gateway = Gateway::start(driver, &config);
    let mut seen = [0_u32; 3];
    for _ in 0..400 {
        match Peer::connect(gateway.address).rest().unwrap().as_slice() {
            b"a" => seen[0] += 1,
            b"b" => seen[1] += 1,
            _ => seen[2] += 1,
        }
    }
    // Three of four, within six times the deviation of 400 draws.
    assert!((248..=352).contains(&seen[0]) && seen[2] == 0, "{seen:?}");
}

fn a_broken_share_is_reset_and_counted(driver: Driver) {
    let config = Config::to_tcp(&[echo()]).tcp_failure(1, RuleErrorKind::BackendNotFound);
    let gateway = Gateway::start(driver, &config);
    let (mut reset, mut served) = (0, 0);
    for _ in 0..60 {
        let mut client = Peer::connect(gateway.address);
        match client.write_if_open("x").and_then(|()| client.read_one()) {
            Err(error) if is_reset(&error) => reset += 1,
            Ok(Some(b'x')) => served += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(reset > 0 && served > 0, "{reset} reset, {served} served");
    assert_eq!(counted(&gateway, Some("backend_not_found")), reset);
    let lines = gateway.log_lines(1);
    let refused = lines.iter().find(|line| line["reason"] == "backend_not_found").unwrap();
    assert_eq!(refused["detail"], "rules[0].backendRefs: backend_not_found");
}

fn without_a_backend_every_connection_is_reset(driver: Driver) {
    let cases = [
        (Config::default().tcp_share(0, "a", &[echo()]), "no_backend"),
        (Config::to_tcp(&[]), "no_endpoints"),
        (Config::to_tcp(&[refusing()]), "upstream_connect_failed"),
        (Config { tcp: Some(Vec::new()), ..Config::default() }, "no_backend"),
    ];
    for (config, reason) in cases {
        let gateway = Gateway::start(driver, &config);
        assert!(is_reset(&Peer::connect(gateway.address).rest().unwrap_err()), "{reason}");
        assert_eq!(gateway.log_lines(1)[0]["reason"], reason);
        assert_eq!(counted(&gateway, Some(reason)), 1);
    }
}

fn the_next_endpoint_is_tried(driver: Driver) {
    let gateway = Gateway::start(driver, &Config::to_tcp(&[refusing(), echo()]));
    for _ in 0..20 {
        let mut client = Peer::connect(gateway.address);
        client.write("x");
        assert_eq!(client.read(1), b"x");
    }
    assert_eq!(counted(&gateway, Some("upstream_connect_failed")), 0);
}

/// A backend that reads a header, sends back the client that it names, and then all that follows. It ends with its client:
/// a socket that is closed while bytes wait in it resets its connection (RFC 1122 section 4.2.2.13).
fn reads_header() -> SocketAddr {
    accepting(|mut stream| {
        let (mut bytes, mut piece) = (Vec::new(), [0; 256]);
        let (consumed, source) = loop {
            let n = stream.read(&mut piece).unwrap();
            bytes.extend_from_slice(&piece[..n]);
            if let Parsed::Complete { consumed, source } = parse(&bytes).unwrap() {
                break (consumed, source.unwrap());
            }
            assert!(n > 0, "no header");
        };
        write!(stream, "{} {} ", source.client, source.destination).unwrap();
        stream.write_all(&bytes[consumed..]).unwrap();
        send_back(&mut stream);
    })
}

fn a_backend_learns_of_its_client(driver: Driver) {
    for protocol in [BackendProtocol::TcpProxyV1, BackendProtocol::TcpProxyV2] {
        let gateway = Gateway::start(driver, &Config::to_tcp_over(protocol, &[reads_header()]));
        // It says nothing by itself: the header does not wait for it.
        let mut client = Peer::connect(gateway.address);
        let said = format!("{} {} ", client.local(), gateway.address);
        assert_eq!(client.read(said.len()), said.as_bytes(), "{protocol:?}");
    }
}

fn an_announced_client_is_named_to_the_backend(driver: Driver) {
    let config = Config::to_tcp_over(BackendProtocol::TcpProxyV2, &[reads_header()]);
    let proxy =
        ProxyConfig { proxy_protocol: vec!["127.0.0.1/32".parse().unwrap()], ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &config, proxy);
    let mut client = Peer::connect(gateway.address);
    client.write("PROXY TCP4 198.51.100.1 10.0.0.1 4711 443\r\nrest");
    client.finish();
    let said = String::from_utf8(client.rest().unwrap()).unwrap();
    assert_eq!(said, format!("198.51.100.1:4711 {} rest", gateway.address));
    drop(client);
    assert_eq!(gateway.log_lines(1)[0]["client_address"], "198.51.100.1");
    // One without a header is refused.
    let mut silent = Peer::connect(gateway.address);
    silent.write("hello there");
    let _ = silent.rest();
    until("the count", || {
        let failures = gateway.metrics().proxy_header_failures;
        failures.each().any(|(reason, count)| reason == "missing" && count == 1).then_some(())
    });
}

fn connections_outlive_their_route(driver: Driver) {
    let backend = echo();
    let mut gateway = Gateway::start(driver, &Config::to_tcp(&[backend]));
    let mut client = Peer::connect(gateway.address);
    client.write("a");
    assert_eq!(client.read(1), b"a");
    gateway.publish(&Config { tcp: Some(Vec::new()), ..Config::default() }, vec![], vec![]);
    assert!(is_reset(&Peer::connect(gateway.address).rest().unwrap_err()), "a new one has no route");
    client.write("b");
    assert_eq!(client.read(1), b"b");
}
