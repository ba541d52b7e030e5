//! One request and its response.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{sleep_until, timeout};

use super::response::{ExpectedBody, Progress, ResponseVerifier};
use super::stats::RequestError;
use super::{LoadSpec, Mode};
use crate::id::RequestId;
use crate::pacer::{PIECE_SIZE, Pacer};
use crate::pattern::{Checksum, Pattern};
use crate::report::FailureKind;

/// Time for a response after sending has failed: it can only be on its way already.
const RESPONSE_GRACE: Duration = Duration::from_millis(500);

/// A connection and how far it has been used.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
    responses: u64,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, unread: Vec::new(), responses: 0 }
    }

    /// Waits until the other side ends the connection, or sends something that nobody asked for (such as a
    /// 408 before it closes).
    pub(super) async fn ended(&self) {
        loop {
            // An error is an end, too.
            if self.stream.readable().await.is_err() {
                return;
            }
            match self.stream.try_read(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    }
}

/// Sends the request and verifies the response; says whether the connection can be used again.
pub(super) async fn exchange(
    connection: &mut Connection,
    spec: &LoadSpec,
    id: RequestId,
) -> Result<bool, RequestError> {
    let mut response = ResponseVerifier::new(id, expected(spec, id));
    let earlier = connection.responses;
    let (reader, writer) = connection.stream.split();
    let mut receive = pin!(receive(reader, &mut connection.unread, &mut response, earlier));
    let mut send = pin!(send(writer, spec, id));
    // Both at once: an early response to an upload must not be taken for a broken pipe.
    let first = poll_fn(|cx| match receive.as_mut().poll(cx) {
        Poll::Ready(received) => Poll::Ready(Ok(received)),
        Poll::Pending => send.as_mut().poll(cx).map(Err),
    });
    let keep = match first.await {
        Ok(received) => {
            let keep = received?;
            // A correct response tells that the whole request has arrived: only the end of sending is
            // not reported yet.
            send.await.is_ok() && keep
        }
        Err(Ok(())) => receive.await?,
        Err(Err(error)) => match timeout(RESPONSE_GRACE, receive).await {
            Ok(Err(error)) if error.kind == FailureKind::Wrong => return Err(error),
            Ok(Ok(_)) => false,
            _ => return Err(transport_error(&error, "while the request was sent", earlier)),
        },
    };
    connection.responses += 1;
    Ok(keep)
}

fn expected(spec: &LoadSpec, id: RequestId) -> ExpectedBody {
    if spec.mode != Mode::Upload {
        return ExpectedBody::Pattern { pattern: Pattern::new(id.bits()), length: spec.bytes };
    }
    let (mut pattern, mut sum) = (Pattern::new(id.bits()), Checksum::default());
    let mut piece = [0; PIECE_SIZE];
    let mut left = spec.bytes;
    while left > 0 {
        let n = usize::try_from(left).map_or(PIECE_SIZE, |n| n.min(PIECE_SIZE));
        pattern.fill(&mut piece[..n]);
        sum.update(&piece[..n]);
        left -= n as u64;
    }
    ExpectedBody::Text(format!("{} {:016x}\n", spec.bytes, sum.value()))
}

async fn send(mut writer: WriteHalf<'_>, spec: &LoadSpec, id: RequestId) -> io::Result<()> {
    let LoadSpec { host, bytes, .. } = spec;
    let over = spec.over.as_millis();
    let request_line = match spec.mode {
        Mode::Upload => format!("POST /upload?id={id} HTTP/1.1\r\nContent-Length: {bytes}\r\n"),
        Mode::Download => {
            let chunked = id.bits() % 2;
            format!("GET /download/{bytes}?id={id}&over={over}&chunked={chunked} HTTP/1.1\r\n")
        }
        Mode::PerConnection => format!("GET /download/{bytes}?id={id} HTTP/1.1\r\nConnection: close\r\n"),
        _ => format!("GET /download/{bytes}?id={id} HTTP/1.1\r\n"),
    };
    writer.write_all(format!("{request_line}Host: {host}\r\nX-Bench-Id: {id}\r\n\r\n").as_bytes()).await?;
    if spec.mode != Mode::Upload {
        return Ok(());
    }
    let (pacer, mut pattern) = (Pacer::new(*bytes, spec.over), Pattern::new(id.bits()));
    let mut piece = [0; PIECE_SIZE];
    let mut done = 0;
    loop {
        let n = pacer.piece(done);
        if n == 0 {
            return Ok(());
        }
        if pacer.is_spread() {
            sleep_until(pacer.due(done)).await;
        }
        pattern.fill(&mut piece[..n]);
        writer.write_all(&piece[..n]).await?;
        done += n as u64;
    }
}

async fn receive(
    mut reader: ReadHalf<'_>,
    unread: &mut Vec<u8>,
    response: &mut ResponseVerifier,
    earlier: u64,
) -> Result<bool, RequestError> {
    loop {
        match response.advance(unread)? {
            Progress::Done { keep } if unread.is_empty() => return Ok(keep),
            Progress::Done { .. } => {
                return Err(RequestError::wrong(format!("{} bytes after the response's end", unread.len())));
            }
            Progress::More => {}
        }
        match reader.read_buf(unread).await {
            Ok(0) => {
                let detail = format!("closed {}, {}", response.progress(), usage(earlier));
                return Err(RequestError::new(FailureKind::ClosedEarly, detail));
            }
            Ok(_) => {}
            Err(error) => return Err(transport_error(&error, &response.progress(), earlier)),
        }
    }
}

fn transport_error(error: &io::Error, when: &str, earlier: u64) -> RequestError {
    RequestError::new(transport_error_kind(error), format!("{error} {when}, {}", usage(earlier)))
}

/// The kind of failure of a connection that was there.
pub(super) fn transport_error_kind(error: &io::Error) -> FailureKind {
    match error.kind() {
        io::ErrorKind::TimedOut => FailureKind::Timeout,
        // Writing to a connection that has been reset gives EPIPE once the reset has been reported.
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected => FailureKind::Reset,
        _ => FailureKind::Local,
    }
}

fn usage(earlier: u64) -> String {
    match earlier {
        0 => "on a new connection".to_owned(),
        n => format!("on a connection with {n} earlier responses"),
    }
}
