//! TCP listeners: the whole gateway over YAML, on every steering path and driver, over both families.

mod common;
#[path = "common/ends.rs"]
mod ends;
#[path = "common/tcp.rs"]
mod tcp;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};

use common::{Running, metric, sluice, text, with_gateway_flags};
use ends::{connect, exchange, is_reset, start_echo};
use gateway_testkit::wait;
use nix::sys::signal::Signal;

const PORT: u16 = 5432;

/// A listener with a route, one of whose Services does not exist and has no share, and one without.
fn resources() -> String {
    let missing = ", {name: missing, port: 1, weight: 0}";
    [tcp::gateway(&[("pg", PORT), ("empty", 53)]), tcp::route("team2", "pg", 15432, missing)].concat()
}

/// The response to `said`, after which the client finishes.
fn ask(to: SocketAddr, said: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = connect(to)?;
    stream.write_all(said)?;
    stream.shutdown(Shutdown::Write)?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    Ok(all)
}

fn play(label: &str, flags: &'static [&'static str]) {
    with_gateway_flags(label, flags, move |_, running: &mut Running| {
        start_echo("127.0.0.1:15432");
        running.config.write("tcp.yaml", &resources()).unwrap();
        let v4: SocketAddr = ([127, 0, 0, 1], PORT).into();
        let v6: SocketAddr = (std::net::Ipv6Addr::LOCALHOST, PORT).into();
        wait::until(&format!("the listener; the gateway says:\n{}", running.log()), || ask(v4, b"x").ok());
        let is_steered = flags.contains(&"ebpf");
        let steered = || metric("sluice_steering_verdicts_total", &["verdict=\"steered\""]);
        let before = if is_steered { steered() } else { 0.0 };
        let long: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        for to in [v4, v6] {
            assert_eq!(ask(to, b"SELECT 1;").unwrap(), b"SELECT 1;", "{to}");
            assert!(ask(to, &long).unwrap() == long, "{to}: another body");
        }
        if is_steered {
            assert!(steered() >= before + 4.0, "connections came by another way");
        }
        let pg = ["sluice_listener=\"ingress/data/pg\"", "sluice_route=\"team2/db\""];
        wait::until("the count", || {
            (metric("sluice_tcp_connection_duration_seconds_count", &pg) >= 4.0).then_some(())
        });
        // HTTP goes on beside it, and a listener without a route resets.
        running.wait_for_status("/httpbin/get", 200);
        assert!(is_reset(ask(([127, 0, 0, 1], 53).into(), b"x")));
        wait::until("its reason", || {
            (metric("sluice_tcp_connection_duration_seconds_count", &["error_type=\"no_route\""]) > 0.0)
                .then_some(())
        });
        is_shown();
        says_the_same(running);
        edits(running, v4);
        running.gateway.signal(Signal::SIGTERM).unwrap();
        running.gateway.wait();
        running.gateway.wait_for_output("\"protocol\":\"TCP\"");
    });
}

/// `sluice status` tells the listener's protocol and the route.
fn is_shown() {
    let said = text(&sluice(&["status"]));
    let has_row = |cells: &[&str]| said.lines().any(|line| line.split_whitespace().eq(cells.iter().copied()));
    assert!(has_row(&["ingress/data", "pg", "*", "5432", "TCP", "*", "1", "OK"]), "{said}");
    assert!(has_row(&["TCPRoute", "team2/db", "ingress/data/pg", "BackendNotFound"]), "{said}");
}

/// `check`, `explain` and the gateway agree.
fn says_the_same(running: &Running) {
    let dir = running.config.path().to_str().unwrap();
    let explained = sluice(&["explain", dir, "tcp://127.0.0.1:5432"]);
    let said = text(&explained);
    assert!(explained.status.success(), "{said}");
    for part in [
        "listener ingress/data/pg takes every connection",
        "TCPRoute team2/db rules[0] takes the connection",
        "to Service team2/db:5432 over TCP at 127.0.0.1:15432",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    let without = sluice(&["explain", dir, "tcp://[::1]:53"]);
    assert!(!without.status.success() && text(&without).contains("no_route"), "{}", text(&without));
    let request = sluice(&["explain", dir, "GET", "http://127.0.0.1:5432/"]);
    assert!(text(&request).contains("ask with tcp://"), "{}", text(&request));
    let connection = sluice(&["explain", dir, "tcp://127.0.0.1:80"]);
    assert!(text(&connection).contains("ask with METHOD http://"), "{}", text(&connection));
}

/// A connection goes on while its route is another one, and new ones follow the new one.
fn edits(running: &Running, to: SocketAddr) {
    let mut held = connect(to).unwrap();
    exchange(&mut held, 1).unwrap();
    running.edit("tcp.yaml", "port: 5432, weight: 1}", "port: 5432, weight: 0}");
    wait::until("connections without a backend to be reset", || is_reset(ask(to, b"x")).then_some(()));
    exchange(&mut held, 2).unwrap();
    running.edit("tcp.yaml", "port: 5432, weight: 0}", "port: 5432, weight: 1}");
    wait::until("the backend's return", || ask(to, b"x").ok());
    exchange(&mut held, 3).unwrap();
}

#[test]
fn connections_over_steering_and_io_uring() {
    play("tcp-ebpf-uring", &["--steering", "ebpf", "--io", "uring", "--ring-entries", "256"]);
}

#[test]
fn connections_over_steering_and_epoll() {
    play("tcp-ebpf-epoll", &["--steering", "ebpf", "--io", "epoll"]);
}

#[test]
fn connections_over_own_ports_and_io_uring() {
    play("tcp-reuseport-uring", &["--steering", "reuseport", "--io", "uring", "--ring-entries", "256"]);
}

#[test]
fn connections_over_own_ports_and_epoll() {
    play("tcp-reuseport-epoll", &["--steering", "reuseport", "--io", "epoll"]);
}
