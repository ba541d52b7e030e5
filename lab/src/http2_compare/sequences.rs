//! Frames out of order, or that break another rule than those of heads: each sequence on a connection of its own.

use gateway_testkit::http2::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame, literal, settings,
};

/// PUSH_PROMISE (RFC 9113 section 6.6), which no client sends.
const PUSH_PROMISE: u8 = 5;
/// A kind that nobody knows.
const UNKNOWN: u8 = 0x2a;
/// DATA, HEADERS: a length of padding comes first.
const PADDED: u8 = 8;
/// HEADERS: a priority comes first.
const PRIORITISED: u8 = 0x20;
const MOST: [u8; 4] = 0x7fff_ffff_u32.to_be_bytes();

/// A sequence and the stream whose fate is compared.
pub(super) struct Sequence {
    pub(super) name: &'static str,
    /// Frames that are sent first; the response of stream 1 is waited for if something follows.
    pub(super) first: Vec<u8>,
    pub(super) then: Vec<u8>,
    pub(super) stream: u32,
}

fn block(method: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let fields = [(":method", method), (":scheme", "http"), (":path", "/text"), (":authority", "a.example")];
    fields.iter().chain(more).flat_map(|(name, value)| literal(name.as_bytes(), value.as_bytes())).collect()
}

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block("GET", &[]))
}

/// A request whose content is to come.
fn post(more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, &block("POST", more))
}

/// All sequences.
pub(super) fn sequences() -> Vec<Sequence> {
    [after_the_end(), of_content(), of_windows(), of_heads(), of_streams(), of_the_connection()]
        .into_iter()
        .flatten()
        .collect()
}

/// Frames of one piece, about stream 1.
fn at_once(name: &'static str, frames: &[&[u8]]) -> Sequence {
    Sequence { name, first: frames.concat(), then: Vec::new(), stream: 1 }
}

fn after_the_end() -> Vec<Sequence> {
    let late = |name, then| Sequence { name, first: get(1), then, stream: 1 };
    let trailers = frame(HEADERS, END_STREAM | END_HEADERS, 1, &literal(b"x-end", b"1"));
    vec![
        late("DATA after the end", frame(DATA, 0, 1, b"late")),
        late("HEADERS after the end", get(1)),
        late("trailers after the end", trailers),
        late("RST_STREAM after the end", frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
        late("WINDOW_UPDATE after the end", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
        late("PRIORITY after the end", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16])),
    ]
}

fn of_content() -> Vec<Sequence> {
    let end = |content: &[u8]| frame(DATA, END_STREAM, 1, content);
    let padded = |payload: &[u8]| frame(DATA, END_STREAM | PADDED, 1, payload);
    let counted = post(&[("content-length", "8")]);
    vec![
        at_once("content", &[&post(&[]), &end(b"content")]),
        at_once("content of nothing", &[&post(&[]), &end(b"")]),
        at_once("length not met", &[&counted, &end(b"less")]),
        at_once("length exceeded", &[&counted, &end(b"more than that")]),
        at_once("padding", &[&post(&[]), &padded(&[2, b'a', 0, 0])]),
        at_once("padding alone", &[&post(&[]), &padded(&[2, 0, 0])]),
        at_once("padding longer than the frame", &[&post(&[]), &padded(&[9, b'a', 0, 0])]),
        at_once("padding of a frame of nothing", &[&post(&[]), &padded(&[])]),
        at_once("frame beyond the bound", &[&post(&[]), &end(&[b'a'; (16 << 10) + 1])]),
    ]
}

fn of_windows() -> Vec<Sequence> {
    let widen = |stream, by: &[u8]| frame(WINDOW_UPDATE, 0, stream, by);
    let window = |value| settings(&[(4, value)]);
    vec![
        at_once("window of the connection beyond the bound", &[&widen(0, &MOST), &get(1)]),
        at_once("window of a stream beyond the bound", &[&post(&[]), &widen(1, &MOST)]),
        at_once("window of the connection widened by nothing", &[&widen(0, &[0; 4]), &get(1)]),
        at_once("window of a stream widened by nothing", &[&post(&[]), &widen(1, &[0; 4])]),
        at_once("WINDOW_UPDATE of three bytes", &[&widen(0, &[0; 3]), &get(1)]),
        at_once("first window beyond the bound", &[&window(1 << 31), &get(1)]),
    ]
}

fn of_heads() -> Vec<Sequence> {
    let head = block("GET", &[]);
    let (one, another) = head.split_at(head.len() / 2);
    let begin = frame(HEADERS, END_STREAM, 1, one);
    let rest = |stream| frame(CONTINUATION, END_HEADERS, stream, another);
    let trailers = frame(HEADERS, END_HEADERS, 1, &literal(b"x-end", b"1"));
    let pseudo = frame(HEADERS, END_STREAM | END_HEADERS, 1, &literal(b":path", b"/"));
    let own = [&[0, 0, 0, 1, 16], &head[..]].concat();
    let flags = END_STREAM | END_HEADERS | PRIORITISED;
    vec![
        at_once("CONTINUATION", &[&begin, &rest(1)]),
        at_once("CONTINUATION of nothing", &[&begin, &frame(CONTINUATION, 0, 1, b""), &rest(1)]),
        at_once("CONTINUATION without HEADERS", &[&rest(1)]),
        at_once("CONTINUATION of another stream", &[&begin, &rest(3)]),
        at_once("unknown frame within a head", &[&begin, &frame(UNKNOWN, 0, 1, b""), &rest(1)]),
        at_once("trailers without an end", &[&post(&[]), &trailers]),
        at_once("trailers with a pseudo-header", &[&post(&[]), &pseudo]),
        at_once("HEADERS that depend on themselves", &[&frame(HEADERS, flags, 1, &own)]),
        at_once("head that is no HPACK", &[&frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0x80])]),
    ]
}

fn of_streams() -> Vec<Sequence> {
    let falling = Sequence { name: "number that falls", first: get(3), then: get(1), stream: 1 };
    let even = Sequence { name: "even number", first: get(2), then: Vec::new(), stream: 2 };
    vec![
        // It waits for the response of a lower number, which no server owes: both go at once.
        Sequence { first: [falling.first, falling.then].concat(), then: Vec::new(), ..falling },
        even,
        at_once("DATA on an idle stream", &[&frame(DATA, 0, 3, b"a"), &get(1)]),
        at_once("RST_STREAM of an idle stream", &[&frame(RST_STREAM, 0, 3, &[0; 4]), &get(1)]),
        at_once("WINDOW_UPDATE of an idle stream", &[&frame(WINDOW_UPDATE, 0, 3, &[0, 0, 0, 1]), &get(1)]),
        at_once("PRIORITY of an idle stream", &[&frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 16]), &get(1)]),
        at_once("PRIORITY that depends on itself", &[&frame(PRIORITY, 0, 3, &[0, 0, 0, 3, 16]), &get(1)]),
        at_once("PRIORITY of four bytes", &[&frame(PRIORITY, 0, 3, &[0; 4]), &get(1)]),
    ]
}

fn of_the_connection() -> Vec<Sequence> {
    let before = |name, frame: Vec<u8>| at_once(name, &[&frame, &get(1)]);
    vec![
        before("unknown frame", frame(UNKNOWN, 0xff, 0, b"unknown")),
        before("unknown setting", settings(&[(0x2a2a, 1)])),
        before("GOAWAY", frame(GOAWAY, 0, 0, &[0; 8])),
        before("PUSH_PROMISE", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])),
        before("PING on a stream", frame(PING, 0, 1, &[0; 8])),
        before("PING of seven bytes", frame(PING, 0, 0, &[0; 7])),
        before("SETTINGS on a stream", frame(SETTINGS, 0, 1, b"")),
        before("acknowledgement with a setting", frame(SETTINGS, 1, 0, &[0, 4, 0, 0, 0, 1])),
        before("push that is neither on nor off", settings(&[(2, 2)])),
        before("bound of frames below the least", settings(&[(5, 1)])),
        before("HEADERS on stream 0", get(0)),
        before("DATA on stream 0", frame(DATA, 0, 0, b"a")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_its_own() {
        let mut names: Vec<_> = sequences().iter().map(|sequence| sequence.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(count >= 12);
    }
}
