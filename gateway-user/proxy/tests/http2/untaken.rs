//! Long responses that their clients do not take: they wait for little, and are whole when they are taken after all.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use gateway_io::Driver;
use gateway_proxy::worker::{DrainLimits, WorkerCommand};
use gateway_proxy::{ProxyConfig, Timeouts};
use gateway_testkit::http2::Peer;
use gateway_testkit::http2::attacks::INITIAL_WINDOW;
use gateway_testkit::http2::frames::{END_HEADERS, HEADERS, POST, RST_STREAM, frame};

use crate::on_every_driver;
use crate::support::Gateway;
use crate::support::backend::{Backend, ok};
use crate::support::ir::Config;

on_every_driver![
    what_is_not_taken_is_not_received,
    a_response_that_waited_is_whole,
    a_response_may_be_taken_a_little_at_a_time,
    the_backend_is_free_once_it_has_given_all,
    a_connection_that_has_served_others_holds_no_more,
    an_upload_under_way_keeps_its_exchange,
    a_response_that_waits_ends_with_its_reason,
    a_backend_that_breaks_a_response_that_waits_is_told_of,
    a_client_that_takes_next_to_nothing_is_ended,
    a_drain_cuts_a_response_that_waits,
];

/// Content in which every part has its place.
fn content(len: usize) -> Vec<u8> {
    (0..len / 8 + 1).flat_map(|n| format!("{n:07} ").into_bytes()).take(len).collect()
}

/// The same in a chunked body with a trailer.
fn in_chunks(content: &[u8]) -> Vec<u8> {
    let mut out = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in content.chunks(3_333) {
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\nx-end: 1\r\n\r\n");
    out
}

const LEN: usize = 300_000;

fn long_backend() -> Backend {
    Backend::answering(|_| ok(content(LEN)))
}

/// A client with this window for each stream, which has asked on so many and has their heads.
fn asked(gateway: &Gateway, window: u32, streams: u32) -> Peer {
    let mut peer = Peer::with(gateway.address, &[(INITIAL_WINDOW, window)]);
    (0..streams).for_each(|n| assert!(peer.get(2 * n + 1)));
    peer.until_responses(streams as usize);
    peer
}

fn what_is_not_taken_is_not_received(driver: Driver) {
    let backend = long_backend();
    // Windows of streams: none, a little, and more than the connection has.
    for (window, taken) in [(0, 0), (100, 10_000), (1 << 20, 65_535)] {
        let gateway = Gateway::start(driver, &Config::to(backend.address()));
        let mut peer = asked(&gateway, window, 100);
        peer.until_content(taken);
        // Of each response its beginning, and what the connection's window would have had room for.
        gateway.until("few buffers lent", |counters| counters.buffer_bytes <= 100 * 1024 + 5 * 17_000);
        assert_eq!(gateway.metrics().counters.active_requests, 100);
    }
}

fn a_response_that_waited_is_whole(driver: Driver) {
    let backend = Backend::answering(|request| match request.target.as_str() {
        "/" => ok(content(LEN)),
        _ => in_chunks(&content(LEN)),
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    for (window, path) in [(0, "/"), (0, "/chunks"), (777, "/"), (65_535, "/chunks"), (65_535, "/")] {
        let mut peer = Peer::with(gateway.address, &[(INITIAL_WINDOW, window)]);
        peer.kept = Some(Default::default());
        let path = [b"\x04", &[path.len() as u8][..], path.as_bytes()].concat();
        let head = [b"\x82\x86", &path[..], b"\x41\x0ba.example.x"].concat();
        for n in 0..3 {
            peer.send(&frame(HEADERS, END_HEADERS | 1, 2 * n + 1, &head), 1);
        }
        peer.until_responses(3);
        peer.until_content((3 * window as usize).min(65_535));
        peer.widen(0, 1 << 30);
        (0..3).for_each(|n| assert!(peer.widen(2 * n + 1, LEN as u32)));
        peer.until_ended(3);
        let kept = peer.kept.take().unwrap();
        assert_eq!(kept.len(), 3);
        assert!(kept.values().all(|kept| *kept == content(LEN)), "{window}: not whole");
    }
    let lines = gateway.log_lines(15);
    let whole = |line: &&serde_json::Value| line["bytes_sent"] == LEN && line["reason"].is_null();
    assert_eq!(lines.iter().filter(whole).count(), 15, "{lines:?}");
}

fn a_response_may_be_taken_a_little_at_a_time(driver: Driver) {
    let backend = long_backend();
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut peer = asked(&gateway, 0, 1);
    peer.kept = Some(Default::default());
    peer.widen(0, 1 << 30);
    let mut taken = 0;
    for step in [1, 10, 991, 992, 993, 5_000, 16_383, 16_384, 16_385, 40_000].into_iter().cycle() {
        let step = step.min(LEN - taken);
        peer.widen(1, step as u32);
        taken += step;
        peer.until_content(taken);
        if taken == LEN {
            break;
        }
    }
    peer.until_ended(1);
    assert!(peer.kept.unwrap()[&1] == content(LEN));
}

fn the_backend_is_free_once_it_has_given_all(driver: Driver) {
    let backend = long_backend();
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut peer = asked(&gateway, 0, 1);
    assert_eq!(gateway.metrics().counters.upstream_idle, 0, "it has more");
    peer.widen(0, 1 << 20);
    peer.widen(1, LEN as u32 - 100);
    peer.until_content(LEN - 100);
    gateway.until("the backend's connection to be free", |counters| counters.upstream_idle == 1);
    assert_eq!(gateway.metrics().counters.active_requests, 1, "the client has not all of it");
    // The next response on it is whole too, and so is one that is received as any other.
    peer.get(3);
    peer.until_responses(2);
    peer.widen(1, 100);
    peer.widen(3, LEN as u32);
    peer.until_ended(2);
    gateway.until("the backend's connection to be free", |counters| counters.upstream_idle == 1);
    assert_eq!(gateway.get("/").body, content(LEN));
    assert_eq!(backend.accepted(), 1);
    gateway.until("nothing lent", |counters| counters.active_requests == 0);
}

/// A receive is in flight on each idle connection to a backend, which takes a whole chunk.
fn a_connection_that_has_served_others_holds_no_more(driver: Driver) {
    let backend = Backend::answering(|request| ok(content(if request.target == "/" { LEN } else { 3 })));
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    const SMALL: &[u8] = b"\x82\x86\x04\x02/3\x41\x0ba.example.x";
    let mut before = Peer::connect(gateway.address);
    for n in 0..50 {
        before.send(&frame(HEADERS, END_HEADERS | 1, 2 * n + 1, SMALL), 1);
    }
    before.until_ended(50);
    let idle = gateway.until("idle connections", |counters| counters.upstream_idle > 0).upstream_idle;
    let mut peer = asked(&gateway, 0, 50);
    assert!(backend.accepted() < 50 + idle as usize, "some were used again");
    gateway.until("few buffers lent", |counters| counters.buffer_bytes <= 50 * 1024 + 17_000);
    peer.widen(0, 1 << 30);
    (0..50).for_each(|n| assert!(peer.widen(2 * n + 1, LEN as u32)));
    peer.until_content(50 * LEN);
    peer.until_ended(50);
}

fn an_upload_under_way_keeps_its_exchange(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        exchange.head();
        exchange.stream.write_all(&ok(content(LEN))).unwrap();
        let _ = exchange.byte();
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut peer = Peer::with(gateway.address, &[(INITIAL_WINDOW, 0)]);
    peer.kept = Some(Default::default());
    peer.send(&frame(HEADERS, END_HEADERS, 1, POST), 1);
    peer.until_responses(1);
    peer.widen(0, 1 << 20);
    peer.widen(1, LEN as u32);
    peer.until_content(LEN);
    assert!(peer.kept.unwrap()[&1] == content(LEN));
}

/// The reason in the log of the one response that was asked for.
fn logged(gateway: &Gateway) -> String {
    let line = gateway.log_lines(1).remove(0);
    assert_eq!(line["response_code"], 200);
    gateway.until("nothing under way", |counters| counters.active_requests == 0);
    line["reason"].as_str().unwrap_or_default().to_owned()
}

fn a_response_that_waits_ends_with_its_reason(driver: Driver) {
    let backend = long_backend();
    let gateway = |timeouts| {
        let proxy = ProxyConfig { timeouts, ..ProxyConfig::default() };
        Gateway::with(driver, &Config::to(backend.address()), proxy)
    };
    let short = Duration::from_millis(300);
    let untaken = gateway(Timeouts { client_send: short, ..Timeouts::default() });
    let mut peer = asked(&untaken, 0, 1);
    peer.until_resets(1);
    assert_eq!(logged(&untaken), "client_send_timeout");

    let limited = gateway(Timeouts { request: short, ..Timeouts::default() });
    let mut peer = asked(&limited, 100, 1);
    peer.until_resets(1);
    assert_eq!(logged(&limited), "request_timeout");

    let reset = gateway(Timeouts::default());
    let mut peer = asked(&reset, 0, 1);
    peer.send(&frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()), 1);
    assert_eq!(logged(&reset), "client_closed");

    let left = gateway(Timeouts::default());
    drop(asked(&left, 100, 1));
    assert_eq!(logged(&left), "client_closed");
}

fn a_backend_that_breaks_a_response_that_waits_is_told_of(driver: Driver) {
    const PART: usize = 20_000;
    let (silence, silent) = channel::<()>();
    let silent = Mutex::new(silent);
    let backend = Backend::start(move |mut exchange| {
        let Some(request) = exchange.request() else { return };
        write!(exchange.stream, "HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n").unwrap();
        exchange.stream.write_all(&content(PART)).unwrap();
        if request.target != "/" {
            let _ = silent.lock().unwrap().recv();
        }
    });
    let broken = Gateway::start(driver, &Config::to(backend.address()));
    let mut peer = asked(&broken, 0, 1);
    peer.widen(1, PART as u32);
    peer.until_content(PART);
    assert_eq!(peer.resets, 0);
    peer.widen(1, LEN as u32);
    peer.until_resets(1);
    assert_eq!(peer.content, PART);
    assert_eq!(logged(&broken), "upstream_body_truncated");

    // One that says nothing is waited for; its client is seen to go meanwhile, and it may be silent for too long.
    let timeouts = Timeouts { upstream_idle_body: Duration::from_millis(300), ..Timeouts::default() };
    let proxy = ProxyConfig { timeouts, ..ProxyConfig::default() };
    let [watched, silent] = [ProxyConfig::default(), proxy]
        .map(|proxy| Gateway::with(driver, &Config::to(backend.address()), proxy));
    const SILENT: &[u8] = b"\x82\x86\x04\x02/s\x41\x0ba.example.x";
    let ask = |gateway: &Gateway| {
        let mut peer = Peer::with(gateway.address, &[(INITIAL_WINDOW, 0)]);
        peer.send(&frame(HEADERS, END_HEADERS | 1, 1, SILENT), 1);
        peer.until_responses(1);
        peer.widen(1, LEN as u32);
        peer.until_content(PART);
        peer
    };
    let mut peer = ask(&watched);
    peer.send(&frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()), 1);
    assert_eq!(logged(&watched), "client_closed");
    let mut peer = ask(&silent);
    peer.until_resets(1);
    assert_eq!(logged(&silent), "upstream_body_timeout");
    drop(silence);
}

fn a_client_that_takes_next_to_nothing_is_ended(driver: Driver) {
    let backend = long_backend();
    // A hundred times of what it takes.
    let timeouts =
        Timeouts { client_send: Duration::from_millis(500), client_rate: 1 << 20, ..Timeouts::default() };
    let proxy = ProxyConfig { timeouts, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to(backend.address()), proxy);
    let mut peer = asked(&gateway, 0, 1);
    // What comes for each step is taken at once: no piece of it waits for long.
    for _ in 0..1_000 {
        if peer.resets > 0 {
            break;
        }
        peer.widen(1, 2_000);
        peer.look(Duration::from_millis(200));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(peer.resets, 1);
    assert_eq!(logged(&gateway), "client_send_timeout");
}

fn a_drain_cuts_a_response_that_waits(driver: Driver) {
    let backend = long_backend();
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut peer = asked(&gateway, 100, 1);
    let short = Duration::from_millis(100);
    let limits = DrainLimits { accept: Duration::ZERO, idle: short, max: short };
    let drained = gateway.send(|reply| WorkerCommand::Drain { limits, reply });
    peer.until_closed();
    let line = gateway.log_lines(1).remove(0);
    assert_eq!((&line["reason"], &line["response_code"]), (&"drain_aborted".into(), &200.into()));
    drop(drained);
}
