//! The bounds of connections: time, places, a drain.

use std::net::TcpListener;
use std::time::Duration;

use gateway_io::Driver;
use gateway_ir::Setting;
use gateway_proxy::worker::{DrainLimits, WorkerCommand};
use gateway_proxy::{ProxyConfig, Timeouts};
use gateway_testkit::wait::until;

use crate::on_every_driver;
use crate::peer::{Peer, echo, is_reset};
use crate::support::Gateway;
use crate::support::ir::Config;

on_every_driver![
    an_idle_connection_is_reset,
    a_gateway_has_a_time_of_its_own,
    a_backend_that_does_not_accept_times_out,
    a_connection_has_a_place_at_its_backend,
    the_last_places_are_for_other_namespaces,
    a_clients_network_has_its_maximum,
    a_drain_lets_a_connection_end,
    a_drain_resets_it_at_last,
];

fn limits(timeouts: Timeouts) -> ProxyConfig {
    ProxyConfig { timeouts, ..ProxyConfig::default() }
}

fn served(gateway: &Gateway) -> Peer {
    let mut client = Peer::connect(gateway.address);
    client.write("x");
    assert_eq!(client.read(1), b"x");
    client
}

#[track_caller]
fn is_refused(gateway: &Gateway, reason: &str) {
    assert!(is_reset(&Peer::connect(gateway.address).rest().unwrap_err()));
    until(reason, || gateway.log_lines(1).iter().any(|line| line["reason"] == reason).then_some(()));
}

fn an_idle_connection_is_reset(driver: Driver) {
    let proxy = limits(Timeouts { tunnel_idle: Duration::from_millis(200), ..Timeouts::default() });
    let gateway = Gateway::with(driver, &Config::to_tcp(&[echo()]), proxy);
    let mut client = served(&gateway);
    assert!(is_reset(&client.rest().unwrap_err()), "it is not told that all is in order");
    gateway.until("its end", |counters| counters.tunnels == 0 && counters.tunnels_idle_closed == 1);
    assert_eq!(gateway.log_lines(1)[0]["reason"], "tunnel_idle_timeout");
}

fn a_gateway_has_a_time_of_its_own(driver: Driver) {
    let mut config = Config::to_tcp(&[echo()]);
    config.settings.set(Setting::TunnelIdleTimeout, Some(200));
    // The process's is an hour.
    let gateway = Gateway::start(driver, &config);
    let mut client = served(&gateway);
    assert!(is_reset(&client.rest().unwrap_err()));
    gateway.until("its end", |counters| counters.tunnels == 0 && counters.tunnels_idle_closed == 1);
    assert_eq!(gateway.log_lines(1)[0]["reason"], "tunnel_idle_timeout");
}

/// A listener whose queue is full: connections to it are neither made nor refused.
fn full() -> (TcpListener, Vec<std::net::TcpStream>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        queued.push(stream);
        assert!(queued.len() < 64, "the queue has no end");
    }
    (listener, queued)
}

fn a_backend_that_does_not_accept_times_out(driver: Driver) {
    let (listener, _queued) = full();
    let address = listener.local_addr().unwrap();
    let proxy = limits(Timeouts { connect: Duration::from_millis(200), ..Timeouts::default() });
    let alone = Gateway::with(driver, &Config::to_tcp(&[address]), proxy.clone());
    is_refused(&alone, "upstream_connect_timeout");
    let gateway = Gateway::with(driver, &Config::to_tcp(&[address, echo()]), proxy);
    for _ in 0..4 {
        served(&gateway);
    }
}

fn a_connection_has_a_place_at_its_backend(driver: Driver) {
    let proxy = ProxyConfig { max_upstream_requests: 1, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to_tcp(&[echo()]), proxy);
    let client = served(&gateway);
    is_refused(&gateway, "overload_requests");
    drop(client);
    gateway.until("the place", |counters| counters.tunnels == 0);
    served(&gateway);
}

fn the_last_places_are_for_other_namespaces(driver: Driver) {
    let proxy = ProxyConfig { max_connections: 10, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to_tcp(&[echo()]), proxy);
    let mut clients: Vec<_> = (0..8).map(|_| served(&gateway)).collect();
    is_refused(&gateway, "overload_share");
    let counters = gateway.metrics().counters;
    assert_eq!((counters.share_refused, counters.overloaded, counters.connections), (1, 0, 8));
    clients.pop();
    gateway.until("the place", |counters| counters.connections == 7);
    clients.push(served(&gateway));
    is_refused(&gateway, "overload_share");
    clients.iter_mut().for_each(|client| {
        client.write("y");
        assert_eq!(client.read(1), b"y");
    });
}

fn a_clients_network_has_its_maximum(driver: Driver) {
    let mut proxy = ProxyConfig::default();
    proxy.clients.connections = 1;
    let gateway = Gateway::with(driver, &Config::to_tcp(&[echo()]), proxy);
    let _client = served(&gateway);
    assert!(is_reset(&Peer::connect(gateway.address).rest().unwrap_err()));
    gateway.until("the count", |counters| counters.client_refused == 1);
}

fn drain(idle: Duration, max: Duration) -> DrainLimits {
    DrainLimits { accept: Duration::ZERO, idle, max }
}

fn a_drain_lets_a_connection_end(driver: Driver) {
    let gateway = Gateway::start(driver, &Config::to_tcp(&[echo()]));
    let mut client = served(&gateway);
    let limits = drain(Duration::from_millis(100), Duration::from_secs(60));
    let mut drained = gateway.send(|reply| WorkerCommand::Drain { limits, reply });
    // Longer than idle connections have: this one is none.
    std::thread::sleep(Duration::from_millis(500));
    client.write("y");
    assert_eq!(client.read(1), b"y");
    client.finish();
    assert_eq!(client.rest().unwrap(), b"");
    let drained = until("the drain's end", || drained.try_recv().unwrap());
    assert_eq!(drained.aborted, 0);
}

fn a_drain_resets_it_at_last(driver: Driver) {
    let gateway = Gateway::start(driver, &Config::to_tcp(&[echo()]));
    let mut client = served(&gateway);
    let limits = drain(Duration::from_millis(50), Duration::from_millis(400));
    let mut drained = gateway.send(|reply| WorkerCommand::Drain { limits, reply });
    assert!(is_reset(&client.rest().unwrap_err()));
    until("the drain's end", || drained.try_recv().unwrap());
    assert_eq!(gateway.log_lines(1)[0]["reason"], "drain_aborted");
}
