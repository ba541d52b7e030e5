//! Flows that go from one worker to another, as in a hot restart.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use gateway_io::{Driver, socket_cookie};
use gateway_proxy::worker::{Adopted, Clients, HandedFlow, HandedOver, WorkerCommand, WorkerSockets};
use gateway_proxy::{ProxyConfig, UdpLimits};

use crate::peer::{Client, server};
use crate::support::Gateway;
use crate::support::ir::Config;
use crate::{counted, on_every_driver, serve, sockets};

on_every_driver![
    flows_go_on_in_another_worker,
    flows_come_back,
    a_budget_bounds_what_is_given_up,
    flows_without_a_place_end,
];

/// Responds with the port that a datagram comes from, and twice to `twice`.
fn backend() -> SocketAddr {
    server(|data, from| {
        let port = from.port().to_be_bytes().to_vec();
        if data == b"twice" { vec![port.clone(), port] } else { vec![port] }
    })
}

fn hand_over(gateway: &Gateway, budget: usize) -> HandedOver {
    let budget = Arc::new(AtomicUsize::new(budget));
    gateway.ask(|reply| WorkerCommand::HandOverFlows { budget, reply })
}

fn adopt(gateway: &Gateway, sockets: Vec<UdpSocket>, flows: Vec<HandedFlow>) -> Adopted {
    adopt_for(gateway, sockets, flows, Clients::Here)
}

fn adopt_for(
    gateway: &Gateway,
    sockets: Vec<UdpSocket>,
    flows: Vec<HandedFlow>,
    clients: Clients,
) -> Adopted {
    gateway.ask(|reply| WorkerCommand::AdoptFlows { sockets, flows, clients, reply })
}

/// A worker with this configuration and its socket, and a duplicate of that.
fn first(driver: Driver, config: &Config) -> (Gateway, UdpSocket) {
    let (listener, socket) = sockets();
    let (address, copy) = (socket.local_addr().unwrap(), socket.try_clone().unwrap());
    let mut gateway = Gateway::on(driver, config, ProxyConfig::default(), listener, address);
    serve(&mut gateway, config, socket);
    (gateway, copy)
}

/// Another worker, for the same address.
fn second(driver: Driver, config: &Config, address: SocketAddr, proxy: ProxyConfig) -> Gateway {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut gateway = Gateway::on(driver, config, proxy, listener, address);
    gateway.publish_with(config, WorkerSockets::default(), vec![], vec![]);
    gateway
}

fn flows_go_on_in_another_worker(driver: Driver) {
    let config = Config::to_udp(&[backend()]);
    let (old, socket) = first(driver, &config);
    let address = socket.local_addr().unwrap();
    let new = second(driver, &config, address, ProxyConfig::default());
    let clients: Vec<_> = (0..20).map(|_| Client::of(address)).collect();
    let ports: Vec<_> = clients.iter().map(|client| [client.ask(b"x"), client.ask(b"y")]).collect();
    let HandedOver { flows, kept } = hand_over(&old, 100);
    assert_eq!((flows.len(), kept), (20, 0));
    assert!(flows.iter().all(|flow| flow.confirmed && flow.received == 2 && flow.sent == 4));
    assert!(flows.iter().all(|flow| flow.listener == socket_cookie(&socket).unwrap()));
    // Whatever comes while nobody receives waits.
    clients.iter().for_each(|client| client.send(b"twice"));
    assert_eq!(adopt(&new, vec![socket], flows), Adopted { flows: 20, ended: 0 });
    for (client, [port, again]) in clients.iter().zip(&ports) {
        assert_eq!(port, again);
        assert_eq!([&client.receive(), &client.receive(), &client.ask(b"z")], [port; 3]);
    }
    assert_eq!((old.metrics().counters.udp_flows, new.metrics().counters.udp_flows), (0, 20));
    // One flow each, which is counted where it ends.
    assert_eq!((counted(&old, None), old.metrics().counters.udp_datagrams_received), (0, 40));
    let mut new = new;
    new.publish_with(&Config::to_udp(&[]), WorkerSockets::default(), vec![], vec![]);
    assert_eq!(counted(&new, None), 20);
    let line = new.log_lines(1).remove(0);
    assert_eq!((&line["bytes_received"], &line["bytes_sent"]), (&8.into(), &10.into()));
}

/// The process that was to have them has ended.
fn flows_come_back(driver: Driver) {
    let (gateway, socket) = first(driver, &Config::to_udp(&[backend()]));
    let address = socket.local_addr().unwrap();
    let client = Client::of(address);
    let port = client.ask(b"x");
    let HandedOver { flows, .. } = hand_over(&gateway, 100);
    client.send(b"y");
    assert_eq!(gateway.metrics().counters.udp_datagrams_received, 1);
    assert_eq!(adopt(&gateway, Vec::new(), flows), Adopted { flows: 1, ended: 0 });
    assert_eq!((client.receive(), client.ask(b"z")), (port.clone(), port));
}

/// Those that stay get what their backends send.
fn a_budget_bounds_what_is_given_up(driver: Driver) {
    let backend = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (gateway, socket) = first(driver, &Config::to_udp(&[backend.local_addr().unwrap()]));
    let address = socket.local_addr().unwrap();
    let clients: Vec<_> = (0..3).map(|_| Client::of(address)).collect();
    let mut seen = Vec::new();
    for client in &clients {
        client.send(b"x");
        let (_, from) = backend.recv_from(&mut [0; 8]).unwrap();
        seen.push(from);
    }
    let HandedOver { flows, kept } = hand_over(&gateway, 1);
    assert_eq!((flows.len(), kept), (1, 2));
    assert_eq!(flows[0].client, clients[2].address(), "the one that was used last");
    for (client, from) in clients.iter().zip(&seen).take(2) {
        backend.send_to(b"late", from).unwrap();
        assert_eq!(client.receive(), b"late");
    }
    let HandedOver { flows, kept } = hand_over(&gateway, 0);
    assert_eq!((flows.len(), kept), (0, 2));
}

fn flows_without_a_place_end(driver: Driver) {
    let config = Config::to_udp(&[backend()]);
    let (old, socket) = first(driver, &config);
    let address = socket.local_addr().unwrap();
    let clients: Vec<_> = (0..3).map(|_| Client::of(address)).collect();
    clients.iter().for_each(|client| {
        client.ask(b"x");
        client.ask(b"y");
    });
    let mut flows = hand_over(&old, 100).flows;
    // Of a listening socket that this process has not.
    flows[0].listener += 1;
    let udp = UdpLimits { flows: 1, ..UdpLimits::default() };
    let new = second(driver, &config, address, ProxyConfig { udp, ..ProxyConfig::default() });
    assert_eq!(adopt(&new, vec![socket], flows), Adopted { flows: 1, ended: 2 });
    let gone = second(driver, &Config::to_udp(&[backend()]), address, ProxyConfig::default());
    let flows = hand_over(&new, 100).flows;
    let copy = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(adopt(&gone, vec![copy], flows), Adopted { flows: 0, ended: 1 });
}
