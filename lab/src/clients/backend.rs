//! A backend that responds early, closes at once or delays its response, and verifies every
//! byte that it gets.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocket};

use super::content;

/// Time that `/late` takes for its response.
const LATE_DELAY: Duration = Duration::from_millis(300);
/// Time between two pieces of `/stream`.
const PIECE_INTERVAL: Duration = Duration::from_millis(100);

/// A server on a thread of its own, and one for each connection.
pub(super) struct Backend {
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
    ended: Arc<AtomicBool>,
    browser: Arc<Browser>,
}

/// The page for a browser, and the reports that it sends back.
#[derive(Default)]
pub(super) struct Browser {
    page: Mutex<String>,
    reports: Mutex<Vec<String>>,
}

impl Browser {
    /// Sets the page at `/page`, and forgets all reports.
    pub(super) fn show(&self, page: String) {
        *self.page.lock().unwrap_or_else(PoisonError::into_inner) = page;
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Contents of requests for `/report` since.
    pub(super) fn reports(&self) -> Vec<String> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Backend {
    pub(super) fn start(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).with_context(|| format!("a backend on {address}"))?;
        let (ended, browser) = (Arc::new(AtomicBool::new(false)), Arc::new(Browser::default()));
        let (over, shared) = (Arc::clone(&ended), Arc::clone(&browser));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let browser = Arc::clone(&shared);
                if let Ok(stream) = stream {
                    // A connection that breaks is the client's or the gateway's affair: it shows there.
                    thread::spawn(move || serve(stream, &browser));
                }
            }
        });
        Ok(Self { address, thread: Some(thread), ended, browser })
    }

    pub(super) fn browser(&self) -> &Browser {
        &self.browser
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread.
        let woken = TcpStream::connect(self.address).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

struct Connection {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

struct Request {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
}

/// Serves requests until the connection ends.
fn serve(stream: TcpStream, browser: &Browser) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = Connection { reader: BufReader::new(stream.try_clone()?), writer: stream };
    while let Some(request) = connection.head()? {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        match path {
            "/early-401" => {
                connection.respond(&request, "401 Unauthorized", "", b"early\n")?;
                connection.read_content(&request, |_| ())?;
            }
            "/early-413" => return connection.respond(&request, "413 Content Too Large", CLOSE, b"early\n"),
            "/receive" => {
                let received = connection.receive(&request)?;
                connection.respond(&request, "200 OK", "", received.as_bytes())?;
            }
            "/report" => {
                let mut report = Vec::new();
                connection.read_content(&request, |piece| report.extend_from_slice(piece))?;
                let report = String::from_utf8_lossy(&report).into_owned();
                browser.reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
                connection.respond(&request, "200 OK", "", b"")?;
            }
            "/page" => {
                let page = browser.page.lock().unwrap_or_else(PoisonError::into_inner).clone();
                connection.respond(&request, "200 OK", "Content-Type: text/html\r\n", page.as_bytes())?;
            }
            "/gzip" if request.field("accept-encoding").is_some_and(|value| value.contains("gzip")) => {
                connection.respond(&request, "200 OK", "Content-Encoding: gzip\r\n", &content::gzip())?;
            }
            "/large" => {
                let whole = content::pattern(query.parse().unwrap_or(0));
                connection.respond(&request, "200 OK", "", &whole)?;
            }
            "/stream" => connection.stream()?,
            "/websocket" => return connection.echo(&request),
            "/late" => {
                thread::sleep(LATE_DELAY);
                connection.respond(&request, "200 OK", "", content::TEXT)?;
            }
            "/trailers" => connection.respond_with_trailers()?,
            "/text" => connection.respond(&request, "200 OK", "", content::TEXT)?,
            _ => connection.respond(&request, "404 Not Found", "", b"")?,
        }
    }
    Ok(())
}

const CLOSE: &str = "Connection: close\r\n";

impl Request {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

impl Connection {
    /// A line without its end; none at the end of the connection.
    fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        let length = self.reader.read_line(&mut line)?;
        Ok((length > 0).then(|| line.trim_end().to_owned()))
    }

    fn head(&mut self) -> io::Result<Option<Request>> {
        let Some(line) = self.line()? else { return Ok(None) };
        let mut words = line.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut fields = Vec::new();
        while let Some(line) = self.line()?.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(Some(Request { method, target, fields }))
    }

    fn respond(&mut self, request: &Request, status: &str, fields: &str, content: &[u8]) -> io::Result<()> {
        let length = content.len();
        write!(self.writer, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{fields}\r\n")?;
        match request.method.as_str() {
            "HEAD" => Ok(()),
            _ => self.writer.write_all(content),
        }
    }

    /// The short text as one chunk, and a trailer.
    fn respond_with_trailers(&mut self) -> io::Result<()> {
        let (length, (name, value)) = (content::TEXT.len(), content::TRAILER);
        write!(
            self.writer,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: {name}\r\n\r\n{length:x}\r\n"
        )?;
        self.writer.write_all(content::TEXT)?;
        write!(self.writer, "\r\n0\r\n{name}: {value}\r\n\r\n")
    }

    /// A head at once, and its content piece by piece.
    fn stream(&mut self) -> io::Result<()> {
        let length = content::PIECE.len() * content::PIECES;
        write!(self.writer, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")?;
        for _ in 0..content::PIECES {
            self.writer.write_all(content::PIECE)?;
            thread::sleep(PIECE_INTERVAL);
        }
        Ok(())
    }

    /// Sends each message back, until the client closes.
    fn echo(mut self, request: &Request) -> io::Result<()> {
        let accept = derive_accept_key(request.field("sec-websocket-key").unwrap_or_default().as_bytes());
        write!(
            self.writer,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )?;
        // A client sends nothing before it has the response.
        let mut socket = WebSocket::from_raw_socket(self.writer, Role::Server, None);
        loop {
            match socket.read() {
                Ok(message) if message.is_binary() || message.is_text() => {
                    socket.send(message).map_err(io::Error::other)?;
                }
                Ok(_) => {}
                Err(_) => return Ok(()),
            }
        }
    }

    /// Reads the pattern; says how much of it came.
    fn receive(&mut self, request: &Request) -> io::Result<String> {
        if request.field("expect").is_some() {
            self.writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let pattern = content::pattern(content::PERIOD + PIECE);
        let (mut size, mut whole) = (0, true);
        self.read_content(request, |piece| {
            let from = size % content::PERIOD;
            whole &= pattern.get(from..from + piece.len()) == Some(piece);
            size += piece.len();
        })?;
        Ok(if whole { content::received(size) } else { format!("received {size} bytes, not the pattern\n") })
    }

    fn read_content(&mut self, request: &Request, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        if request.field("transfer-encoding").is_none() {
            let length = request.field("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
            return self.read_exactly(length, &mut take);
        }
        loop {
            let line = self.line()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let length = usize::from_str_radix(&line, 16).map_err(|_| io::ErrorKind::InvalidData)?;
            self.read_exactly(length, &mut take)?;
            // The chunk's end, and with the last one that of all trailers: nobody here sends any.
            self.line()?;
            if length == 0 {
                return Ok(());
            }
        }
    }

    fn read_exactly(&mut self, mut length: usize, take: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let mut buffer = vec![0; PIECE];
        while length > 0 {
            let piece = buffer.get_mut(..length.min(PIECE)).unwrap_or_default();
            let read = self.reader.read(piece)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            take(piece.get(..read).unwrap_or_default());
            length -= read;
        }
        Ok(())
    }
}

/// Bytes that are read at a time.
const PIECE: usize = 64 * 1024;
