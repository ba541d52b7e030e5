//! One sequence on a connection of its own, and what became of its stream.

use std::fmt;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use gateway_testkit::http2::frames::{
    DATA, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, frame, settings,
};

use super::exchange::{STATUS_200, STATUS_404};
use super::sequences::Sequence;

/// The outcome of a sequence at one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// A response without an error.
    Served,
    /// A response with an error.
    Refused,
    StreamReset,
    /// GOAWAY with an error, or the end.
    ConnectionEnded,
    /// The connection lives, and nothing came on the stream.
    Silence,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Served => "serves it",
            Self::Refused => "refuses it",
            Self::StreamReset => "resets the stream",
            Self::ConnectionEnded => "ends the connection",
            Self::Silence => "says nothing",
        })
    }
}

/// Time for what has no sign of its own to be waited for.
const SETTLE: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(3);

/// A connection with what has come so far.
struct Connection {
    stream: TcpStream,
    inbox: Vec<u8>,
    watched: u32,
    status: Option<bool>,
    whole: bool,
    reset: bool,
    ended: bool,
    /// All that was sent has been read.
    pong: bool,
}

/// Sends a sequence, and says what came of it; `or_404` counts that as served, for a server of files.
pub(super) fn ask(to: SocketAddr, sequence: &Sequence, or_404: bool) -> std::io::Result<Fate> {
    let stream = TcpStream::connect_timeout(&to, TIMEOUT)?;
    let mut connection = Connection {
        stream,
        inbox: Vec::new(),
        watched: sequence.stream,
        status: None,
        whole: false,
        reset: false,
        ended: false,
        pong: false,
    };
    let mut first = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings(&[])[..], &sequence.first].concat();
    let ping = frame(PING, 0, 0, b"read all");
    if sequence.then.is_empty() {
        first.extend(&ping);
    }
    connection.send(&first);
    if !sequence.then.is_empty() {
        while !connection.whole && !connection.ended && connection.look(TIMEOUT, or_404)? {}
        connection.send(&[&sequence.then[..], &ping].concat());
    }
    while !connection.is_over() && connection.look(TIMEOUT, or_404)? {}
    // An error may follow a response.
    while !connection.ended && connection.look(SETTLE, or_404)? {}
    Ok(match connection {
        Connection { ended: true, .. } => Fate::ConnectionEnded,
        Connection { reset: true, .. } => Fate::StreamReset,
        Connection { status: Some(true), .. } => Fate::Served,
        Connection { status: Some(false), .. } => Fate::Refused,
        _ => Fate::Silence,
    })
}

impl Connection {
    /// True if nothing more is owed.
    fn is_over(&self) -> bool {
        self.ended || self.pong && (self.whole || self.reset)
    }

    /// Sends bytes; the end is seen when it is read.
    fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Takes what comes; false if nothing does in this time.
    fn look(&mut self, within: Duration, or_404: bool) -> std::io::Result<bool> {
        self.stream.set_read_timeout(Some(within))?;
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.ended = true,
            Ok(count) => self.inbox.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(false);
            }
            Err(_) => self.ended = true,
        }
        while let Some(&[a, b, c, kind, flags, d, e, f, g]) = self.inbox.get(..9) {
            let end = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
            let Some(payload) = self.inbox.get(9..end).map(<[u8]>::to_vec) else { break };
            self.inbox.drain(..end);
            let is_watched = u32::from_be_bytes([d, e, f, g]) == self.watched;
            match kind {
                HEADERS if is_watched && self.status.is_none() => {
                    // Behind a change of the table's size.
                    let status = payload.iter().copied().find(|byte| !(0x20..0x40).contains(byte));
                    self.status = Some(status == Some(STATUS_200) || or_404 && status == Some(STATUS_404));
                }
                // Without an error it says that the rest of the request is not wanted.
                RST_STREAM if is_watched && (payload != [0; 4] || self.status.is_none()) => self.reset = true,
                GOAWAY => self.ended |= payload.get(4..8) != Some(&[0; 4]),
                PING => self.pong |= flags & 1 == 1,
                SETTINGS if flags & 1 == 0 => self.send(&frame(SETTINGS, 1, 0, b"")),
                _ => {}
            }
            self.whole |= is_watched && matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0;
        }
        Ok(true)
    }
}
