//! A client that notes how much of a response it got and how its connection went on.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use gateway_testkit::wait::WAIT_TIMEOUT;
use socket2::SockRef;

use crate::case::Request;

/// A connection, and what came on it.
pub(crate) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    /// How it ended, if it has.
    end: Option<&'static str>,
}

impl Client {
    pub(crate) fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&to, WAIT_TIMEOUT).unwrap();
        stream.set_read_timeout(Some(WAIT_TIMEOUT)).unwrap();
        Self { stream, received: Vec::new(), end: None }
    }

    pub(crate) fn request(&mut self, request: Request, path: &str) {
        let (method, version, rest) = match request {
            Request::Get => ("GET", "1.1", "\r\n"),
            Request::Old => ("GET", "1.0", "\r\n"),
            Request::Post => ("POST", "1.1", "Content-Length: 0\r\n\r\n"),
            Request::Put => ("PUT", "1.1", "Content-Length: 6\r\n\r\nabcdef"),
            Request::Part => ("PUT", "1.1", "Content-Length: 6\r\n\r\nabc"),
        };
        write!(self.stream, "{method} {path} HTTP/{version}\r\nHost: a\r\n{rest}").unwrap();
    }

    pub(crate) fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Reads until bytes of this length, or the end, have come.
    pub(crate) fn read_at_least(&mut self, length: usize) {
        while self.received.len() < length && self.read() {}
    }

    /// Reads one final response as far as it comes: its status (`-` for none) and whether it is whole.
    pub(crate) fn response(&mut self) -> (String, &'static str) {
        loop {
            self.skip_interim();
            if self.is_whole() || !self.read() {
                break;
            }
        }
        match head_len(&self.received) {
            None => ("-".to_owned(), "none"),
            Some(_) => {
                let status = String::from_utf8_lossy(&self.received[9..12]).into_owned();
                (status, if self.is_whole() { "whole" } else { "cut" })
            }
        }
    }

    /// How the connection goes on: `kept` if another request is served on it.
    pub(crate) fn fate(mut self, request: Request) -> &'static str {
        self.received.clear();
        if self.end.is_none() {
            // A request whose body was not sent whole has no successor.
            if request == Request::Part
                || self.stream.write_all(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n").is_err()
            {
                let _ = self.stream.shutdown(Shutdown::Write);
            }
            self.read_at_least(12);
        }
        match self.end {
            _ if self.received.starts_with(b"HTTP/1.1 ") => "kept",
            end => end.unwrap_or("odd"),
        }
    }

    /// Receives; false at the end of the connection.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.end = Some("closed"),
            Ok(count) => self.received.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => self.end = Some("reset"),
            Err(error) => panic!("{error}"),
        }
        self.end.is_none()
    }

    fn skip_interim(&mut self) {
        while self.received.starts_with(b"HTTP/1.1 1")
            && let Some(length) = head_len(&self.received)
        {
            self.received.drain(..length);
        }
    }

    fn is_whole(&self) -> bool {
        let Some(length) = head_len(&self.received) else { return false };
        let (head, body) = self.received.split_at(length);
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        if head.contains("transfer-encoding: chunked") {
            return body.ends_with(b"0\r\n\r\n");
        }
        match head.split("content-length: ").nth(1) {
            Some(rest) => body.len() >= rest.split("\r\n").next().unwrap().parse().unwrap(),
            None => self.end == Some("closed"),
        }
    }
}

fn head_len(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}
