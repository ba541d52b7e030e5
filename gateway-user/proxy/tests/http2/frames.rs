//! Frames by hand (RFC 9113 section 4): clients that do what no library would.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use gateway_testkit::wait::WAIT_TIMEOUT;

use crate::support::Gateway;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// `GET http://a.example.x/`, from the static table but for the authority (RFC 7541 appendix A).
pub(crate) const GET: &[u8] = b"\x82\x86\x84\x41\x0ba.example.x";
/// The same with POST.
pub(crate) const POST: &[u8] = b"\x83\x86\x84\x41\x0ba.example.x";

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// A field that is not kept in the table, neither name nor value compressed.
pub(crate) fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = vec![0];
    for text in [name, value] {
        match u8::try_from(text.len()).ok().filter(|len| *len < 127) {
            Some(len) => out.push(len),
            None => {
                out.push(127);
                let mut rest = text.len() - 127;
                while rest >= 128 {
                    out.push((rest % 128 + 128) as u8);
                    rest /= 128;
                }
                out.push(rest as u8);
            }
        }
        out.extend(text);
    }
    out
}

/// The same, kept.
pub(crate) fn indexed(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = literal(name, value);
    out[0] = 0x40;
    out
}

/// SETTINGS with these values.
pub(crate) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> =
        values.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(SETTINGS, 0, 0, &payload)
}

/// One side of a connection, with what the gateway has said so far.
pub(crate) struct Peer {
    stream: TcpStream,
    inbox: Vec<u8>,
    /// The code of the last GOAWAY.
    pub(crate) goaway: Option<u32>,
    /// Heads of responses.
    pub(crate) responses: usize,
    /// Streams that were reset.
    pub(crate) resets: usize,
    pub(crate) closed: bool,
    /// Frames sent.
    pub(crate) sent: usize,
}

impl Peer {
    /// A connection whose preface and settings are sent.
    pub(crate) fn connect(gateway: &Gateway) -> Self {
        Self::with(gateway, &[])
    }

    pub(crate) fn with(gateway: &Gateway, values: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(gateway.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut peer =
            Self { stream, inbox: Vec::new(), goaway: None, responses: 0, resets: 0, closed: false, sent: 0 };
        peer.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        peer.stream.write_all(&settings(values)).unwrap();
        peer
    }

    /// Sends bytes that are `frames` frames; false once the gateway takes no more.
    pub(crate) fn send(&mut self, bytes: &[u8], frames: usize) -> bool {
        if !self.closed && self.stream.write_all(bytes).is_err() {
            self.closed = true;
        }
        self.sent += frames;
        !self.closed
    }

    /// A whole request on a stream.
    pub(crate) fn get(&mut self, stream: u32) -> bool {
        self.send(&frame(HEADERS, END_STREAM | END_HEADERS, stream, GET), 1)
    }

    /// Takes what has come, waiting for it at most that long.
    pub(crate) fn look(&mut self, wait: Duration) {
        let mut buffer = [0; 64 << 10];
        self.stream.set_read_timeout(Some(wait.max(Duration::from_millis(1)))).unwrap();
        match self.stream.read(&mut buffer) {
            Ok(0) => self.closed = true,
            Ok(len) => {
                self.inbox.extend_from_slice(&buffer[..len]);
                self.read_frames();
            }
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => self.closed = true,
        }
    }

    fn read_frames(&mut self) {
        while let Some(&[a, b, c, kind, flags, ..]) = self.inbox.get(..9) {
            let end = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
            let Some(payload) = self.inbox.get(9..end) else { return };
            match kind {
                GOAWAY => self.goaway = payload.get(4..8).map(|code| u32::from_be_bytes(code.try_into().unwrap())),
                HEADERS => self.responses += 1,
                RST_STREAM => self.resets += 1,
                SETTINGS | PING if flags & 1 == 0 => {
                    let answer = frame(kind, 1, 0, if kind == PING { payload } else { b"" });
                    let _ = self.stream.write_all(&answer);
                }
                _ => {}
            }
            self.inbox.drain(..end);
        }
    }

    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !done(self) {
            assert!(began.elapsed() < WAIT_TIMEOUT, "gave up waiting for {what}");
            assert!(!self.closed || done(self), "closed before {what}");
            self.look(Duration::from_millis(50));
        }
    }

    pub(crate) fn until_closed(&mut self) {
        self.until("the end", |peer| peer.closed);
    }

    pub(crate) fn until_goaway(&mut self) {
        self.until("GOAWAY", |peer| peer.goaway.is_some());
    }

    pub(crate) fn until_responses(&mut self, count: usize) {
        self.until("responses", |peer| peer.responses >= count);
    }
}
