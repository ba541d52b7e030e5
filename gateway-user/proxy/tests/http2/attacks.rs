//! Clients that cost more than they bring: each is ended within a bound of frames, and its neighbours are served.

use std::time::{Duration, Instant};

use gateway_io::Driver;
use gateway_proxy::{ProxyConfig, Timeouts};

use crate::client::{ask, connected, get};
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, HEADERS, PING, POST, PRIORITY, Peer, RST_STREAM, WINDOW_UPDATE,
    frame, indexed, literal, settings,
};
use crate::on_every_driver;
use crate::support::Gateway;
use crate::support::backend::{Backend, ok};
use crate::support::ir::Config;

on_every_driver![
    floods_are_ended,
    provoked_resets_are_ended,
    heads_that_cost_are_ended,
    heads_that_never_end_have_their_time,
    windows_that_never_open_hold_little,
    honest_clients_are_not_ended,
];

/// Within so many frames an attack must be ended.
const MAX_FRAMES: usize = 10_000;
const ENHANCE_YOUR_CALM: u32 = 11;
const PROTOCOL_ERROR: u32 = 1;
/// SETTINGS_INITIAL_WINDOW_SIZE.
const INITIAL_WINDOW: u16 = 4;

fn gateway(driver: Driver, backend: &Backend) -> Gateway {
    Gateway::start(driver, &Config::to(backend.address()))
}

/// Sends what `make` gives for one stream after the other until the gateway has had enough.
fn attack(gateway: &Gateway, name: &str, codes: &[u32], mut make: impl FnMut(u32) -> (Vec<u8>, usize)) {
    let mut peer = Peer::connect(gateway);
    let mut stream = 1;
    while peer.goaway.is_none() && peer.sent < MAX_FRAMES {
        let (bytes, frames) = make(stream);
        if !peer.send(&bytes, frames) {
            break;
        }
        stream += 2;
        if stream % 50 == 1 {
            peer.look(Duration::from_millis(1));
        }
    }
    let began = Instant::now();
    while !peer.closed && began.elapsed() < Duration::from_secs(5) {
        peer.look(Duration::from_millis(100));
    }
    assert!(peer.closed, "{name}: open after {} frames", peer.sent);
    // A write that fails may cost what was to be read.
    assert!(peer.goaway.is_none_or(|code| codes.contains(&code)), "{name}: ended with {:?}", peer.goaway);
    let fresh = connected(gateway, |mut client| async move { ask(&mut client, get("/")).await.unwrap() });
    assert_eq!(fresh.text(), "app", "{name}: a neighbour is served");
}

fn whole(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, GET)
}

fn floods_are_ended(driver: Driver) {
    let backend = Backend::named("app");
    let gateway = gateway(driver, &backend);
    let calm = |name: &str, make: &dyn Fn(u32) -> Vec<u8>, frames: usize| {
        attack(&gateway, name, &[ENHANCE_YOUR_CALM], |stream| (make(stream), frames));
    };
    let cancel = 8_u32.to_be_bytes();
    calm("rapid reset", &|s| [whole(s), frame(RST_STREAM, 0, s, &cancel)].concat(), 2);
    let open = |s| frame(HEADERS, END_HEADERS, s, POST);
    calm("rapid reset of open requests", &|s| [open(s), frame(RST_STREAM, 0, s, &cancel)].concat(), 2);
    calm("settings", &|_| settings(&[(INITIAL_WINDOW, 65_535)]), 1);
    calm("table sizes", &|_| [settings(&[(1, 0)]), settings(&[(1, 4096)])].concat(), 2);
    calm("pings", &|_| frame(PING, 0, 0, b"12345678"), 1);
    calm("priorities", &|_| frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1]), 1);
    calm("window updates", &|_| frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()), 1);
    calm("unknown frames", &|_| frame(0xee, 0, 0, b"0123456789"), 1);
    let on_one = |part: Vec<u8>| move |s| if s == 1 { [open(1), part.clone()].concat() } else { part.clone() };
    calm("empty data", &on_one(frame(DATA, 0, 1, b"")), 1);
    let mut padding = vec![255];
    padding.resize(256, 0);
    calm("padding", &on_one(frame(DATA, 8, 1, &padding)), 1);
    assert_eq!(gateway.metrics().counters.h2_floods, 10);
}

fn provoked_resets_are_ended(driver: Driver) {
    let backend = Backend::named("app");
    let gateway = gateway(driver, &backend);
    let provoke = |name: &str, make: &dyn Fn(u32) -> Vec<u8>| {
        attack(&gateway, name, &[ENHANCE_YOUR_CALM, PROTOCOL_ERROR, 5, 6], |stream| (make(stream), 2));
    };
    provoke("a window widened by nothing", &|s| [whole(s), frame(WINDOW_UPDATE, 0, s, &[0; 4])].concat());
    let most = 0x7fff_ffff_u32.to_be_bytes();
    provoke("a window that overflows", &|s| [whole(s), frame(WINDOW_UPDATE, 0, s, &most)].concat());
    provoke("a priority of four bytes", &|s| [whole(s), frame(PRIORITY, 0, s, &[0; 4])].concat());
    let on_itself = |s: u32| [&s.to_be_bytes()[..], &[1]].concat();
    provoke("a stream that depends on itself", &|s| [whole(s), frame(PRIORITY, 0, s, &on_itself(s))].concat());
    provoke("data after the end", &|s| [whole(s), frame(DATA, 0, s, b"x")].concat());
    provoke("a head after the end", &|s| [whole(s), whole(s)].concat());
    let counted = [POST, &literal(b"content-length", b"1")].concat();
    provoke("more data than was announced", &|s| {
        [frame(HEADERS, END_HEADERS, s, &counted), frame(DATA, END_STREAM, s, b"xx")].concat()
    });
    for (name, value) in [(&b"connection"[..], &b"x"[..]), (b"X-A", b"x"), (b"te", b"gzip"), (b":x", b"y")] {
        let head = [GET, &literal(name, value)].concat();
        provoke("a malformed head", &|s| frame(HEADERS, END_STREAM | END_HEADERS, s, &head));
    }
}

fn heads_that_cost_are_ended(driver: Driver) {
    let backend = Backend::named("app");
    let gateway = gateway(driver, &backend);
    let cost = |name: &str, make: &dyn Fn(u32) -> Vec<u8>| {
        attack(&gateway, name, &[ENHANCE_YOUR_CALM, PROTOCOL_ERROR], |stream| (make(stream), 1));
    };
    let begun = |part: Vec<u8>| {
        move |s| match s {
            1 => [frame(HEADERS, END_STREAM, 1, GET), frame(CONTINUATION, 0, 1, &part)].concat(),
            _ => frame(CONTINUATION, 0, 1, &part),
        }
    };
    cost("full continuations", &begun(literal(b"x", &[b'y'; 16_000])));
    cost("small continuations", &begun(literal(b"x", b"y")));
    cost("empty continuations", &begun(Vec::new()));
    let entry = [GET, &indexed(b"x", &[b'y'; 4_000])].concat();
    let bomb = [GET, &[0xbe; 16_000]].concat();
    cost("references to one large entry", &|s| {
        frame(HEADERS, END_STREAM | END_HEADERS, s, if s == 1 { &entry } else { &bomb })
    });
}

fn heads_that_never_end_have_their_time(driver: Driver) {
    let backend = Backend::named("app");
    let timeouts = Timeouts { client_header: Duration::from_millis(200), ..Timeouts::default() };
    let proxy = ProxyConfig { timeouts, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to(backend.address()), proxy);
    let mut peers: Vec<_> = (0..20).map(|_| Peer::connect(&gateway)).collect();
    for peer in &mut peers {
        peer.send(&frame(HEADERS, END_STREAM, 1, GET), 1);
    }
    peers.iter_mut().for_each(Peer::until_closed);
    assert_eq!(peers[0].responses, 0);
}

fn windows_that_never_open_hold_little(driver: Driver) {
    let backend = Backend::answering(|_| ok("x".repeat(100_000)));
    let timeouts = Timeouts { client_send: Duration::from_secs(1), ..Timeouts::default() };
    let proxy = ProxyConfig { timeouts, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to(backend.address()), proxy);
    let mut peer = Peer::with(&gateway, &[(INITIAL_WINDOW, 0)]);
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
    // The connection serves on: it did nothing wrong.
    assert_eq!(peer.goaway, None);
}

fn honest_clients_are_not_ended(driver: Driver) {
    let backend = Backend::answering(|request| ok(if request.body.is_empty() { "app".to_owned() } else { request.body.len().to_string() }));
    let gateway = gateway(driver, &backend);
    // A browser that cancels a hundred requests in a burst, with its tree of priorities.
    let mut peer = Peer::connect(&gateway);
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
