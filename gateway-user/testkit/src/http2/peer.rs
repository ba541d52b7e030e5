//! A client by hand, which does what no library would.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::frames::{
    DATA, END_HEADERS, END_STREAM, GET, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame,
    settings,
};
use crate::wait::WAIT_TIMEOUT;

/// One side of a connection, with what the gateway has said so far.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    inbox: Vec<u8>,
    /// The code of the last GOAWAY.
    pub goaway: Option<u32>,
    /// Heads of responses.
    pub responses: usize,
    /// Streams that were reset.
    pub resets: usize,
    /// The gateway has closed the connection.
    pub closed: bool,
    /// Frames sent.
    pub sent: usize,
    /// Bytes of content that came.
    pub content: usize,
    /// For each piece of content that comes, the windows of its stream and of the connection are widened, and a ping is
    /// sent: as Java and grpc-go do, who do one of them each.
    pub widens: bool,
}

impl Peer {
    /// A connection whose preface and settings are sent.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn connect(to: SocketAddr) -> Self {
        Self::with(to, &[])
    }

    /// The same with settings of its own.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn with(to: SocketAddr, values: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut peer = Self {
            stream,
            inbox: Vec::new(),
            goaway: None,
            responses: 0,
            resets: 0,
            closed: false,
            sent: 0,
            content: 0,
            widens: false,
        };
        peer.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        peer.stream.write_all(&settings(values)).unwrap();
        peer
    }

    /// Sends bytes that are `frames` frames; false once the gateway takes no more.
    pub fn send(&mut self, bytes: &[u8], frames: usize) -> bool {
        if !self.closed && self.stream.write_all(bytes).is_err() {
            self.closed = true;
        }
        self.sent += frames;
        !self.closed
    }

    /// A whole request on a stream.
    pub fn get(&mut self, stream: u32) -> bool {
        self.send(&frame(HEADERS, END_STREAM | END_HEADERS, stream, GET), 1)
    }

    /// Takes what has come, waiting for it at most that long.
    ///
    /// # Panics
    /// The socket takes no time-out.
    pub fn look(&mut self, wait: Duration) {
        let mut buffer = [0; 64 << 10];
        self.stream.set_read_timeout(Some(wait.max(Duration::from_millis(1)))).unwrap();
        match self.stream.read(&mut buffer) {
            Ok(0) => self.closed = true,
            Ok(len) => {
                self.inbox.extend_from_slice(&buffer[..len]);
                self.read_frames();
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => self.closed = true,
        }
    }

    fn read_frames(&mut self) {
        while let Some(&[a, b, c, kind, flags, ..]) = self.inbox.get(..9) {
            let end = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
            let id = self.inbox.get(5..9).map_or(0, |id| u32::from_be_bytes(id.try_into().unwrap()));
            let Some(payload) = self.inbox.get(9..end) else { return };
            match kind {
                GOAWAY => {
                    self.goaway = payload.get(4..8).map(|code| u32::from_be_bytes(code.try_into().unwrap()))
                }
                HEADERS => self.responses += 1,
                DATA => {
                    self.content += payload.len();
                    let more = u32::try_from(payload.len()).unwrap().to_be_bytes();
                    if self.widens && !payload.is_empty() {
                        let both = [id, 0].map(|id| frame(WINDOW_UPDATE, 0, id, &more)).concat();
                        let _ = self.stream.write_all(&[both, frame(PING, 0, 0, b"bandwidt")].concat());
                    }
                }
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

    /// Waits until the gateway closes.
    ///
    /// # Panics
    /// It does not.
    pub fn until_closed(&mut self) {
        self.until("the end", |peer| peer.closed);
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

    /// Waits for so many responses.
    ///
    /// # Panics
    /// They do not come.
    pub fn until_responses(&mut self, count: usize) {
        self.until("responses", |peer| peer.responses >= count);
    }
}
