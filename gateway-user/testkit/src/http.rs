//! A plain blocking HTTP/1.1 client that shows every byte: tests must see what the gateway really sent.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::wait::WAIT_TIMEOUT;

/// One response, read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Header lines in order, names as sent.
    pub headers: Vec<(String, String)>,
    /// Body with any chunked coding removed.
    pub body: Vec<u8>,
    /// Trailer lines of a chunked body.
    pub trailers: Vec<(String, String)>,
}

impl Response {
    /// The first value of a header, compared without case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The body as text, lossily.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The gateway's reason code, if the response is its own.
    pub fn reason(&self) -> Option<&str> {
        self.header("x-sluice-reason")
    }
}

/// A connection that is written to and read from by hand: TCP, or anything over it.
#[derive(Debug)]
pub struct Client<S = TcpStream> {
    stream: S,
    unread: VecDeque<u8>,
}

impl From<TcpStream> for Client {
    /// Goes on with a connection as it is.
    fn from(stream: TcpStream) -> Self {
        Self { stream, unread: VecDeque::new() }
    }
}

impl Client {
    /// Connects with time limits far above anything seen, so that a hang fails the test instead
    /// of stopping it.
    ///
    /// # Errors
    /// The connection is refused.
    pub fn connect(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&to, WAIT_TIMEOUT)?;
        stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
        stream.set_write_timeout(Some(WAIT_TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: VecDeque::new() })
    }
}

impl<S: Read + Write> Client<S> {
    /// Speaks over `stream`, which nothing was read from.
    pub fn over(stream: S) -> Self {
        Self { stream, unread: VecDeque::new() }
    }

    /// The stream that carries the connection.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// The same, for another protocol.
    pub fn into_stream(self) -> S {
        self.stream
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Reads one response to a `GET`-like request; interim responses (1xx) are returned like any other.
    ///
    /// # Errors
    /// The connection ends or breaks before the response does, or the response is no HTTP/1.
    pub fn response(&mut self) -> io::Result<Response> {
        self.response_to("GET")
    }

    /// Reads one response to a request with `method`: `HEAD` has no body.
    ///
    /// # Errors
    /// As [`Client::response`].
    pub fn response_to(&mut self, method: &str) -> io::Result<Response> {
        let status_line = self.line()?;
        let status = status_line
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.get(2..5))
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| bad(format!("status line {status_line:?}")))?;
        let headers = self.fields()?;
        let mut response = Response { status, headers, body: Vec::new(), trailers: Vec::new() };
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Ok(response);
        }
        if response.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            loop {
                let size_line = self.line()?;
                let size = usize::from_str_radix(size_line.trim(), 16)
                    .map_err(|_| bad(format!("chunk size {size_line:?}")))?;
                if size == 0 {
                    response.trailers = self.fields()?;
                    return Ok(response);
                }
                let chunk = self.exactly(size)?;
                response.body.extend_from_slice(&chunk);
                if self.exactly(2)? != b"\r\n" {
                    return Err(bad("chunk without its CRLF".into()));
                }
            }
        }
        let length = response.header("content-length").map(str::parse::<usize>);
        response.body = match length {
            Some(Ok(n)) => self.exactly(n)?,
            Some(Err(_)) => return Err(bad("content-length".into())),
            None => self.rest()?,
        };
        Ok(response)
    }

    /// Sends a `GET` and reads the response.
    ///
    /// # Errors
    /// As [`Client::response`].
    pub fn get(&mut self, host: &str, target: &str) -> io::Result<Response> {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))?;
        self.response()
    }

    /// Reads everything up to the end of the connection.
    ///
    /// # Errors
    /// The connection breaks (a reset).
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut all: Vec<u8> = self.unread.drain(..).collect();
        self.stream.read_to_end(&mut all)?;
        Ok(all)
    }

    /// True if the other side has closed and nothing is left to read; waits for it.
    ///
    /// # Errors
    /// The connection breaks (a reset) or stays open.
    pub fn at_end(&mut self) -> io::Result<bool> {
        if !self.unread.is_empty() {
            return Ok(false);
        }
        Ok(self.stream.read(&mut [0])? == 0)
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut buf = [0; 16 * 1024];
        let n = self.stream.read(&mut buf)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.unread.extend(buf.get(..n).unwrap_or_default());
        Ok(())
    }

    fn exactly(&mut self, n: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < n {
            self.fill()?;
        }
        Ok(self.unread.drain(..n).collect())
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.unread.iter().position(|b| *b == b'\n') {
                let mut line: Vec<u8> = self.unread.drain(..=at).collect();
                line.truncate(at);
                if line.pop() != Some(b'\r') {
                    return Err(bad("line without CR".into()));
                }
                return String::from_utf8(line).map_err(|_| bad("line is no text".into()));
            }
            self.fill()?;
        }
    }

    fn fields(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line.split_once(':').ok_or_else(|| bad(format!("header line {line:?}")))?;
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }
}

/// One `GET` on a connection of its own.
///
/// # Errors
/// As [`Client::response`].
pub fn get(to: SocketAddr, host: &str, target: &str) -> io::Result<Response> {
    Client::connect(to)?.get(host, target)
}

/// True if nothing comes, and the connection does not end, within `wait`.
///
/// # Errors
/// The connection breaks, or the socket refuses a read limit.
pub fn is_silent(client: &Client, wait: Duration) -> io::Result<bool> {
    client.stream().set_read_timeout(Some(wait))?;
    let seen = client.stream().peek(&mut [0]);
    client.stream().set_read_timeout(Some(WAIT_TIMEOUT))?;
    match seen {
        Ok(_) => Ok(false),
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(true),
        Err(e) => Err(e),
    }
}

fn bad(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("response is not well-formed: {what}"))
}
