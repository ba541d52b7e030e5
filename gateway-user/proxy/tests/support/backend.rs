//! Backends on plain threads: what they do is written in the test.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use gateway_testkit::wait::WAIT_TIMEOUT;

/// A listening backend; dropping it closes its connections and waits for its threads.
pub struct Backend {
    address: SocketAddr,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    stop: AtomicBool,
    accepted: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
}

/// One connection at a backend.
pub struct Exchange {
    /// To write answers to.
    pub stream: TcpStream,
    reader: BufReader<TcpStream>,
    /// Which connection of the backend this is, from 0.
    pub number: usize,
}

/// A request as the backend saw it.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Method token.
    pub method: String,
    /// Request target.
    pub target: String,
    /// Fields in order, names as sent.
    pub headers: Vec<(String, String)>,
    /// Body without framing.
    pub body: Vec<u8>,
    /// Trailer fields.
    pub trailers: Vec<(String, String)>,
}

impl Request {
    /// First value of a field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of a field.
    pub fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

impl Backend {
    /// Runs `serve` on a thread per connection.
    pub fn start(serve: impl Fn(Exchange) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = state.clone();
        let accepting = thread::spawn(move || accept_all(&listener, &shared, Arc::new(serve)));
        Self { address, state, accepting: Some(accepting) }
    }

    /// Answers every request with what `answer` makes of it, connection after connection.
    pub fn answering(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start(move |mut exchange| {
            while let Some(request) = exchange.request() {
                if exchange.stream.write_all(&answer(&request)).is_err() {
                    return;
                }
            }
        })
    }

    /// Answers 200 with `name` as the body.
    pub fn named(name: &'static str) -> Self {
        Self::answering(move |_| ok(name))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections so far.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        for stream in self.state.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the accept call, which then sees the flag.
        let _ = TcpStream::connect_timeout(&self.address, WAIT_TIMEOUT);
        if let Some(thread) = self.accepting.take() {
            let _ = thread.join();
        }
    }
}

fn accept_all<F: Fn(Exchange) + Send + Sync + 'static>(listener: &TcpListener, state: &State, serve: Arc<F>) {
    let mut threads = Vec::new();
    while let Ok((stream, _)) = listener.accept() {
        if state.stop.load(Ordering::SeqCst) {
            break;
        }
        let number = state.accepted.fetch_add(1, Ordering::SeqCst);
        stream.set_read_timeout(Some(WAIT_TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(WAIT_TIMEOUT)).unwrap();
        stream.set_nodelay(true).unwrap();
        state.open.lock().unwrap_or_else(PoisonError::into_inner).push(stream.try_clone().unwrap());
        let serve = serve.clone();
        threads.push(thread::spawn(move || {
            let closer = stream.try_clone().unwrap();
            serve(Exchange::over(stream, number));
            // The list above holds a copy of the socket: dropping ours alone would not close it.
            let _ = closer.shutdown(Shutdown::Both);
        }));
    }
    for stream in state.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        let _ = stream.shutdown(Shutdown::Both);
    }
    for thread in threads {
        let _ = thread.join();
    }
}

impl Exchange {
    /// Speaks over `stream`, the connection `number`.
    pub fn over(stream: TcpStream, number: usize) -> Self {
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { stream, reader, number }
    }

    /// Reads one whole request; `None` when the connection ends.
    pub fn request(&mut self) -> Option<Request> {
        let mut request = self.head()?;
        self.body(&mut request).ok()?;
        Some(request)
    }

    /// Reads a request's head only.
    pub fn head(&mut self) -> Option<Request> {
        let line = self.line().ok().filter(|line| !line.is_empty())?;
        let mut parts = line.split(' ');
        let mut request =
            Request { method: parts.next()?.into(), target: parts.next()?.into(), ..Request::default() };
        request.headers = self.fields().ok()?;
        Some(request)
    }

    /// Reads the body that the head announces.
    pub fn body(&mut self, request: &mut Request) -> io::Result<()> {
        if request.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            loop {
                let line = self.line()?;
                let size = usize::from_str_radix(&line, 16).map_err(io::Error::other)?;
                if size == 0 {
                    request.trailers = self.fields()?;
                    return Ok(());
                }
                self.exactly(size, &mut request.body)?;
                self.exactly(2, &mut Vec::new())?;
            }
        }
        let length = request.header("content-length").map_or(0, |v| v.parse().unwrap());
        self.exactly(length, &mut request.body)
    }

    /// Reads one byte, or sees the end.
    pub fn byte(&mut self) -> io::Result<Option<u8>> {
        let mut one = [0];
        Ok((self.reader.read(&mut one)? == 1).then_some(one[0]))
    }

    fn exactly(&mut self, n: usize, to: &mut Vec<u8>) -> io::Result<()> {
        let start = to.len();
        to.resize(start + n, 0);
        self.reader.read_exact(&mut to[start..])
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        let text = line.strip_suffix(b"\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn fields(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }
}

/// A 200 with a body of known length.
pub fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut out = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    out.extend_from_slice(body);
    out
}

/// A request's lines as JSON: what the backend saw.
pub fn echo(request: &Request) -> Vec<u8> {
    let fields = |list: &[(String, String)]| -> Vec<serde_json::Value> {
        list.iter().map(|(name, value)| serde_json::json!([name, value])).collect()
    };
    let seen = serde_json::json!({
        "method": request.method,
        "target": request.target,
        "headers": fields(&request.headers),
        "trailers": fields(&request.trailers),
        "length": request.body.len(),
    });
    ok(seen.to_string())
}
