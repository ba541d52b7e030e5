//! The behaviour of one connection of abusers.

use std::io;

use clap::ValueEnum;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::time::{Duration, sleep};

use super::AbusersSpec;
use super::handshake::handshake;
use crate::response_length::response_length;

/// How a connection is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Behavior {
    /// Asks and reads the response, then stays idle, or asks again after a while.
    Ask,
    /// Asks and never reads.
    Stall,
    /// Asks and reads as fast as it can.
    Read,
    /// Sends a head byte by byte.
    DripHead,
    /// Sends a body byte by byte.
    DripBody,
    /// Sends a body without an end as fast as it can.
    Upload,
    /// Makes a full TLS handshake, and leaves.
    Handshake,
}

/// Length of the body that [`Behavior::DripBody`] promises.
const DECLARED_LENGTH: usize = 1_000_000;
/// Length of a chunk of an endless body.
const CHUNK: usize = 32 * 1024;
/// Interval at which [`until_closed`] polls.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

impl Behavior {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Ask, Self::Stall, Self::Read, Self::DripHead, Self::DripBody, Self::Upload, Self::Handshake];

    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Stall => "stall",
            Self::Read => "read",
            Self::DripHead => "drip-head",
            Self::DripBody => "drip-body",
            Self::Upload => "upload",
            Self::Handshake => "handshake",
        }
    }

    /// Uses `stream` up to its end; `begun` is called after the first step.
    pub(super) async fn run(
        self,
        mut stream: TcpStream,
        spec: &AbusersSpec,
        mut begun: impl FnMut(),
    ) -> io::Result<()> {
        let head = |method: &str, fields: &str| {
            let AbusersSpec { target, host, .. } = spec;
            let more: String =
                spec.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}{more}\r\n")
        };
        match self {
            Self::Ask => {
                let (head, mut wait) = (head("GET", ""), RequestInterval::new(spec, &stream));
                if spec.random {
                    sleep(wait.next()).await;
                }
                loop {
                    stream.write_all(head.as_bytes()).await?;
                    read_response(&mut stream).await?;
                    begun();
                    match spec.every.is_zero() {
                        true => return read_to_end_of_stream(&mut stream).await,
                        false => sleep(wait.next()).await,
                    }
                }
            }
            Self::Stall => {
                stream.write_all(head("GET", "").as_bytes()).await?;
                begun();
                until_closed(&stream).await;
                Ok(())
            }
            Self::Read => {
                stream.write_all(head("GET", "").as_bytes()).await?;
                begun();
                read_to_end_of_stream(&mut stream).await
            }
            Self::DripHead => {
                let endless = format!("GET {} HTTP/1.1\r\nHost: {}\r\nX: ", spec.target, spec.host);
                let bytes = endless.into_bytes().into_iter().chain(std::iter::repeat(b'x'));
                drip(&mut stream, bytes, spec.every, begun).await
            }
            Self::DripBody => {
                let fields = format!("Content-Length: {DECLARED_LENGTH}\r\n");
                stream.write_all(head("POST", &fields).as_bytes()).await?;
                drip(&mut stream, std::iter::repeat_n(b'x', DECLARED_LENGTH), spec.every, begun).await
            }
            Self::Handshake => handshake(&mut stream, &spec.host, begun).await,
            Self::Upload => {
                stream.write_all(head("POST", "Transfer-Encoding: chunked\r\n").as_bytes()).await?;
                begun();
                let chunk = format!("{CHUNK:x}\r\n{}\r\n", "x".repeat(CHUNK));
                loop {
                    stream.write_all(chunk.as_bytes()).await?;
                }
            }
        }
    }
}

/// Times between the requests of one connection.
struct RequestInterval {
    mean: Duration,
    /// A state of xorshift64, never 0; `None` where times are even.
    random: Option<u64>,
}

impl RequestInterval {
    fn new(spec: &AbusersSpec, stream: &TcpStream) -> Self {
        let port = stream.local_addr().map_or(0, |address| u64::from(address.port()));
        let random = spec.random.then_some((port + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self { mean: spec.every, random }
    }

    fn next(&mut self) -> Duration {
        let Some(state) = &mut self.random else { return self.mean };
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        let uniform = ((*state >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
        self.mean.mul_f64(-uniform.ln())
    }
}

/// Waits until the other side has closed or reset `stream`, and reads nothing of what it sent before.
pub async fn until_closed(stream: &TcpStream) {
    // Readiness stays while there is something to read, so this polls.
    while stream.ready(Interest::READABLE).await.is_ok_and(|ready| !ready.is_read_closed()) {
        sleep(POLL_INTERVAL).await;
    }
}

/// A byte each time; ends when they are all sent or nobody takes them any more.
async fn drip(
    stream: &mut TcpStream,
    bytes: impl Iterator<Item = u8>,
    every: Duration,
    mut begun: impl FnMut(),
) -> io::Result<()> {
    for byte in bytes {
        stream.write_u8(byte).await?;
        begun();
        sleep(every).await;
    }
    Ok(())
}

async fn read_to_end_of_stream(stream: &mut TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Reads a response of any status that says its length.
async fn read_response(stream: &mut TcpStream) -> io::Result<()> {
    let mut response = Vec::new();
    loop {
        if stream.read_buf(&mut response).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if response_length(&response)?.is_some_and(|(_, length)| response.len() >= length) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn random_times_have_the_mean_that_is_asked_for() {
        let mut wait = RequestInterval { mean: Duration::from_millis(100), random: Some(7) };
        let times: Vec<f64> = (0..10_000).map(|_| wait.next().as_secs_f64()).collect();
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        assert!((0.09..0.11).contains(&mean), "{mean}");
        assert!(times.iter().any(|time| *time < 0.01) && times.iter().any(|time| *time > 0.3));
    }

    #[tokio::test]
    async fn an_end_is_seen_behind_what_is_not_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut other, _) = listener.accept().await.unwrap();
        other.write_all(b"unread").await.unwrap();
        tokio::select! {
            () = until_closed(&stream) => panic!("it is still there"),
            () = sleep(2 * POLL_INTERVAL) => {}
        }
        drop(other);
        until_closed(&stream).await;
    }
}
