//! Flows of a UDP listener, as clients and backends see them.

#[path = "../support/mod.rs"]
mod support;

mod handed;
mod limits;
mod peer;

use std::net::{SocketAddr, TcpListener, UdpSocket};

use gateway_io::Driver;
use gateway_ir::RuleErrorKind;
use gateway_proxy::ProxyConfig;
use gateway_proxy::metrics::SeriesKey;
use gateway_proxy::worker::WorkerSockets;
use gateway_testkit::wait::until;

use peer::{Client, echo, named, server};
use support::Gateway;
use support::ir::Config;

on_every_driver![
    datagrams_go_both_ways_with_their_bounds,
    a_flow_stays_with_its_backend,
    shares_are_those_of_the_weights,
    a_broken_share_is_dropped_for_a_whole_flow,
    without_a_route_or_backend_datagrams_are_dropped_and_counted,
    a_backend_may_send_more_than_one,
    a_refusal_ends_the_flow,
    flows_outlive_their_route,
    flows_leave_an_endpoint_that_is_none_any_more,
    a_socket_that_is_retired_is_closed,
];

/// A gateway with this configuration, and its socket's address.
fn start(driver: Driver, config: &Config) -> (Gateway, SocketAddr) {
    start_with(driver, config, ProxyConfig::default())
}

fn start_with(driver: Driver, config: &Config, proxy: ProxyConfig) -> (Gateway, SocketAddr) {
    let (listener, socket) = sockets();
    let address = socket.local_addr().unwrap();
    let mut gateway = Gateway::on(driver, config, proxy, listener, address);
    serve(&mut gateway, config, socket);
    (gateway, address)
}

/// Sockets of one number. The tables are for one, which others may have in either transport.
fn sockets() -> (TcpListener, UdpSocket) {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()) {
            return (listener, socket);
        }
    }
}

/// Has the gateway serve a socket.
fn serve(gateway: &mut Gateway, config: &Config, socket: UdpSocket) {
    let sockets = WorkerSockets { datagrams: vec![socket], ..WorkerSockets::default() };
    gateway.publish_with(config, sockets, vec![], vec![]);
}

/// Flows, and datagrams without one, by the reason for which they ended.
fn counted(gateway: &Gateway, reason: Option<&str>) -> u64 {
    let metrics = gateway.metrics();
    let here = metrics.series.sorted().into_iter();
    let here = here.filter(|(key, _)| key.scheme == SeriesKey::UDP && key.reason == reason);
    here.map(|(_, series)| series.duration.count()).sum()
}

fn datagrams_go_both_ways_with_their_bounds(driver: Driver) {
    let backend = echo();
    let (gateway, address) = start(driver, &Config::to_udp(&[backend]));
    let client = Client::of(address);
    let long = vec![7; 60_000];
    for data in [&b"one"[..], b"", &long, b"four"] {
        assert_eq!(client.ask(data), data);
    }
    let counters = gateway.metrics().counters;
    assert_eq!((counters.udp_flows, counters.udp_datagrams_received, counters.udp_datagrams_sent), (1, 4, 4));
    assert_eq!(counters.udp_datagrams_dropped, 0);
    let port = client.address().port();
    let mut gateway = gateway;
    gateway.publish_with(&Config::to_udp(&[backend]), WorkerSockets::default(), vec![], vec![address]);
    let line = gateway.log_lines(1).remove(0);
    assert_eq!((&line["protocol"], &line["reason"]), (&"UDP".into(), &"no_listener_for_address".into()));
    assert_eq!((&line["bytes_received"], &line["bytes_sent"]), (&60_007.into(), &60_007.into()));
    assert_eq!((&line["listener"], &line["route_name"]), (&"ingress/gateway/udp".into(), &"apps/udp".into()));
    assert_eq!(line["upstream_host"], backend.to_string());
    let peer = format!("127.0.0.1:{port}");
    assert!(line.as_object().unwrap().values().any(|value| *value == peer), "{line}");
}

fn a_flow_stays_with_its_backend(driver: Driver) {
    let config = Config::to_udp(&[named("a"), named("b"), named("c")]);
    let (_gateway, address) = start(driver, &config);
    for _ in 0..10 {
        let client = Client::of(address);
        let first = client.ask(b"who");
        // The same backend, which sees the same port.
        assert!((0..5).all(|_| client.ask(b"who") == first));
    }
}

fn shares_are_those_of_the_weights(driver: Driver) {
    let config = Config::default()
        .udp_share(3, "a", &[named("a")])
        .udp_share(1, "b", &[named("b")])
        .udp_share(0, "c", &[named("c")]);
    let (_gateway, address) = start(driver, &config);
    let mut seen = [0_u32; 3];
    for _ in 0..400 {
        match Client::of(address).ask(b"x")[0] {
            b'a' => seen[0] += 1,
            b'b' => seen[1] += 1,
            _ => seen[2] += 1,
        }
    }
    // Three of four, within six times the deviation of 400 draws.
    assert!((248..=352).contains(&seen[0]) && seen[2] == 0, "{seen:?}");
}

fn a_broken_share_is_dropped_for_a_whole_flow(driver: Driver) {
    let config = Config::to_udp(&[echo()]).udp_failure(1, RuleErrorKind::BackendNotFound);
    let (gateway, address) = start(driver, &config);
    let clients: Vec<_> = (0..60).map(|_| Client::of(address)).collect();
    for round in 1..=5 {
        clients.iter().for_each(|client| client.send(b"x"));
        // A socket's queue has room for a round.
        gateway.until("a round", |counters| counters.udp_datagrams_received == round * 60);
    }
    let served = || clients.iter().filter(|client| client.has_something()).count();
    gateway.until("their responses", |counters| {
        counters.udp_datagrams_dropped + counters.udp_datagrams_sent == 300
    });
    let counters = gateway.metrics().counters;
    assert!(counters.udp_datagrams_dropped > 0 && counters.udp_datagrams_sent > 0, "{counters:?}");
    // Each client has all of its responses, or none.
    assert_eq!(served() as u64 * 5, counters.udp_datagrams_sent);
    assert_eq!(counters.udp_flows, 60);
}

fn without_a_route_or_backend_datagrams_are_dropped_and_counted(driver: Driver) {
    let cases = [
        (Config { udp: Some(Vec::new()), ..Config::default() }, "no_backend"),
        (Config::default().udp_failure(1, RuleErrorKind::RefNotPermitted), "ref_not_permitted"),
        (Config::to_udp(&[]), "no_endpoints"),
    ];
    for (config, reason) in cases {
        let (gateway, address) = start(driver, &config);
        let client = Client::of(address);
        client.send(b"x");
        gateway.until("the drop", |counters| counters.udp_datagrams_dropped == 1);
        if reason != "ref_not_permitted" {
            assert_eq!(counted(&gateway, Some(reason)), 1, "{reason}");
        }
        assert!(!client.has_something());
    }
}

fn a_backend_may_send_more_than_one(driver: Driver) {
    let backend = server(|data, _| vec![data.to_vec(), b"again".to_vec(), Vec::new()]);
    let (_gateway, address) = start(driver, &Config::to_udp(&[backend]));
    let client = Client::of(address);
    client.send(b"x");
    assert_eq!([client.receive(), client.receive(), client.receive()], [&b"x"[..], b"again", b""]);
}

/// The next datagram of the client goes to an endpoint that is there.
fn a_refusal_ends_the_flow(driver: Driver) {
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (gateway, address) = start(driver, &Config::to_udp(&[gone, echo()]));
    for _ in 0..20 {
        let client = Client::of(address);
        until("a response", || {
            client.send(b"x");
            std::thread::yield_now();
            client.has_something().then_some(())
        });
    }
    let only = Config::to_udp(&[gone]);
    let (other, address) = start(driver, &only);
    Client::of(address).send(b"x");
    until("the refusal", || (counted(&other, Some("upstream_unreachable")) == 1).then_some(()));
    assert_eq!(other.metrics().counters.udp_flows, 0);
    assert_eq!(other.log_lines(1)[0]["reason"], "upstream_unreachable");
    drop(gateway);
}

fn flows_outlive_their_route(driver: Driver) {
    let (mut gateway, address) = start(driver, &Config::to_udp(&[named("old")]));
    let client = Client::of(address);
    let before = client.ask(b"x");
    gateway.publish_with(
        &Config::default().udp_share(1, "new", &[named("new")]),
        WorkerSockets::default(),
        vec![],
        vec![],
    );
    assert_eq!(client.ask(b"x"), before);
    assert!(Client::of(address).ask(b"x").starts_with(b"new"));
}

fn flows_leave_an_endpoint_that_is_none_any_more(driver: Driver) {
    let (one, other) = (named("one"), named("other"));
    let (mut gateway, address) = start(driver, &Config::to_udp(&[one]));
    let client = Client::of(address);
    assert!(client.ask(b"x").starts_with(b"one"));
    gateway.publish_with(&Config::to_udp(&[other]), WorkerSockets::default(), vec![], vec![]);
    assert!(client.ask(b"x").starts_with(b"other"));
}

fn a_socket_that_is_retired_is_closed(driver: Driver) {
    let config = Config::to_udp(&[echo()]);
    let (mut gateway, address) = start(driver, &config);
    assert_eq!(Client::of(address).ask(b"x"), b"x");
    gateway.publish_with(&config, WorkerSockets::default(), vec![], vec![address]);
    assert_eq!(gateway.metrics().counters.udp_flows, 0);
    serve(&mut gateway, &config, UdpSocket::bind(address).expect("nobody has it"));
    assert_eq!(Client::of(address).ask(b"y"), b"y");
}
