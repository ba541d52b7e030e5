//! A client by hand, which does what no library would.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use super::Server;
use super::frames::{
    DATA, END_HEADERS, END_STREAM, GET, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame,
    settings,
};
use super::server::Wire;
use crate::wait::WAIT_TIMEOUT;

/// One side of a connection, with what the gateway has said so far.
pub struct Peer {
    stream: Box<dyn Wire>,
    inbox: Vec<u8>,
    /// The code of the last GOAWAY.
    pub goaway: Option<u32>,
    /// The last stream that each GOAWAY names.
    pub last_streams: Vec<u32>,
    /// Heads of responses.
    pub responses: usize,
    /// Streams whose response is whole.
    pub ended: usize,
    /// Streams that were reset.
    pub resets: usize,
    /// Of these, those that were refused: nobody has looked at them.
    pub refused: usize,
    /// The gateway has closed the connection.
    pub closed: bool,
    /// The gateway reads no more, and has not closed the connection.
    pub stalled: bool,
    /// Pings of ours that were acknowledged.
    pub pongs: usize,
    /// Frames sent.
    pub sent: usize,
    /// Bytes sent.
    pub bytes: usize,
    /// Bytes of content that came.
    pub content: usize,
    /// The content itself, of each stream, if it is to be kept.
    pub kept: Option<BTreeMap<u32, Vec<u8>>>,
    /// For each piece of content that comes, the windows of its stream and of the connection are widened, and a ping is
    /// sent: as Java and grpc-go do, who do one of them each.
    pub widens: bool,
    /// As grpc-go does: for each piece of content that comes while no ping is under way, what has come is given back to the
    /// connection's window, and a ping is sent.
    pub estimates: bool,
    /// Pings of ours that are under way, and content that was not given back.
    pinging: usize,
    taken: usize,
    /// Settings and pings of the gateway are acknowledged as they come.
    pub answers: bool,
    /// The acknowledgements that were not sent.
    unanswered: Vec<u8>,
}

/// The error code of a stream that nobody has looked at (RFC 9113 section 7).
const REFUSED_STREAM: u32 = 7;

/// True if the time is over for what may still come.
fn is_wait(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

impl Peer {
    /// A connection whose preface and settings are sent.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn connect(to: impl Into<Server>) -> Self {
        Self::with(to, &[])
    }

    /// The same with settings of its own.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn with(to: impl Into<Server>, values: &[(u16, u32)]) -> Self {
        let mut peer = Self {
            stream: to.into().open().unwrap(),
            inbox: Vec::new(),
            goaway: None,
            last_streams: Vec::new(),
            responses: 0,
            ended: 0,
            resets: 0,
            refused: 0,
            closed: false,
            stalled: false,
            pongs: 0,
            sent: 0,
            bytes: 0,
            content: 0,
            kept: None,
            widens: false,
            estimates: false,
            pinging: 0,
            taken: 0,
            answers: true,
            unanswered: Vec::new(),
        };
        let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings(values)[..]].concat();
        peer.send(&preface, 0);
        peer
    }

    /// Sends bytes that are `frames` frames; false once the gateway takes no more.
    pub fn send(&mut self, bytes: &[u8], frames: usize) -> bool {
        if self.closed || self.stalled {
            return false;
        }
        match self.stream.write_all(bytes) {
            Ok(()) => {
                self.sent += frames;
                self.bytes += bytes.len();
            }
            // A part may have gone: nothing can follow it.
            Err(error) if is_wait(&error) => self.stalled = true,
            Err(_) => self.closed = true,
        }
        !self.closed && !self.stalled
    }

    /// A whole request on a stream.
    pub fn get(&mut self, stream: u32) -> bool {
        self.send(&frame(HEADERS, END_STREAM | END_HEADERS, stream, GET), 1)
    }

    /// Gives the gateway a window for so many bytes more, of a stream or with 0 of the connection.
    pub fn widen(&mut self, stream: u32, bytes: u32) -> bool {
        self.send(&frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes()), 1)
    }

    /// Takes what has come, waiting for it at most that long.
    ///
    /// # Panics
    /// The socket takes no time-out.
    pub fn look(&mut self, wait: Duration) {
        let mut buffer = [0; 64 << 10];
        self.stream.socket().set_read_timeout(Some(wait.max(Duration::from_millis(1)))).unwrap();
        match self.stream.read(&mut buffer) {
            Ok(0) => self.closed = true,
            Ok(len) => {
                self.inbox.extend_from_slice(&buffer[..len]);
                self.read_frames();
            }
            Err(error) if is_wait(&error) => {}
            Err(_) => self.closed = true,
        }
    }

    fn read_frames(&mut self) {
        while let Some(&[a, b, c, kind, flags, ..]) = self.inbox.get(..9) {
            let end = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
            let id = self.inbox.get(5..9).map_or(0, |id| u32::from_be_bytes(id.try_into().unwrap()));
            let Some(payload) = self.inbox.get(9..end) else { return };
            let number = |from: usize| {
                payload.get(from..from + 4).map(|four| u32::from_be_bytes(four.try_into().unwrap()))
            };
            self.ended += usize::from(matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0);
            match kind {
                GOAWAY => {
                    self.goaway = number(4);
                    self.last_streams.extend(number(0));
                }
                HEADERS => self.responses += 1,
                DATA => {
                    let len = payload.len();
                    if let Some(kept) = &mut self.kept {
                        kept.entry(id).or_default().extend_from_slice(payload);
                    }
                    self.take(id, len);
                }
                RST_STREAM => {
                    self.resets += 1;
                    self.refused += usize::from(number(0) == Some(REFUSED_STREAM));
                }
                PING if flags & 1 == 1 => {
                    self.pongs += 1;
                    self.pinging = self.pinging.saturating_sub(1);
                }
                SETTINGS | PING if flags & 1 == 0 => {
                    let answer = frame(kind, 1, 0, if kind == PING { payload } else { b"" });
                    match self.answers {
                        true => drop(self.stream.write_all(&answer)),
                        false => self.unanswered.extend(answer),
                    }
                }
                _ => {}
            }
            self.inbox.drain(..end);
        }
    }

    /// Takes so much content, and gives it back to the windows as it is to.
    fn take(&mut self, stream: u32, len: usize) {
        self.content += len;
        self.taken += len;
        if len == 0 {
            return;
        }
        let widen = |id, len| frame(WINDOW_UPDATE, 0, id, &u32::try_from(len).unwrap().to_be_bytes());
        if self.estimates && self.pinging == 0 {
            let taken = widen(0, std::mem::take(&mut self.taken));
            let ping = frame(PING, 0, 0, &[2, 4, 16, 16, 9, 14, 7, 7]);
            let _ = self.stream.write_all(&[taken, ping].concat());
            self.pinging = 1;
        }
        if self.widens {
            let both = [stream, 0].map(|id| widen(id, len)).concat();
            let _ = self.stream.write_all(&[both, frame(PING, 0, 0, b"bandwidt")].concat());
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

    /// Acknowledges what was not, and from now on everything.
    pub fn answer(&mut self) {
        self.answers = true;
        let answers = std::mem::take(&mut self.unanswered);
        self.send(&answers, 0);
    }

    /// Waits until streams have a response or were refused, so many in all.
    ///
    /// # Panics
    /// They are not.
    pub fn until_settled(&mut self, count: usize) {
        self.until("streams to be served or refused", |peer| peer.responses + peer.refused >= count);
    }

    /// Waits until the gateway has named the last stream that it serves, so many times.
    ///
    /// # Panics
    /// It does not.
    pub fn until_last_streams(&mut self, count: usize) {
        self.until("GOAWAY", |peer| peer.last_streams.len() >= count);
    }

    /// Waits until the gateway closes.
    ///
    /// # Panics
    /// It does not.
    pub fn until_closed(&mut self) {
        self.until("the end", |peer| peer.closed);
    }

    /// Waits until so many streams were reset.
    ///
    /// # Panics
    /// They are not.
    pub fn until_resets(&mut self, count: usize) {
        self.until("resets", |peer| peer.resets >= count);
    }

    /// Waits for GOAWAY.
    ///
    /// # Panics
    /// None comes.
    pub fn until_goaway(&mut self) {
        self.until("GOAWAY", |peer| peer.goaway.is_some());
    }

    /// Waits for so many bytes of content, over all streams.
    ///
    /// # Panics
    /// They do not come.
    pub fn until_content(&mut self, bytes: usize) {
        self.until("content", |peer| peer.content >= bytes);
    }

    /// Waits until so many responses are whole.
    ///
    /// # Panics
    /// They are not.
    pub fn until_ended(&mut self, count: usize) {
        self.until("whole responses", |peer| peer.ended >= count);
    }

    /// Waits until everything that was sent has been read.
    ///
    /// # Panics
    /// It is not.
    pub fn until_read(&mut self) {
        let before = self.pongs;
        self.send(&frame(PING, 0, 0, b"read all"), 1);
        self.until("the acknowledgement of a ping", |peer| peer.pongs > before);
    }

    /// Waits for so many responses.
    ///
    /// # Panics
    /// They do not come.
    pub fn until_responses(&mut self, count: usize) {
        self.until("responses", |peer| peer.responses >= count);
    }
}
