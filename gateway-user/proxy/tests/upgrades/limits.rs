//! The bounds of a tunnel: time, places, a drain.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use gateway_io::Driver;
use gateway_ir::Timeouts as RuleTimeouts;
use gateway_proxy::worker::{DrainLimits, WorkerCommand};
use gateway_proxy::{ProxyConfig, Timeouts};
use gateway_testkit::wait::{WAIT_TIMEOUT, until};

use crate::on_every_driver;
use crate::peers::{Peer, echo, handshake, switched};
use crate::support::Gateway;
use crate::support::ir::Config;

on_every_driver![
    an_idle_tunnel_is_ended,
    one_direction_keeps_a_tunnel,
    a_half_closed_tunnel_is_ended_sooner,
    limits_of_requests_do_not_cut_a_tunnel,
    a_tunnel_has_a_place_at_its_backend,
    a_tunnel_takes_no_place_that_was_lent,
    a_receiver_that_takes_nothing_is_given_up,
    a_drain_lets_a_tunnel_end_and_cuts_it_at_last,
    a_drain_waits_for_a_tunnel,
];

fn limits(timeouts: Timeouts) -> ProxyConfig {
    ProxyConfig { timeouts, ..ProxyConfig::default() }
}

fn idle(tunnel_idle: Duration) -> ProxyConfig {
    limits(Timeouts { tunnel_idle, ..Timeouts::default() })
}

fn an_idle_tunnel_is_ended(driver: Driver) {
    let backend = echo();
    let gateway = Gateway::with(driver, &Config::to(backend.address()), idle(Duration::from_millis(200)));
    let mut client = Peer::connect(&gateway);
    client.write("x");
    assert_eq!(client.rest().unwrap(), b"x");
    gateway.until("its end", |counters| counters.tunnels == 0 && counters.tunnels_idle_closed == 1);
    assert_eq!(gateway.log_lines(1)[0]["reason"], "tunnel_idle_timeout");
}

fn one_direction_keeps_a_tunnel(driver: Driver) {
    let limit = Duration::from_millis(1500);
    let backend = switched(move |exchange| {
        // Longer than the limit, without a word from the client.
        for _ in 0..20 {
            thread::sleep(limit / 8);
            std::io::Write::write_all(&mut exchange.stream, b"x").unwrap();
        }
    });
    let gateway = Gateway::with(driver, &Config::to(backend.address()), idle(limit));
    let mut client = Peer::connect(&gateway);
    assert_eq!(client.read(20), [b'x'; 20]);
}

fn a_half_closed_tunnel_is_ended_sooner(driver: Driver) {
    let backend = switched(|exchange| {
        exchange.stream.shutdown(std::net::Shutdown::Write).unwrap();
        while let Ok(Some(_)) = exchange.byte() {}
    });
    let half_closed = Duration::from_millis(200);
    let proxy = limits(Timeouts { tunnel_half_closed: half_closed, ..Timeouts::default() });
    let gateway = Gateway::with(driver, &Config::to(backend.address()), proxy);
    // The direction from the client waits already when the other one ends.
    let mut client = Peer::connect(&gateway);
    assert_eq!(client.rest().unwrap(), b"");
    gateway.until("its end", |counters| counters.tunnels == 0 && counters.tunnels_idle_closed == 1);
    assert_eq!(gateway.log_lines(1)[0]["reason"], "tunnel_idle_timeout");
}

fn limits_of_requests_do_not_cut_a_tunnel(driver: Driver) {
    let backend = echo();
    let rule = RuleTimeouts { request_ms: Some(300), backend_request_ms: Some(200) };
    let short = Duration::from_millis(300);
    let proxy = limits(Timeouts {
        client_body: short,
        client_idle: short,
        upstream_idle_body: short,
        request: short,
        ..Timeouts::default()
    });
    let gateway = Gateway::with(driver, &Config::to(backend.address()).timeouts(rule), proxy);
    let mut client = Peer::connect(&gateway);
    thread::sleep(3 * short);
    client.write("still here");
    assert_eq!(client.read(10), b"still here");
}

fn a_tunnel_has_a_place_at_its_backend(driver: Driver) {
    let backend = echo();
    let proxy = ProxyConfig { max_upstream_requests: 1, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to(backend.address()), proxy);
    let client = Peer::connect(&gateway);
    let full = gateway.raw(handshake("/"));
    assert_eq!((full.status, full.reason()), (503, Some("overload_requests")));
    drop(client);
    gateway.until("its end", |counters| counters.tunnels == 0);
    // One that waits for its response no more.
    let proxy = ProxyConfig { max_upstream_pending: 1, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to(backend.address()), proxy);
    let _tunnels = [Peer::connect(&gateway), Peer::connect(&gateway)];
    gateway.until("two", |counters| counters.tunnels == 2);
}

fn a_tunnel_takes_no_place_that_was_lent(driver: Driver) {
    let backend = echo();
    let proxy = ProxyConfig { max_connections: 1, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to(backend.address()), proxy);
    let _inside = Peer::connect(&gateway);
    let refused = gateway.raw(handshake("/"));
    assert_eq!((refused.status, refused.reason()), (503, Some("overload_connections")));
}

fn a_receiver_that_takes_nothing_is_given_up(driver: Driver) {
    let (over, see) = channel();
    let backend = switched(move |exchange| {
        let piece = [b'x'; 64 * 1024];
        while std::io::Write::write_all(&mut exchange.stream, &piece).is_ok() {}
        let _ = over.send(());
    });
    let send = Timeouts { client_send: Duration::from_millis(500), ..Timeouts::default() };
    let gateway = Gateway::with(driver, &Config::to(backend.address()), limits(send));
    let client = Peer::connect(&gateway);
    see.recv_timeout(WAIT_TIMEOUT).unwrap();
    assert_eq!(gateway.log_lines(1)[0]["reason"], "client_send_timeout");
    drop(client);
}

fn a_drain_lets_a_tunnel_end_and_cuts_it_at_last(driver: Driver) {
    let backend = echo();
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = Peer::connect(&gateway);
    let max = Duration::from_secs(2);
    let limits = DrainLimits { accept: Duration::ZERO, idle: Duration::ZERO, max };
    let drained = gateway.send(|reply| WorkerCommand::Drain { limits, reply });
    // Nothing is cut in the first half.
    until("the drain to begin", || gateway_testkit::http::Client::connect(gateway.address).err());
    client.write("x");
    assert_eq!(client.read(1), b"x");
    assert_eq!(client.rest().unwrap(), b"");
    let drained = crate::support::block_on(drained).unwrap();
    assert_eq!(drained.aborted, 0, "it was cut before the end");
    let line = gateway.log_lines(1).remove(0);
    assert_eq!((&line["reason"], &line["response_code"]), (&"drain_aborted".into(), &101.into()));
}

fn a_drain_waits_for_a_tunnel(driver: Driver) {
    let backend = echo();
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut client = Peer::connect(&gateway);
    let limits = DrainLimits { accept: Duration::ZERO, idle: Duration::ZERO, max: WAIT_TIMEOUT };
    let drained = gateway.send(|reply| WorkerCommand::Drain { limits, reply });
    client.write("x");
    assert_eq!(client.read(1), b"x");
    client.finish();
    assert_eq!(client.rest().unwrap(), b"");
    assert_eq!(crate::support::block_on(drained).unwrap().aborted, 0);
    assert_eq!(gateway.log_lines(1)[0]["reason"], serde_json::Value::Null);
}
