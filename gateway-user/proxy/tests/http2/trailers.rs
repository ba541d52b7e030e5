//! Trailers of clients that break the protocol.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gateway_io::Driver;
use gateway_testkit::http2::Peer;
use gateway_testkit::http2::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, POST, frame, literal,
};

use crate::support::Gateway;
use crate::support::backend::{Backend, ok};
use crate::support::ir::Config;

const PROTOCOL_ERROR: u32 = 1;

/// The `h2` crate takes the pseudo-header away, and the request for a whole one.
pub(crate) fn trailers_with_a_pseudo_header_are_malformed(driver: Driver) {
    let whole = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&whole);
    let backend = Backend::answering(move |_| {
        seen.fetch_add(1, Ordering::Relaxed);
        ok("served")
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let post = frame(HEADERS, END_HEADERS, 1, POST);
    let content = frame(DATA, 0, 1, b"content");
    let end = |fields: &[u8]| frame(HEADERS, END_STREAM | END_HEADERS, 1, fields);
    let split = [
        frame(HEADERS, END_STREAM, 1, b""),
        frame(CONTINUATION, END_HEADERS, 1, &literal(b":status", b"200")),
    ];
    for (sequence, why) in [
        ([&post, &content, &end(&literal(b":path", b"/"))].map(Vec::as_slice).concat(), "in words"),
        ([&post, &end(&[0x84])].map(Vec::as_slice).concat(), "of the static table, and no content"),
        ([&post, &content, &split.concat()].map(Vec::as_slice).concat(), "in a CONTINUATION"),
        // Its head has put `:authority` there.
        ([&post, &content, &end(&[0xbe])].map(Vec::as_slice).concat(), "of the dynamic table"),
    ] {
        let mut peer = Peer::connect(gateway.address);
        peer.send(&sequence, 3);
        peer.until_closed();
        assert_eq!((peer.goaway, peer.responses), (Some(PROTOCOL_ERROR), 0), "{why}");
    }
    gateway.until("nothing under way", |counters| counters.active_requests == 0);
    assert_eq!((gateway.metrics().counters.h2_malformed, whole.load(Ordering::Relaxed)), (4, 0));

    let mut honest = Peer::connect(gateway.address);
    let sequence = [&post, &content, &end(&literal(b"x-end", b":path"))].map(Vec::as_slice).concat();
    honest.send(&sequence, 3);
    honest.get(3);
    honest.until_responses(2);
    assert_eq!((honest.goaway, whole.load(Ordering::Relaxed)), (None, 2));
}
