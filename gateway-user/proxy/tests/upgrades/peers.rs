//! The two ends of a tunnel, on plain sockets.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};

use gateway_http::websocket::Accept;

use crate::support::Gateway;
use crate::support::backend::{Backend, Exchange, Request};

pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A client that has sent a request, and reads whatever comes.
pub(crate) struct Peer {
    reader: BufReader<TcpStream>,
    stream: TcpStream,
}

/// A handshake of WebSocket for `target`.
pub(crate) fn handshake(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    )
}

/// The response that fits the key of a request.
pub(crate) fn switch(request: &Request) -> Vec<u8> {
    switch_for(request.header("sec-websocket-key").unwrap_or_default())
}

/// The response that fits a key.
pub(crate) fn switch_for(key: &str) -> Vec<u8> {
    let accept = Accept::of_key(key.as_bytes());
    let mut out = b"HTTP/1.1 101 Switching Protocols\r\nServer: x\r\nUpgrade: WebSocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Accept: "
        .to_vec();
    out.extend_from_slice(accept.as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    out
}

/// A backend that switches, then sends back what it gets until its client has finished.
pub(crate) fn echo() -> Backend {
    Backend::start(|mut exchange| {
        let Some(request) = exchange.head() else { return };
        if exchange.stream.write_all(&switch(&request)).is_err() {
            return;
        }
        while let Ok(Some(byte)) = exchange.byte() {
            if exchange.stream.write_all(&[byte]).is_err() {
                return;
            }
        }
    })
}

/// A backend whose tunnel `serve` has, once it has switched.
pub(crate) fn switched(serve: impl Fn(&mut Exchange) + Send + Sync + 'static) -> Backend {
    Backend::start(move |mut exchange| {
        let Some(request) = exchange.head() else { return };
        if exchange.stream.write_all(&switch(&request)).is_ok() {
            serve(&mut exchange);
        }
    })
}

impl Peer {
    /// Connects and sends a request.
    pub(crate) fn send(gateway: &Gateway, request: impl AsRef<[u8]>) -> Self {
        let stream = gateway.connect().stream().try_clone().unwrap();
        let mut peer = Self { reader: BufReader::new(stream.try_clone().unwrap()), stream };
        peer.write(request);
        peer
    }

    /// A tunnel to the only backend.
    pub(crate) fn connect(gateway: &Gateway) -> Self {
        let mut peer = Self::send(gateway, handshake("/"));
        assert!(peer.head().starts_with("HTTP/1.1 101 "));
        peer
    }

    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// The head of a response, as text.
    pub(crate) fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.reader.read_line(&mut head).unwrap() > 0, "the end within {head:?}");
        }
        head
    }

    /// So many bytes.
    pub(crate) fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Everything up to the end.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader.read_to_end(&mut bytes).map(|_| bytes)
    }

    /// Says that nothing more comes.
    pub(crate) fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Closes with a reset.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }
}
