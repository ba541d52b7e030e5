//! The memory that a worker keeps for a connection that is quiet: little on the heap, and no block of its pools.
//!
//! A program of its own: the allocator counts for the whole process, on threads that say they are workers.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use gateway_io::{Driver, pool_stats};
use gateway_proxy::ProxyConfig;
use gateway_testkit::http::Client;
use gateway_testkit::http2::attacks::INITIAL_WINDOW;
use gateway_testkit::http2::{Peer, Server};
use gateway_testkit::tls::{self as testkit, SelfSigned, Versions, offering};
use gateway_testkit::wait::until;
use support::Gateway;
use support::backend::{Backend, ok};
use support::h2_backend::H2Backend;
use support::ir::{Config, tls};

struct Counting;

/// Bytes on the heap that workers have and did not free.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// Chunks that are lent and requests that have state, as of the last time a connection came or went.
static BLOCKS: AtomicUsize = AtomicUsize::new(0);

/// Bytes of those chunks, which are on the heap if they are not of the pool's size.
static LENT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

fn is_worker() -> bool {
    // Fails only while the thread ends.
    IS_WORKER.try_with(Cell::get).unwrap_or(false)
}

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps `GlobalAlloc`'s contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_worker() {
            LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if is_worker() {
            // What was taken before the thread said that it is a worker was not counted.
            let _ = LIVE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |live| {
                Some(live.saturating_sub(layout.size()))
            });
        }
        // SAFETY: `pointer` came from `alloc` above with this `layout`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn ask<S: Read + Write>(client: &mut Client<S>) {
    client.send(REQUEST).unwrap();
    assert_eq!(client.response().unwrap().status, 200);
}

fn look() {
    IS_WORKER.set(true);
    let stats = pool_stats();
    BLOCKS.store(stats.lent + stats.placed, Ordering::Relaxed);
    LENT.store(stats.lent_bytes, Ordering::Relaxed);
}

/// Of the socket, its two pumps, its task and its places in the books.
const MOST_BYTES: usize = 2560;
/// Of a session two secrets, two numbers and the layer around them, and the name that was asked for (decision 335); neither a buffer
/// nor ciphers, of which a part is on this heap.
const MOST_BYTES_OF_A_SESSION: usize = 448;

fn a_quiet_connection_keeps_little(driver: Driver) {
    let backend = Backend::answering(|_| ok("hello"));
    let proxy = ProxyConfig { access_log: false, ..ProxyConfig::default() };
    let gateway = Gateway::hooked(driver, &Config::to(backend.address()), proxy, look);
    keeps_at_most(MOST_BYTES, &gateway, || gateway.connect());
}

fn a_quiet_connection_over_tls_keeps_no_buffer(driver: Driver, versions: Versions) {
    let identity = SelfSigned::new(&["a.example"]);
    let backend = Backend::answering(|_| ok("hello"));
    let proxy = ProxyConfig { access_log: false, ..ProxyConfig::default() };
    let config = Config { tls: Some(tls(&identity)), ..Config::to(backend.address()) };
    let gateway = Gateway::hooked(driver, &config, proxy, look);
    let client = testkit::client(&[&identity], versions);
    keeps_at_most(MOST_BYTES + MOST_BYTES_OF_A_SESSION, &gateway, || {
        testkit::connect(gateway.address, "a.example", &client).unwrap()
    });
}

/// Of two connections, the record of the request, and what passes bytes between them; no buffer.
const MOST_BYTES_OF_A_TUNNEL: usize = 9 * 1024 + 512;

fn a_quiet_tunnel_keeps_no_buffer(driver: Driver) {
    const COUNT: usize = 300;
    let backend = Backend::start(|mut exchange| {
        if exchange.head().is_some() {
            let switch = "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
            exchange.stream.write_all(switch.as_bytes()).unwrap();
            while let Ok(Some(byte)) = exchange.byte() {
                exchange.stream.write_all(&[byte]).unwrap();
            }
        }
    });
    let proxy = ProxyConfig { upgrade_protocols: vec!["echo".into()], ..ProxyConfig::default() };
    let gateway = Gateway::hooked(driver, &Config::to(backend.address()), proxy, look);
    let connect = || {
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n").unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            (&mut client.stream()).read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "));
        client
    };
    let echo = |client: &Client| {
        (&mut client.stream()).write_all(b"x").unwrap();
        (&mut client.stream()).read_exact(&mut [0]).unwrap();
    };
    echo(&connect());
    let before = LIVE.load(Ordering::Relaxed);
    let each = || LIVE.load(Ordering::Relaxed).saturating_sub(before) / COUNT;
    let crowd: Vec<_> = (0..COUNT).map(|_| connect()).collect();
    for _ in 0..2 {
        crowd.iter().for_each(echo);
        until("little to be kept", || {
            drop(gateway.connect());
            (each() <= MOST_BYTES_OF_A_TUNNEL && BLOCKS.load(Ordering::Relaxed) < COUNT / 5).then_some(())
        });
    }
    drop(crowd);
    gateway.until("the end of them all", |counters| counters.tunnels == 0);
}

/// Of a connection over HTTP/2 the codec's three buffers, which are 28 KiB and of which a page each is used, and its tables.
const MOST_BYTES_OVER_HTTP2: usize = 41_000;

fn a_quiet_connection_over_http2_keeps_its_codec(driver: Driver) {
    let backend = Backend::answering(|_| ok("hello"));
    let proxy = ProxyConfig { access_log: false, ..ProxyConfig::default() };
    let gateway = Gateway::hooked(driver, &Config::to(backend.address()), proxy, look);
    keeps_at_most_over_http2(MOST_BYTES_OVER_HTTP2, &gateway, &gateway.address.into());
}

fn a_quiet_connection_over_http2_and_tls_keeps_no_other_buffer(driver: Driver) {
    let identity = SelfSigned::new(&["a.example"]);
    let backend = Backend::answering(|_| ok("hello"));
    let proxy = ProxyConfig { access_log: false, ..ProxyConfig::default() };
    let config = Config { tls: Some(tls(&identity)), ..Config::to(backend.address()) };
    let gateway = Gateway::hooked(driver, &config, proxy, look);
    let client = offering(&testkit::client(&[&identity], Versions::New), &[b"h2"]);
    let server = Server::from(gateway.address).over_tls("a.example", &client);
    keeps_at_most_over_http2(MOST_BYTES_OVER_HTTP2 + 3 * 1024, &gateway, &server);
}

fn keeps_at_most_over_http2(most: usize, gateway: &Gateway, server: &Server) {
    const COUNT: usize = 200;
    let request = |peer: &mut Peer, n: u32| {
        peer.get(2 * n + 1);
        peer.until_ended(n as usize + 1);
    };
    let connect = || Peer::connect(server.clone());
    let mut first = connect();
    request(&mut first, 0);
    let before = LIVE.load(Ordering::Relaxed);
    let each = || LIVE.load(Ordering::Relaxed).saturating_sub(before) / COUNT;
    let mut crowd: Vec<_> = (0..COUNT).map(|_| connect()).collect();
    for n in 0..10 {
        crowd.iter_mut().for_each(|peer| request(peer, n));
    }
    assert!(each() > 28 * 1024, "nothing is counted");
    until("no more than the codec to be kept", || {
        drop(gateway.connect());
        (each() <= most && BLOCKS.load(Ordering::Relaxed) < COUNT / 5).then_some(())
    });
    drop(crowd);
    // But for tables that have grown.
    until("nothing to be kept", || (each() <= 1024).then_some(()));
}

/// Of a stream whose client takes nothing: the crate's part, the record of the request, and its content.
const MOST_BYTES_OF_A_STALLED_STREAM: usize = 4224;

fn a_response_that_is_not_taken_keeps_little(driver: Driver) {
    let backend = Backend::answering(|_| ok("x".repeat(60)));
    let proxy = || ProxyConfig { access_log: false, ..ProxyConfig::default() };
    let gateway = Gateway::hooked(driver, &Config::to(backend.address()), proxy(), look);
    stalled_streams_keep_at_most(MOST_BYTES_OF_A_STALLED_STREAM, &gateway);
    drop(gateway);
    // A local reply waits as a backend's response does.
    let gateway = Gateway::hooked(driver, &Config::default(), proxy(), look);
    stalled_streams_keep_at_most(MOST_BYTES_OF_A_STALLED_STREAM, &gateway);
}

/// The same of one of which most is to come: its first KiB, and the backend's connection.
const MOST_BYTES_OF_A_LONG_STALLED_STREAM: usize = 7_168;
/// From a backend over HTTP/2 as much has come as one may send ahead.
const MOST_BYTES_SENT_AHEAD: usize = 64 * 1024 + 4096;

fn a_long_response_that_is_not_taken_keeps_little(driver: Driver) {
    let proxy = || ProxyConfig { access_log: false, ..ProxyConfig::default() };
    let backend = Backend::answering(|_| ok("x".repeat(100_000)));
    let gateway = Gateway::hooked(driver, &Config::to(backend.address()), proxy(), look);
    stalled_streams_keep_at_most(MOST_BYTES_OF_A_LONG_STALLED_STREAM, &gateway);
    drop(gateway);
    let backend = H2Backend::start(|exchange| exchange.ok(vec![b'x'; 100_000]));
    let gateway = Gateway::hooked(driver, &Config::to_h2(backend.address()), proxy(), look);
    stalled_streams_keep_at_most(MOST_BYTES_SENT_AHEAD, &gateway);
}

fn stalled_streams_keep_at_most(most: usize, gateway: &Gateway) {
    const COUNT: usize = 500;
    const STREAMS: usize = 100;
    const LARGE: u32 = 1 << 20;
    let mut taken = Peer::with(gateway.address, &[(INITIAL_WINDOW, LARGE)]);
    taken.widen(0, LARGE);
    taken.get(1);
    taken.until_ended(1);
    let len = taken.content;
    let stalled = |streams: usize| {
        let mut peer = Peer::with(gateway.address, &[(INITIAL_WINDOW, 0)]);
        (0..streams).for_each(|n| assert!(peer.get(2 * n as u32 + 1)));
        peer.until_responses(streams);
        peer
    };
    let _first = stalled(1);
    let before = LIVE.load(Ordering::Relaxed);
    let each = || LIVE.load(Ordering::Relaxed).saturating_sub(before) / COUNT;
    let mut crowd: Vec<_> = (0..COUNT / STREAMS).map(|_| stalled(STREAMS)).collect();
    until("little to be kept", || {
        drop(gateway.connect());
        (each() <= most && LENT.load(Ordering::Relaxed) / COUNT <= most).then_some(())
    });
    // All of it is there for whoever takes it after all.
    for peer in &mut crowd {
        peer.widen(0, STREAMS as u32 * LARGE);
        (0..STREAMS).for_each(|n| assert!(peer.widen(2 * n as u32 + 1, LARGE)));
        peer.until_content(len * STREAMS);
        peer.until_ended(STREAMS);
    }
}

fn keeps_at_most<S: Read + Write>(most: usize, gateway: &Gateway, connect: impl Fn() -> Client<S>) {
    const COUNT: usize = 500;
    let mut first = connect();
    ask(&mut first);
    let before = LIVE.load(Ordering::Relaxed);
    let each = || LIVE.load(Ordering::Relaxed).saturating_sub(before) / COUNT;
    let mut crowd: Vec<_> = (0..COUNT).map(|_| connect()).collect();
    // As little after the second wave as after the first.
    for _ in 0..2 {
        crowd.iter_mut().for_each(ask);
        drop(gateway.connect());
        assert!(each() > 0, "nothing is counted");
        until("little to be kept", || {
            drop(gateway.connect());
            (each() <= most && BLOCKS.load(Ordering::Relaxed) < COUNT / 5).then_some(())
        });
    }
    drop(crowd);
    gateway.until("the end of them all", |counters| counters.connections == 1);
    // But for tables that have grown.
    until("nothing to be kept", || (each() <= 512).then_some(()));
}

#[test]
fn on_both_drivers() {
    // One after the other: they share the counter.
    a_quiet_connection_keeps_little(Driver::Epoll);
    a_quiet_connection_keeps_little(Driver::UringDefer);
    for versions in [Versions::New, Versions::Old] {
        a_quiet_connection_over_tls_keeps_no_buffer(Driver::Epoll, versions);
        a_quiet_connection_over_tls_keeps_no_buffer(Driver::UringDefer, versions);
    }
    a_quiet_connection_over_http2_keeps_its_codec(Driver::Epoll);
    a_quiet_connection_over_http2_keeps_its_codec(Driver::UringDefer);
    a_quiet_connection_over_http2_and_tls_keeps_no_other_buffer(Driver::Epoll);
    a_quiet_connection_over_http2_and_tls_keeps_no_other_buffer(Driver::UringDefer);
    a_response_that_is_not_taken_keeps_little(Driver::Epoll);
    a_response_that_is_not_taken_keeps_little(Driver::UringDefer);
    a_long_response_that_is_not_taken_keeps_little(Driver::Epoll);
    a_long_response_that_is_not_taken_keeps_little(Driver::UringDefer);
    a_quiet_tunnel_keeps_no_buffer(Driver::Epoll);
    a_quiet_tunnel_keeps_no_buffer(Driver::UringDefer);
}
