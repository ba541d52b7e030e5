//! Clients that cost more than they bring.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, HEADERS, LARGE, PING, POST, PRIORITY, RECEIVE,
    RST_STREAM, WINDOW_UPDATE, frame, indexed, literal, settings,
};
use super::{Peer, Server};

/// SETTINGS_INITIAL_WINDOW_SIZE.
pub const INITIAL_WINDOW: u16 = 4;
/// SETTINGS_HEADER_TABLE_SIZE.
const TABLE_SIZE: u16 = 1;
/// Error codes (RFC 9113 section 7).
const PROTOCOL_ERROR: u32 = 1;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

/// How long a connection may stay open once nothing more is sent.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// The frames of an attack, stream after stream.
type Make = fn(u32) -> Vec<u8>;

/// One attack.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// Its name in a table.
    pub name: &'static str,
    /// Honest clients send the same: it is not ended, and must cost little.
    pub is_honest: bool,
    /// Frames of each stream's part.
    frames: usize,
    /// It breaks the protocol, so that its connection may be ended for that.
    breaks: bool,
    /// It takes what comes.
    reads: bool,
    settings: &'static [(u16, u32)],
    make: Make,
}

/// How an attack ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Frames that were sent.
    pub frames: usize,
    /// Their bytes.
    pub bytes: usize,
    /// The connection was closed.
    pub closed: bool,
    /// The code of GOAWAY, if one was seen: a write that fails may cost what was to be read.
    pub goaway: Option<u32>,
}

impl Attack {
    /// Attacks until the connection is ended, with at most about `most` frames.
    pub fn run(&self, to: impl Into<Server>, most: usize) -> Ended {
        self.run_told(to, most, &AtomicUsize::new(0))
    }

    /// The same, and adds to `sent` while frames are sent.
    pub fn run_told(&self, to: impl Into<Server>, most: usize, sent: &AtomicUsize) -> Ended {
        let mut peer = Peer::with(to, self.settings);
        let mut stream = 1;
        while peer.goaway.is_none() && peer.sent < most && peer.send(&(self.make)(stream), self.frames) {
            sent.fetch_add(self.frames, Ordering::SeqCst);
            stream += 2;
            if self.reads && stream % 50 == 1 {
                peer.look(Duration::from_millis(1));
            }
        }
        if self.is_honest && peer.goaway.is_none() && !peer.closed {
            peer.until_read();
        }
        let began = Instant::now();
        while !self.is_honest && !peer.closed && began.elapsed() < END_TIMEOUT {
            peer.look(Duration::from_millis(100));
        }
        Ended { frames: peer.sent, bytes: peer.bytes, closed: peer.closed, goaway: peer.goaway }
    }

    /// True if an attack may end with this code.
    pub fn may_end_with(&self, code: u32) -> bool {
        code == ENHANCE_YOUR_CALM
            || self.breaks && matches!(code, PROTOCOL_ERROR | STREAM_CLOSED | FRAME_SIZE_ERROR)
    }
}

const fn flood(name: &'static str, frames: usize, make: Make) -> Attack {
    Attack { name, is_honest: false, frames, breaks: false, reads: true, settings: &[], make }
}

const fn fault(name: &'static str, make: Make) -> Attack {
    Attack { breaks: true, ..flood(name, 2, make) }
}

const fn unread(name: &'static str, make: Make) -> Attack {
    Attack { reads: false, ..flood(name, 1, make) }
}

/// Frames that are allowed, without end.
pub const FLOODS: &[Attack] = &[
    flood("reset of whole requests", 2, |s| [whole(s), reset(s)].concat()),
    flood("reset of open requests", 2, |s| [open(s), reset(s)].concat()),
    flood("settings", 1, |_| settings(&[(INITIAL_WINDOW, 65_535)])),
    flood("table sizes", 2, |_| [settings(&[(TABLE_SIZE, 0)]), settings(&[(TABLE_SIZE, 4096)])].concat()),
    flood("pings", 1, |_| frame(PING, 0, 0, b"12345678")),
    flood("priorities", 1, |_| frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1])),
    flood("window updates", 1, |_| frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())),
    flood("unknown frames", 1, |_| frame(0xee, 0, 0, b"0123456789")),
    flood("empty data", 1, |s| on_one(s, &frame(DATA, 0, 1, b""))),
    flood("padding", 1, |s| on_one(s, &frame(DATA, 8, 1, &[&[255], &[0; 255][..]].concat()))),
    Attack {
        settings: &[(INITIAL_WINDOW, 0)],
        ..flood("window widened by a byte", 1, |s| {
            let head = if s == 1 { large(s) } else { Vec::new() };
            [head, frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes())].concat()
        })
    },
];

/// The same of clients that take nothing of what comes.
pub const UNREAD: &[Attack] = &[
    unread("requests, nothing read", large),
    unread("settings, nothing read", |_| settings(&[(INITIAL_WINDOW, 65_535)])),
    unread("pings, nothing read", |_| frame(PING, 0, 0, b"12345678")),
];

/// Frames that honest clients send too, if not so many: clients that stream small messages.
pub const HONEST: &[Attack] = &[Attack {
    is_honest: true,
    ..flood("data of one byte", 1, |s| {
        let head = if s == 1 { frame(HEADERS, END_HEADERS, s, RECEIVE) } else { Vec::new() };
        [head, frame(DATA, 0, 1, b"x")].concat()
    })
}];

/// Streams that the gateway has to reset.
pub const PROVOKED_RESETS: &[Attack] = &[
    fault("window widened by nothing", |s| [whole(s), frame(WINDOW_UPDATE, 0, s, &[0; 4])].concat()),
    fault("window that overflows", |s| {
        [whole(s), frame(WINDOW_UPDATE, 0, s, &0x7fff_ffff_u32.to_be_bytes())].concat()
    }),
    fault("priority of four bytes", |s| [whole(s), frame(PRIORITY, 0, s, &[0; 4])].concat()),
    fault("stream that depends on itself", |s| {
        [whole(s), frame(PRIORITY, 0, s, &[&s.to_be_bytes()[..], &[1]].concat())].concat()
    }),
    fault("data after the end", |s| [whole(s), frame(DATA, 0, s, b"x")].concat()),
    fault("head after the end", |s| [whole(s), whole(s)].concat()),
    fault("more data than announced", |s| {
        let head = [POST, &literal(b"content-length", b"1")].concat();
        [frame(HEADERS, END_HEADERS, s, &head), frame(DATA, END_STREAM, s, b"xx")].concat()
    }),
    fault("connection field", |s| with(s, b"connection", b"x")),
    fault("upper-case name", |s| with(s, b"X-A", b"x")),
    fault("te of gzip", |s| with(s, b"te", b"gzip")),
    fault("unknown pseudo-header", |s| with(s, b":x", b"y")),
];

/// Heads that cost time or memory to read.
pub const HEADS: &[Attack] = &[
    fault("full continuations", |s| going_on(s, &literal(b"x", &[b'y'; 16_000]))),
    fault("small continuations", |s| going_on(s, &literal(b"x", b"y"))),
    fault("empty continuations", |s| going_on(s, b"")),
    fault("references to a large entry", |s| match s {
        1 => frame(HEADERS, END_STREAM | END_HEADERS, s, &[GET, &indexed(b"x", &[b'y'; 4_000])].concat()),
        _ => frame(HEADERS, END_STREAM | END_HEADERS, s, &[GET, &[0xbe; 16_000]].concat()),
    }),
    flood("new entries of the table", 1, |s| with_fresh_entries(s, 200)),
];

fn whole(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, GET)
}

fn large(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, LARGE)
}

fn open(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, POST)
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

/// A request with one field more.
fn with(stream: u32, name: &[u8], value: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &[GET, &literal(name, value)].concat())
}

/// A part of the first stream's body.
fn on_one(stream: u32, part: &[u8]) -> Vec<u8> {
    if stream == 1 { [&open(1), part].concat() } else { part.to_vec() }
}

/// A part of the first stream's head, which does not end.
fn going_on(stream: u32, part: &[u8]) -> Vec<u8> {
    let more = frame(CONTINUATION, 0, 1, part);
    if stream == 1 { [frame(HEADERS, END_STREAM, 1, GET), more].concat() } else { more }
}

/// A request with so many fields that enter the dynamic table; none is like one before.
pub fn with_fresh_entries(stream: u32, entries: u32) -> Vec<u8> {
    let fields = (0..entries).flat_map(|n| indexed(b"x", format!("{stream}-{n}").as_bytes()));
    let head: Vec<u8> = GET.iter().copied().chain(fields).collect();
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &head)
}
