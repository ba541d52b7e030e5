//! Sequences of HTTP/2 frames, made of a fuzzer's bytes.

mod kept;
mod response;
mod wild;

pub use kept::{Kept, kept};
pub use response::{Answer, answer};
pub use wild::wild;

use gateway_testkit::http2::frames::{CONTINUATION, DATA, END_HEADERS, HEADERS, frame, indexed, literal};

/// The preface of a client (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// DATA, HEADERS: a length of padding comes first (RFC 9113 sections 6.1 and 6.2).
const PADDED: u8 = 8;
/// HEADERS: a priority comes first.
const PRIORITISED: u8 = 0x20;
const METHODS: [&str; 6] = ["GET", "POST", "HEAD", "PUT", "OPTIONS", "CONNECT"];
/// Targets at the backend.
const PATHS: [&str; 8] =
    ["/", "/chunked", "/large", "/interim", "/early", "/cut", "/broken", "/a/../b?q=%7e"];

/// Bytes that are taken one after another.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// The next byte; none at the end.
    pub fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// The next byte, or zero.
    pub fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    /// As many bytes, or those that are left.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn u32(&mut self) -> u32 {
        self.take(4).iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
    }
}

/// A head with a method and a target, and fields by the bits of `more`.
fn head(method: &str, path: &str, more: u8) -> Vec<u8> {
    let field: fn(&[u8], &[u8]) -> Vec<u8> = if more & 1 == 0 { literal } else { indexed };
    let mut out = field(b":method", method.as_bytes());
    for (name, value) in [(":scheme", "http"), (":path", path), (":authority", "a.example")] {
        out.extend(field(name.as_bytes(), value.as_bytes()));
    }
    let fields: [(&str, &str); 4] =
        [("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers"), ("x-long", &"x".repeat(300))];
    for (bit, (name, value)) in fields.iter().enumerate() {
        if more >> (bit + 1) & 1 == 1 {
            out.extend(field(name.as_bytes(), value.as_bytes()));
        }
    }
    out
}

/// A head in frames: in so many pieces, padded and with a priority or without.
fn heads(stream: u32, flags: u8, block: &[u8], pieces: usize, padding: u8, priority: bool) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = block.chunks(block.len().div_ceil(pieces.max(1)).max(1)).collect();
    if parts.is_empty() {
        parts.push(&[]);
    }
    let mut out = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let last = if number + 1 == parts.len() { END_HEADERS } else { 0 };
        if number > 0 {
            out.extend(frame(CONTINUATION, last, stream, part));
            continue;
        }
        let mut payload = Vec::new();
        let mut kinds = flags | last;
        if padding > 0 {
            payload.push(padding);
            kinds |= PADDED;
        }
        if priority {
            payload.extend([0, 0, 0, 0, 16]);
            kinds |= PRIORITISED;
        }
        payload.extend_from_slice(part);
        payload.extend(vec![0; usize::from(padding)]);
        out.extend(frame(HEADERS, kinds, stream, &payload));
    }
    out
}

fn data(stream: u32, flags: u8, content: &[u8], padding: u8) -> Vec<u8> {
    if padding == 0 {
        return frame(DATA, flags, stream, content);
    }
    let payload = [&[padding], content, &vec![0; usize::from(padding)]].concat();
    frame(DATA, flags | PADDED, stream, &payload)
}
