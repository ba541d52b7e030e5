//! Flags of the commands, and what is made of them.

mod timed;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sluice_bench::abusers::{AbusersSpec, Behavior};
use sluice_bench::id::Tag;
use sluice_bench::load::{LoadSpec, Mode};
use tokio::sync::Notify;

pub(crate) use timed::{Conversation, DatagramsArgs, EchoProtocol, HandshakesArgs, HoldArgs, MessagesArgs};

#[derive(clap::Args)]
pub(crate) struct LoadArgs {
    /// Address of the proxy.
    #[arg(long)]
    to: SocketAddr,
    /// The Host field.
    #[arg(long, default_value = "bench.example")]
    host: String,
    /// How requests use connections, and which way their bodies go.
    #[arg(long, value_enum, default_value_t = Mode::KeepAlive)]
    mode: Mode,
    /// Requests per second.
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
    /// Requests in all.
    #[arg(long, default_value_t = 10_000)]
    requests: u64,
    /// Connections at once; a request that is due while all are busy waits, and its latency counts on.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Streams at once on each connection, over HTTP/2.
    #[arg(long, default_value_t = 1)]
    streams: usize,
    /// Length of a body or message in bytes.
    #[arg(long, default_value_t = 128)]
    bytes: u64,
    /// Milliseconds that a download's or upload's body is spread over.
    #[arg(long, default_value_t = 0)]
    over_ms: u64,
    /// Seconds for one request, beyond --over-ms.
    #[arg(long, default_value_t = 10.0)]
    timeout: f64,
    /// Seconds for the whole run; by default its schedule, one request and half a minute.
    #[arg(long)]
    time_limit: Option<f64>,
    /// Six hexadecimal digits that tell this client's requests from another's; by default the process id.
    #[arg(long)]
    tag: Option<Tag>,
    /// The backend's own address, to ask it at the end which requests arrived twice.
    #[arg(long)]
    backend: Option<SocketAddr>,
    /// Send no more once the standard input ends; what is under way then comes to its end.
    #[arg(long)]
    until_input_ends: bool,
}

#[derive(clap::Args)]
pub(crate) struct AbusersArgs {
    /// Address of the proxy.
    #[arg(long)]
    to: SocketAddr,
    /// The Host field.
    #[arg(long, default_value = "bench.example")]
    host: String,
    /// Path and query of the requests.
    #[arg(long, default_value = "/download/100")]
    target: String,
    /// One more field of each head; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = field)]
    header: Vec<(String, String)>,
    /// Behaviour of each connection.
    #[arg(long = "manner", value_enum, value_name = "MANNER")]
    behavior: Behavior,
    /// Number of connections.
    #[arg(long, default_value_t = 1000)]
    connections: usize,
    /// Milliseconds between two requests or bytes of a connection; 0 asks only once.
    #[arg(long, default_value_t = 1000)]
    every_ms: u64,
    /// Wait before the first request as well, and each time at random with that mean: requests come at
    /// random moments.
    #[arg(long)]
    random: bool,
    /// Milliseconds until a connection that was ended is opened anew.
    #[arg(long, default_value_t = 1000)]
    pause_ms: u64,
}

fn seconds(name: &str, value: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(value).with_context(|| format!("{name} {value}: write seconds"))
}

/// `NAME=VALUE`; the value may have `=` in it.
fn field(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

impl AbusersArgs {
    pub(crate) fn spec(self) -> AbusersSpec {
        AbusersSpec {
            to: self.to,
            host: self.host,
            target: self.target,
            fields: self.header,
            behavior: self.behavior,
            connections: self.connections,
            every: Duration::from_millis(self.every_ms),
            random: self.random,
            pause: Duration::from_millis(self.pause_ms),
        }
    }
}

/// Notified once the standard input has ended. A thread of its own waits for that: one of the runtime's would be waited for
/// when the run is over.
fn end_of_input() -> Arc<Notify> {
    let ended = Arc::new(Notify::new());
    let notified = Arc::clone(&ended);
    thread::spawn(move || {
        // An input that cannot be read has ended, too.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        notified.notify_one();
    });
    ended
}

impl LoadArgs {
    pub(crate) fn spec(self) -> Result<LoadSpec> {
        let over = Duration::from_millis(self.over_ms);
        let timeout = seconds("--timeout", self.timeout)?;
        let schedule = seconds("--requests over --rate", self.requests as f64 / self.rate)?;
        let time_limit = match self.time_limit {
            Some(limit) => seconds("--time-limit", limit)?,
            None => schedule + timeout + over + Duration::from_secs(30),
        };
        Ok(LoadSpec {
            to: self.to,
            host: self.host,
            mode: self.mode,
            rate: self.rate,
            requests: self.requests,
            connections: self.connections,
            streams: self.streams,
            bytes: self.bytes,
            over,
            timeout,
            time_limit,
            tag: self.tag.unwrap_or(Tag::new(std::process::id())),
            backend: self.backend,
            stop: self.until_input_ends.then(end_of_input),
        })
    }
}
