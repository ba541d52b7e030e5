//! Clients that cost more than they bring.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Peer;
use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, HEADERS, PING, POST, PRIORITY, RST_STREAM,
    WINDOW_UPDATE, frame, indexed, literal, settings,
};

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
    /// Frames of each stream's part.
    frames: usize,
    /// It breaks the protocol, so that its connection may be ended for that.
    breaks: bool,
    make: Make,
}

/// How an attack ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Frames that were sent.
    pub frames: usize,
    /// The connection was closed.
    pub closed: bool,
    /// The code of GOAWAY, if one was seen: a write that fails may cost what was to be read.
    pub goaway: Option<u32>,
}

impl Attack {
    /// Attacks until the connection is ended, with at most about `most` frames.
    pub fn run(&self, to: SocketAddr, most: usize) -> Ended {
        let mut peer = Peer::connect(to);
        let mut stream = 1;
        while peer.goaway.is_none() && peer.sent < most && peer.send(&(self.make)(stream), self.frames) {
            stream += 2;
            if stream % 50 == 1 {
                peer.look(Duration::from_millis(1));
            }
        }
        let began = Instant::now();
        while !peer.closed && began.elapsed() < END_TIMEOUT {
            peer.look(Duration::from_millis(100));
        }
        Ended { frames: peer.sent, closed: peer.closed, goaway: peer.goaway }
    }

    /// True if an attack may end with this code.
    pub fn may_end_with(&self, code: u32) -> bool {
        code == ENHANCE_YOUR_CALM
            || self.breaks && matches!(code, PROTOCOL_ERROR | STREAM_CLOSED | FRAME_SIZE_ERROR)
    }
}

const fn flood(name: &'static str, frames: usize, make: Make) -> Attack {
    Attack { name, frames, breaks: false, make }
}

const fn fault(name: &'static str, make: Make) -> Attack {
    Attack { name, frames: 2, breaks: true, make }
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
];

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
