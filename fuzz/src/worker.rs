//! Whole workers with a backend, started once for all inputs: what clients send them is the input.

// The tests' own way to start a worker.
#[path = "../../gateway-user/proxy/tests/support/mod.rs"]
mod support;

use std::cell::Cell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use gateway_http::websocket::Accept;
use gateway_io::Driver;
use gateway_proxy::ProxyConfig;
use gateway_testkit::http::Client;
use serde_json::json;

use support::Gateway;
use support::backend::{Exchange, Request, ok};
use support::ir::Config;

/// Time after which something hangs: below libFuzzer's own limit, so that it is told what.
pub const HANGS: Duration = Duration::from_secs(8);

/// Inputs between two looks at the buffers, whose number is told some times a second only.
const LOOK_EVERY: u32 = 100;

/// A socket whose reads go on after libFuzzer's timer.
pub struct Steady(pub TcpStream);

impl Read for Steady {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        }
    }
}

impl Write for Steady {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A worker that serves by a backend.
pub struct Worker {
    gateway: Gateway,
    looks: Cell<u32>,
}

impl Worker {
    /// The one that runs on io_uring, or the one on epoll. They live as long as the process.
    pub fn on(uring: bool) -> &'static Self {
        thread_local! {
            static WORKERS: &'static [Worker; 2] = {
                let config = Config::to(serve_backend());
                Box::leak(Box::new([Driver::Epoll, Driver::UringDefer].map(|driver| Worker::start(driver, &config))))
            };
        }
        WORKERS.with(|workers| &workers[usize::from(uring)])
    }

    /// Those before a backend that speaks HTTP/2, the one on epoll first.
    pub fn before_h2(backend: SocketAddr) -> [Self; 2] {
        [Driver::Epoll, Driver::UringDefer].map(|driver| Self::start(driver, &Config::to_h2(backend)))
    }

    fn start(driver: Driver, config: &Config) -> Self {
        let proxy = ProxyConfig { request_trailers: true, ..ProxyConfig::default() };
        Self { gateway: Gateway::with(driver, config, proxy), looks: Cell::default() }
    }

    /// A connection of a client.
    pub fn connect(&self) -> Steady {
        let stream = TcpStream::connect_timeout(&self.gateway.address, HANGS).expect("the worker accepts");
        stream.set_read_timeout(Some(HANGS)).expect("a socket has time-outs");
        stream.set_write_timeout(Some(HANGS)).expect("a socket has time-outs");
        stream.set_nodelay(true).expect("a socket has no delay");
        Steady(stream)
    }

    /// Panics unless the worker serves as if nothing had been: clients that are gone have left nothing.
    pub fn assert_sound(&self) {
        let response = Client::over(self.connect()).get("b.example", "/probe");
        let response = response.unwrap_or_else(|error| {
            panic!("no response to somebody else, {error}: {:?}", self.gateway.metrics().counters)
        });
        assert_eq!((response.status, response.reason()), (200, None), "{}", response.text());
        let looks = self.looks.replace(self.looks.get().wrapping_add(1));
        let end = Instant::now() + HANGS;
        loop {
            let counters = self.gateway.metrics().counters;
            assert_eq!(counters.panics, 0);
            let open = [counters.connections, counters.active_requests, counters.tunnels];
            if open == [0; 3] && (!looks.is_multiple_of(LOOK_EVERY) || counters.buffer_bytes == 0) {
                break;
            }
            assert!(Instant::now() < end, "something is left: {counters:?}");
            thread::sleep(Duration::from_micros(100));
        }
        for line in self.gateway.take_log().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let read: Result<serde_json::Value, _> = serde_json::from_slice(line);
            assert!(read.is_ok(), "no line of JSON: {}", line.escape_ascii());
        }
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\n";

/// A backend that lives as long as the process.
fn serve_backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a port");
    let address = listener.local_addr().expect("it has an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // It ends when the worker does not want the connection any more.
            thread::spawn(|| {
                let mut exchange = Exchange::over(stream, 0);
                while answer(&mut exchange).is_some() {}
            });
        }
    });
    address
}

/// Answers one request by what its target asks for; none if the connection is to end.
fn answer(exchange: &mut Exchange) -> Option<()> {
    let mut request = exchange.head()?;
    let path = request.target.split('?').next().unwrap_or_default().to_owned();
    if path == "/early" {
        exchange.stream.write_all(&ok("early")).ok()?;
        return exchange.body(&mut request).ok();
    }
    if let Some(key) = request.header("sec-websocket-key") {
        return tunnel(exchange, key.to_owned());
    }
    exchange.body(&mut request).ok()?;
    if path == "/interim" {
        exchange.stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").ok()?;
    }
    let mut answer = match path.as_str() {
        "/chunked" => chunked(&request),
        "/large" => ok([b'l'; 40_000]),
        "/cut" => b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut".to_vec(),
        "/broken" => b"HTTP/1.1 2000 OK\r\n\r\n".to_vec(),
        _ => ok(seen(&request)),
    };
    if request.method == "HEAD" {
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
        answer.truncate(head);
    }
    if answer.starts_with(OK) {
        // The gateway would give it one that differs each time.
        answer.splice(OK.len()..OK.len(), *b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
    }
    exchange.stream.write_all(&answer).ok()?;
    (!matches!(path.as_str(), "/cut" | "/broken")).then_some(())
}

/// A request as it came, without what differs each time and without its framing.
fn seen(request: &Request) -> String {
    const OWN: [&str; 4] = ["x-request-id", "x-forwarded-port", "transfer-encoding", "content-length"];
    let mut hash = DefaultHasher::new();
    request.body.hash(&mut hash);
    let fields: Vec<_> = request
        .headers
        .iter()
        .filter(|(name, _)| !OWN.contains(&name.to_ascii_lowercase().as_str()))
        .collect();
    json!([request.method, request.target, fields, request.body.len(), hash.finish(), request.trailers])
        .to_string()
}

/// The same in two chunks, with a trailer.
fn chunked(request: &Request) -> Vec<u8> {
    let text = seen(request).into_bytes();
    let mut out = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for part in text.chunks(text.len().div_ceil(2)) {
        out.extend([format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat());
    }
    out.extend(b"0\r\nx-end: 1\r\n\r\n");
    out
}

/// Gives back each byte of a tunnel.
fn tunnel(exchange: &mut Exchange, key: String) -> Option<()> {
    let accept = Accept::of_key(key.as_bytes());
    let head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ";
    exchange.stream.write_all(&[head, accept.as_bytes(), b"\r\n\r\n"].concat()).ok()?;
    while let Ok(Some(byte)) = exchange.byte() {
        exchange.stream.write_all(&[byte]).ok()?;
    }
    None
}
