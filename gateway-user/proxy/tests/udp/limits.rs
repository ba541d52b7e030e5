//! Ends of flows: by silence, by limits, by a drain.

use std::time::Duration;

use gateway_io::Driver;
use gateway_proxy::worker::{DrainLimits, WorkerCommand};
use gateway_proxy::{ProxyConfig, UdpLimits};
use gateway_testkit::wait::until;

use crate::peer::{Client, echo, named, server};
use crate::support::ir::Config;
use crate::{counted, on_every_driver, start, start_with};

on_every_driver![
    a_silent_flow_ends,
    a_flow_that_is_used_stays,
    made_up_sources_leave_clients_alone_and_memory_bounded,
    a_client_has_its_share,
    a_drain_ends_flows,
];

fn limits(udp: UdpLimits) -> ProxyConfig {
    ProxyConfig { udp, ..ProxyConfig::default() }
}

fn a_silent_flow_ends(driver: Driver) {
    let idle = UdpLimits { idle: Duration::from_millis(200), ..UdpLimits::default() };
    let (gateway, address) = start_with(driver, &Config::to_udp(&[named("a")]), limits(idle));
    let client = Client::of(address);
    let first = client.ask(b"x");
    gateway.until("its end", |counters| counters.udp_flows == 0);
    assert_eq!((counted(&gateway, None), gateway.log_lines(1)[0]["reason"].is_null()), (1, true));
    assert_ne!(client.ask(b"x"), first, "another flow, from another port");
}

/// Others end meanwhile, so that time has passed.
fn a_flow_that_is_used_stays(driver: Driver) {
    let idle = UdpLimits { idle: Duration::from_secs(1), ..UdpLimits::default() };
    let (gateway, address) = start_with(driver, &Config::to_udp(&[named("a")]), limits(idle));
    let client = Client::of(address);
    let first = client.ask(b"x");
    Client::of(address).ask(b"x");
    until("the end of the other one", || {
        assert_eq!(client.ask(b"x"), first);
        (counted(&gateway, None) == 1).then_some(())
    });
    assert_eq!(client.ask(b"x"), first);
}

fn made_up_sources_leave_clients_alone_and_memory_bounded(driver: Driver) {
    let few = UdpLimits { flows: 64, flows_per_client: 64, ..UdpLimits::default() };
    // It responds to some, as a server does whose clients' addresses are made up.
    let mut count = 0;
    let backend = server(move |data, from| {
        count += 1;
        let reply = format!("{} {}", String::from_utf8_lossy(data), from.port());
        if data == b"made up" && count % 2 == 0 { Vec::new() } else { vec![reply.into_bytes()] }
    });
    let (gateway, address) = start_with(driver, &Config::to_udp(&[backend]), limits(few));
    let clients: Vec<_> = (0..8).map(|_| Client::of(address)).collect();
    let ask = |client: &Client| client.ask(b"real");
    let ports: Vec<_> = clients.iter().map(ask).collect();
    assert_eq!(clients.iter().map(ask).collect::<Vec<_>>(), ports);
    for round in 0..20 {
        for _ in 0..100 {
            Client::of(address).send(b"made up");
        }
        let received = |counters: &gateway_proxy::metrics::Counters| counters.udp_datagrams_received;
        gateway.until("the round", |counters| received(counters) >= 16 + (round + 1) * 100);
        assert!(gateway.metrics().counters.udp_flows <= 64);
    }
    assert_eq!(clients.iter().map(ask).collect::<Vec<_>>(), ports, "each has the flow that it had");
    assert!(gateway.metrics().counters.udp_flows_evicted >= 1_900);
}

/// All of loopback is one client.
fn a_client_has_its_share(driver: Driver) {
    let few = UdpLimits { flows: 64, flows_per_client: 4, ..UdpLimits::default() };
    let (gateway, address) = start_with(driver, &Config::to_udp(&[echo()]), limits(few));
    let clients: Vec<_> = (0..4).map(|_| Client::of(address)).collect();
    for _ in 0..2 {
        clients.iter().for_each(|client| assert_eq!(client.ask(b"x"), b"x"));
    }
    Client::of(address).send(b"x");
    until("the refusal", || (counted(&gateway, Some("overload_client")) == 1).then_some(()));
    assert_eq!(gateway.metrics().counters.udp_flows, 4);
    clients.iter().for_each(|client| assert_eq!(client.ask(b"x"), b"x"));
}

fn a_drain_ends_flows(driver: Driver) {
    let (gateway, address) = start(driver, &Config::to_udp(&[echo()]));
    let client = Client::of(address);
    assert_eq!(client.ask(b"x"), b"x");
    let limits =
        DrainLimits { accept: Duration::ZERO, idle: Duration::ZERO, max: Duration::from_millis(300) };
    let drained = gateway.ask(|reply| WorkerCommand::Drain { limits, reply });
    assert_eq!(drained.aborted, 1);
    assert_eq!(gateway.log_lines(1)[0]["reason"], "drain_aborted");
}
