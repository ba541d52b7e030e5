//! UDP listeners: the whole gateway over YAML, on every steering path and driver, over both families.

mod common;
#[path = "udp/tenants.rs"]
mod tenants;
#[path = "common/udp.rs"]
mod udp;

use std::io::{Read, Write};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};

use common::{Running, metric, sluice, text, with_gateway_flags};
use gateway_testkit::wait;
use nix::sys::signal::Signal;
use udp::{ask, client};

fn play(label: &str, flags: &'static [&'static str]) {
    with_gateway_flags(label, flags, move |_, running: &mut Running| {
        udp::start_servers();
        running.config.write("udp.yaml", &udp::resources("team2")).unwrap();
        let v4: SocketAddr = ([127, 0, 0, 1], 53).into();
        let v6: SocketAddr = (Ipv6Addr::LOCALHOST, 53).into();
        let held = client(v4);
        wait::until(&format!("the listener; the gateway says:\n{}", running.log()), || ask(&held, b"x").ok());
        let long: Vec<u8> = (0..30_000_u32).map(|n| (n % 251) as u8).collect();
        for to in [v4, v6] {
            let one = client(to);
            for data in [&b"first"[..], b"", &long] {
                assert_eq!(ask(&one, data).unwrap(), data, "{to}");
            }
        }
        // TCP on the port is another listener's.
        let mut stream = TcpStream::connect(v4).unwrap();
        stream.write_all(b"over TCP").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"over TCP");
        // HTTP goes on beside it, and a listener without a route drops.
        running.wait_for_status("/httpbin/get", 200);
        let empty = client(([127, 0, 0, 1], 5353).into());
        empty.send(b"x").unwrap();
        wait::until("its reason", || {
            (metric("sluice_udp_flow_duration_seconds_count", &["error_type=\"no_route\""]) > 0.0)
                .then_some(())
        });
        assert!(metric("sluice_udp_flows", &[]) >= 3.0);
        udp::digs();
        is_shown();
        says_the_same(running);
        edits(running, &held);
        running.gateway.signal(Signal::SIGTERM).unwrap();
        running.gateway.wait();
        running.gateway.wait_for_output("\"protocol\":\"UDP\"");
    });
}

/// `sluice status` tells the listener's protocol and the route.
fn is_shown() {
    let said = text(&sluice(&["status"]));
    let has_row = |cells: &[&str]| said.lines().any(|line| line.split_whitespace().eq(cells.iter().copied()));
    assert!(has_row(&["ingress/udp", "dns", "*", "53", "UDP", "*", "1", "OK"]), "{said}");
    assert!(has_row(&["UDPRoute", "team2/dns", "ingress/udp/dns", "BackendNotFound"]), "{said}");
}

/// `check`, `explain` and the gateway agree.
fn says_the_same(running: &Running) {
    let dir = running.config.path().to_str().unwrap();
    let explained = sluice(&["explain", dir, "udp://127.0.0.1:53"]);
    let said = text(&explained);
    assert!(explained.status.success(), "{said}");
    for part in [
        "listener ingress/udp/dns takes every datagram",
        "UDPRoute team2/dns rules[0] takes the datagram",
        "to Service team2/dns:53 over UDP at 127.0.0.1:15353",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    let without = sluice(&["explain", dir, "udp://[::1]:5353"]);
    assert!(!without.status.success() && text(&without).contains("no_route"), "{}", text(&without));
    let tcp = sluice(&["explain", dir, "tcp://127.0.0.1:53"]);
    assert!(text(&tcp).contains("TCPRoute team2/dns"), "{}", text(&tcp));
}

/// A flow goes on while its route is another one, and new ones follow the new one.
fn edits(running: &Running, held: &UdpSocket) {
    assert_eq!(ask(held, b"1").unwrap(), b"1");
    running.edit("udp.yaml", "port: 53, weight: 1}", "port: 53, weight: 0}");
    let no_backend =
        || metric("sluice_udp_flow_duration_seconds_count", &["error_type=\"backend_not_found\""]);
    let before = no_backend();
    let to = held.peer_addr().unwrap();
    wait::until("flows without a backend to be dropped", || {
        client(to).send(b"x").unwrap();
        (no_backend() > before
            || metric("sluice_udp_flow_duration_seconds_count", &["error_type=\"no_backend\""]) > 0.0)
            .then_some(())
    });
    assert_eq!(ask(held, b"2").unwrap(), b"2");
    running.edit("udp.yaml", "port: 53, weight: 0}", "port: 53, weight: 1}");
    wait::until("the backend's return", || ask(&client(to), b"x").ok());
    assert_eq!(ask(held, b"3").unwrap(), b"3");
}

#[test]
fn datagrams_over_steering_and_io_uring() {
    play("udp-ebpf-uring", &["--steering", "ebpf", "--io", "uring", "--ring-entries", "256"]);
}

#[test]
fn datagrams_over_steering_and_epoll() {
    play("udp-ebpf-epoll", &["--steering", "ebpf", "--io", "epoll"]);
}

#[test]
fn datagrams_over_own_ports_and_io_uring() {
    play("udp-reuseport-uring", &["--steering", "reuseport", "--io", "uring", "--ring-entries", "256"]);
}

#[test]
fn datagrams_over_own_ports_and_epoll() {
    play("udp-reuseport-epoll", &["--steering", "reuseport", "--io", "epoll"]);
}
