//! Clients that cost more than they bring: each is ended within a bound of frames, and its neighbours are served.

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use gateway_io::Driver;
use gateway_proxy::{ProxyConfig, Timeouts};
use gateway_testkit::http2::Peer;
use gateway_testkit::http2::attacks::{
    Attack, Ended, FLOODS, HEADS, HONEST, INITIAL_WINDOW, PROVOKED_RESETS, UNREAD, with_fresh_entries,
};
use gateway_testkit::http2::frames::{
    DATA, END_HEADERS, END_STREAM, GET, HEADERS, PING, POST, PRIORITY, RST_STREAM, WINDOW_UPDATE, frame,
};
use gateway_testkit::http2::holds::HOLDS;

use crate::client::{ask, connected, get};
use crate::on_every_driver;
use crate::support::Gateway;
use crate::support::backend::{Backend, ok};
use crate::support::ir::Config;

on_every_driver![
    floods_are_ended,
    floods_of_who_reads_nothing_are_ended,
    small_content_is_no_flood,
    streams_that_are_left_open_hold_nobody_up,
    provoked_resets_are_ended,
    heads_that_cost_are_ended,
    heads_that_never_end_have_their_time,
    windows_that_never_open_have_their_time,
    a_response_that_waits_for_a_window_holds_no_backend,
    honest_clients_are_not_ended,
    clients_that_widen_windows_are_not_ended,
    clients_with_new_fields_are_not_ended,
];

/// Within so many frames an attack must be ended.
const MAX_FRAMES: usize = 10_000;

fn gateway(driver: Driver, backend: &Backend) -> Gateway {
    Gateway::start(driver, &Config::to(backend.address()))
}

/// Makes each attack; beside it a neighbour is served.
fn are_ended(gateway: &Gateway, attacks: &[Attack]) {
    for attack in attacks {
        let Ended { frames, closed, goaway, .. } = attack.run(gateway.address, MAX_FRAMES);
        let name = attack.name;
        assert!(closed, "{name}: open after {frames} frames");
        assert!(goaway.is_none_or(|code| attack.may_end_with(code)), "{name}: ended with {goaway:?}");
        let fresh = connected(gateway, |mut client| async move { ask(&mut client, get("/")).await.unwrap() });
        assert_eq!(fresh.text(), "app", "{name}: a neighbour is served");
    }
}

fn floods_are_ended(driver: Driver) {
    let backend = Backend::named("app");
    let gateway = gateway(driver, &backend);
    are_ended(&gateway, FLOODS);
    assert_eq!(gateway.metrics().counters.h2_floods, FLOODS.len() as u64);
}

fn floods_of_who_reads_nothing_are_ended(driver: Driver) {
    let large = "x".repeat(100_000);
    let backend = Backend::answering(move |request| match request.target.as_str() {
        "/" => ok("app"),
        _ => ok(&large),
    });
    are_ended(&gateway(driver, &backend), UNREAD);
}

/// Ended by no count: honest clients send the same.
fn small_content_is_no_flood(driver: Driver) {
    let backend = Backend::answering(|request| ok(request.body.len().to_string()));
    let gateway = gateway(driver, &backend);
    for attack in HONEST {
        let Ended { frames, closed, goaway, .. } = attack.run(gateway.address, 2_000);
        assert_eq!((closed, goaway), (false, None), "{}: after {frames} frames", attack.name);
    }
    assert_eq!(gateway.metrics().counters.h2_floods, 0);
}

fn streams_that_are_left_open_hold_nobody_up(driver: Driver) {
    let backend =
        Backend::answering(|request| ok("x".repeat(if request.target == "/" { 3 } else { 100_000 })));
    let gateway = gateway(driver, &backend);
    for hold in HOLDS {
        // A tenth of what the judge of a whole gateway holds.
        let hold = hold.on(hold.connections / 10);
        let peers = hold.begin(&gateway.address.into(), &AtomicUsize::new(0));
        let fresh =
            connected(&gateway, |mut client| async move { ask(&mut client, get("/")).await.unwrap() });
        assert_eq!(fresh.body.len(), 3, "{}: a neighbour is served", hold.name);
        drop(peers);
        gateway.until("nothing under way", |counters| counters.active_requests == 0);
    }
}

fn provoked_resets_are_ended(driver: Driver) {
    let backend = Backend::named("app");
    let gateway = gateway(driver, &backend);
    are_ended(&gateway, PROVOKED_RESETS);
    assert!(gateway.metrics().counters.h2_malformed > 100);
}

fn heads_that_cost_are_ended(driver: Driver) {
    let backend = Backend::named("app");
    are_ended(&gateway(driver, &backend), HEADS);
}

fn heads_that_never_end_have_their_time(driver: Driver) {
    let backend = Backend::named("app");
    let client_idle = Duration::from_secs(600);
    let timeouts = Timeouts { client_header: Duration::from_millis(200), client_idle, ..Timeouts::default() };
    let proxy = ProxyConfig { timeouts, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to(backend.address()), proxy);
    let mut peers: Vec<_> = (0..20).map(|_| Peer::connect(gateway.address)).collect();
    for peer in &mut peers {
        peer.send(&frame(HEADERS, END_STREAM, 1, GET), 1);
    }
    peers.iter_mut().for_each(Peer::until_closed);
    assert_eq!(peers[0].responses, 0);
    // Behind a request, and between two the client may be quiet for longer than a head may take.
    let mut served = Peer::connect(gateway.address);
    served.get(1);
    served.until_responses(1);
    served.look(Duration::from_millis(50));
    served.send(&frame(HEADERS, END_STREAM, 3, GET), 1);
    served.until_closed();
}

fn windows_that_never_open_have_their_time(driver: Driver) {
    // More than is read ahead, and a response that its backend has given whole.
    for bytes in [100_000, 60] {
        windows_never_open(driver, bytes);
    }
}

fn windows_never_open(driver: Driver, bytes: usize) {
    let backend = Backend::answering(move |_| ok("x".repeat(bytes)));
    let timeouts = Timeouts { client_send: Duration::from_secs(1), ..Timeouts::default() };
    let proxy = ProxyConfig { timeouts, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to(backend.address()), proxy);
    let mut peer = Peer::with(gateway.address, &[(INITIAL_WINDOW, 0)]);
    for stream in 0..100 {
        peer.get(2 * stream + 1);
    }
    peer.until_responses(100);
    // Each is reset once its client has taken nothing for as long as clients may.
    while peer.resets < 100 {
        assert!(!peer.closed);
        peer.look(Duration::from_millis(50));
    }
    gateway.until("nothing under way", |counters| counters.active_requests == 0);
    assert_eq!(peer.content, 0);
    // The connection serves on: it did nothing wrong.
    assert_eq!(peer.goaway, None);
}

fn a_response_that_waits_for_a_window_holds_no_backend(driver: Driver) {
    const STREAMS: usize = 10;
    let backend = Backend::named("app");
    let gateway = gateway(driver, &backend);
    let mut peer = Peer::with(gateway.address, &[(INITIAL_WINDOW, 0)]);
    let streams = (0..STREAMS).map(|n| 2 * n as u32 + 1);
    for (stream, count) in streams.clone().zip(1..) {
        peer.get(stream);
        peer.until_responses(count);
        gateway.until("the backend's connection to be free", |counters| counters.upstream_idle == 1);
    }
    assert_eq!(backend.accepted(), 1);
    assert_eq!(gateway.metrics().counters.active_requests, STREAMS as u64);
    // The last one is taken a byte at a time, and the first one is given up.
    peer.send(&frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()), 1);
    for stream in streams.skip(1) {
        let (step, steps) = if stream == 19 { (1_u32, 3) } else { (3, 1) };
        let widened = frame(WINDOW_UPDATE, 0, stream, &step.to_be_bytes());
        (0..steps).for_each(|_| assert!(peer.send(&widened, 1)));
    }
    peer.until_ended(STREAMS - 1);
    assert_eq!(peer.content, 3 * (STREAMS - 1));
    gateway.until("nothing under way", |counters| counters.active_requests == 0);
    let lines = gateway.log_lines(STREAMS);
    let given_up = lines.iter().filter(|line| line["reason"] == "client_closed").count();
    assert_eq!(given_up, 1, "{lines:?}");
    assert!(lines.iter().all(|line| line["response_code"] == 200), "{lines:?}");
}

fn honest_clients_are_not_ended(driver: Driver) {
    let backend = Backend::answering(|request| {
        ok(if request.body.is_empty() { "app".to_owned() } else { request.body.len().to_string() })
    });
    let gateway = gateway(driver, &backend);
    // A browser that cancels a hundred requests in a burst, with its tree of priorities.
    let mut peer = Peer::connect(gateway.address);
    for stream in [3, 5, 7, 9, 11, 13] {
        peer.send(&frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 100]), 1);
    }
    for stream in 0..100 {
        let stream = 2 * stream + 15;
        peer.get(stream);
        peer.send(&frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()), 1);
    }
    peer.get(301);
    peer.until_responses(1);
    // Messages of twenty bytes, thousands of them.
    peer.send(&frame(HEADERS, END_HEADERS, 303, POST), 1);
    for n in 0..5_000 {
        assert!(peer.send(&frame(DATA, 0, 303, b"01234567890123456789"), 1), "ended after {n}");
        if n % 100 == 0 {
            peer.send(&frame(PING, 0, 0, b"12345678"), 1);
            peer.look(Duration::from_millis(1));
        }
    }
    let before = peer.responses;
    peer.send(&frame(DATA, END_STREAM, 303, b""), 1);
    peer.until_responses(before + 1);
    assert_eq!((peer.goaway, peer.resets), (None, 0));
}

fn clients_that_widen_windows_are_not_ended(driver: Driver) {
    const LEN: usize = 16 << 20;
    let backend = Backend::answering(|_| ok("x".repeat(LEN)));
    let gateway = gateway(driver, &backend);
    let mut peer = Peer::connect(gateway.address);
    peer.widens = true;
    for stream in [1, 3] {
        peer.get(stream);
    }
    peer.until_content(2 * LEN);
    assert_eq!((peer.goaway, peer.resets), (None, 0));
}

/// Go's encoder puts every field into the table, those too that are new with each request.
fn clients_with_new_fields_are_not_ended(driver: Driver) {
    let backend = Backend::named("app");
    let gateway = gateway(driver, &backend);
    let mut peer = Peer::connect(gateway.address);
    for stream in 0..300 {
        peer.send(&with_fresh_entries(2 * stream + 1, 60), 1);
        peer.until_responses(stream as usize + 1);
    }
    assert_eq!((peer.goaway, peer.resets), (None, 0));
}
