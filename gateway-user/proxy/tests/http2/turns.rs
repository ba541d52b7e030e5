//! The part of a connection's bytes and frames that is taken before others have their turn.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gateway_io::Driver;
use gateway_testkit::http2::Peer;
use gateway_testkit::http2::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, HEADERS, POST, WINDOW_UPDATE, frame, literal,
};

use crate::client::{ask, connected, get, send};
use crate::support::Gateway;
use crate::support::backend::{Backend, echo, ok};
use crate::support::ir::Config;

/// A client that waits for each response before it asks again is never made to wait for others, nor is one whose head comes
/// in pieces.
pub(crate) fn who_asks_in_turn_waits_for_nobody(driver: Driver) {
    let backend = Backend::named("app");
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    connected(&gateway, |mut client| async move {
        for _ in 0..50 {
            assert_eq!(ask(&mut client, get("/")).await.unwrap().text(), "app");
        }
    });
    let mut peer = Peer::connect(gateway.address);
    for stream in [1, 3, 5] {
        let (begin, end) = GET.split_at(4);
        peer.send(&frame(HEADERS, END_STREAM, stream, begin), 1);
        gateway.get("/");
        peer.send(&frame(CONTINUATION, END_HEADERS, stream, end), 1);
        peer.until_responses(stream.div_ceil(2) as usize);
    }
    assert_eq!(gateway.metrics().counters.h2_turns, 0);
}

/// Many small frames at once are taken in turns, and nothing of them is lost.
pub(crate) fn many_frames_are_taken_in_turns(driver: Driver) {
    let backend = Backend::answering(|request| ok(request.body.len().to_string()));
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut peer = Peer::connect(gateway.address);
    let head = [POST, &literal(b"content-length", b"40000")].concat();
    let mut wire = frame(HEADERS, END_HEADERS, 1, &head);
    wire.extend(frame(DATA, 0, 1, &[b'x'; 20]).repeat(1999));
    wire.extend(frame(DATA, END_STREAM, 1, &[b'x'; 20]));
    peer.send(&wire, 2001);
    peer.until_content(5);
    assert_eq!((peer.content, peer.resets), (5, 0), "the backend has seen all of it");
    assert!(gateway.metrics().counters.h2_turns > 0);
}

/// Small frames that have come go to the backend together: it would pay for each otherwise, and so would the gateway.
pub(crate) fn small_frames_go_on_together(driver: Driver) {
    const FRAMES: usize = 2000;
    let chunks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&chunks);
    let backend = Backend::start(move |mut exchange| {
        let Some(_) = exchange.head() else { return };
        let mut body = Vec::new();
        while !body.ends_with(b"\r\n0\r\n\r\n") {
            let Ok(Some(byte)) = exchange.byte() else { return };
            body.push(byte);
        }
        let ends = body.windows(2).filter(|pair| pair == b"\r\n").count();
        let content = body.iter().filter(|byte| **byte == b'x').count();
        assert_eq!(content, FRAMES);
        // Two for each chunk and two behind them.
        counted.store((ends - 2) / 2, Ordering::SeqCst);
        let _ = exchange.stream.write_all(&ok("done"));
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut peer = Peer::connect(gateway.address);
    let mut wire = frame(HEADERS, END_HEADERS, 1, POST);
    wire.extend(frame(DATA, 0, 1, b"x").repeat(FRAMES - 1));
    wire.extend(frame(DATA, END_STREAM, 1, b"x"));
    peer.send(&wire, FRAMES + 1);
    peer.until_content(4);
    let chunks = chunks.load(Ordering::SeqCst);
    assert!((1..=FRAMES / 10).contains(&chunks), "{chunks} chunks for {FRAMES} frames");
}

/// A client that opens every window and reads nothing has a part of each response held for it, and a part of all together.
pub(crate) fn what_nobody_reads_is_not_held_for_each_stream(driver: Driver) {
    const STREAMS: u32 = 100;
    let body = vec![b'x'; 1 << 20];
    let backend = Backend::answering(move |_| ok(&body));
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut peer = Peer::with(gateway.address, &[(4, 0x7fff_ffff)]);
    peer.send(&frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes()), 1);
    for stream in 0..STREAMS {
        peer.get(2 * stream + 1);
    }
    gateway.until("all at the backend", |counters| counters.active_requests == u64::from(STREAMS));
    gateway.until("what fills the connection", |counters| counters.buffer_bytes >= 256 << 10);
    let look = |_| {
        std::thread::sleep(Duration::from_millis(20));
        gateway.metrics().counters.buffer_bytes
    };
    let held = (0..50).map(look).max().unwrap();
    // A buffer that a response came in for each stream, 256 KiB in the crate and 64 KiB below it.
    let most = u64::from(STREAMS + 1) * 20 * 1024 + (320 << 10);
    assert!(held <= most, "{held} bytes, at most {most}");
    // Read after all, it comes whole.
    peer.until_content(STREAMS as usize * (1 << 20));
}

/// Bytes beyond a turn's wait for the next one, and arrive.
pub(crate) fn a_long_body_arrives_whole(driver: Driver) {
    let backend = Backend::answering(echo);
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    connected(&gateway, |mut client| async move {
        static LONG: [u8; 4 << 20] = [b'x'; 4 << 20];
        let post = http::Request::post("http://a.example/").body(()).unwrap();
        let response = send(&mut client, post, &[&LONG], None).await.unwrap();
        assert!(response.text().contains("\"length\":4194304"), "{}", response.text());
    });
}
