//! The open-loop client: requests start when they are due, not when earlier ones have got their response.
//!
//! A closed-loop client such as wrk sends nothing while it waits, so a pause of a second costs it a handful
//! of requests and hardly moves its percentiles (coordinated omission). Here every request has its moment,
//! and its latency counts from then.

mod arrivals;
mod client_task;
mod conversation;
mod exchange;
mod grpc;
mod http1;
mod http2;
mod queue;
mod response;
mod stats;
mod websocket;

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use tokio::sync::Notify;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::id::Tag;
use crate::report::Report;
use client_task::{Client, ClientTask, Shared};
use conversation::Talk;
use grpc::Call;
use http1::Http1;
use http2::{Http2, SharedConnection};
use queue::{Job, Queue};
use stats::RunStats;
use websocket::WebSocket;

/// How requests use connections, and which way their bodies go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// GET on connections that are kept as long as the other side allows.
    KeepAlive,
    /// GET with `Connection: close` on a connection of its own.
    PerConnection,
    /// As keep-alive; the response is spread over a time, every other one in chunks.
    Download,
    /// As keep-alive with a POST whose body is spread over a time.
    Upload,
    /// GET over HTTP/2 in clear text, several at a time on connections that take as many as they do.
    Http2,
    /// Messages on WebSockets that are kept, each sent back by `echo`.
    Websocket,
    /// Messages on calls of gRPC that go on, over HTTP/2 in clear text, each sent back by `echo`.
    Grpc,
}

/// A run.
#[derive(Clone, Debug)]
pub struct LoadSpec {
    /// The proxy, or the backend itself.
    pub to: SocketAddr,
    /// The Host field.
    pub host: String,
    /// Kind of requests.
    pub mode: Mode,
    /// Requests per second.
    pub rate: f64,
    /// Number of requests in all.
    pub requests: u64,
    /// Connections at once. A request that is due while all are busy waits, and its latency counts on.
    pub connections: usize,
    /// Streams at once on each connection in `Http2` and `Grpc`.
    pub streams: usize,
    /// Length of a body.
    pub bytes: u64,
    /// Time that a body is spread over in `Download` and `Upload`.
    pub over: Duration,
    /// Most time for one request, its connection included; `over` is added.
    pub timeout: Duration,
    /// Most time for the whole run; then requests without an end are missing.
    pub time_limit: Duration,
    /// Tells this client's requests from another's.
    pub tag: Tag,
    /// The backend's own address, to ask it at the end what it has seen.
    pub backend: Option<SocketAddr>,
    /// Ends the schedule early: what is under way then comes to its end.
    pub stop: Option<Arc<Notify>>,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::KeepAlive,
        Self::PerConnection,
        Self::Download,
        Self::Upload,
        Self::Http2,
        Self::Websocket,
        Self::Grpc,
    ];

    /// Those over HTTP/1.1, each request by itself.
    pub const HTTP1: [Self; 4] = [Self::KeepAlive, Self::PerConnection, Self::Download, Self::Upload];

    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeepAlive => "keep-alive",
            Self::PerConnection => "per-connection",
            Self::Download => "download",
            Self::Upload => "upload",
            Self::Http2 => "http2",
            Self::Websocket => "websocket",
            Self::Grpc => "grpc",
        }
    }

    /// True if one request takes seconds by design.
    pub const fn is_transfer(self) -> bool {
        matches!(self, Self::Download | Self::Upload)
    }

    /// True if requests are messages of a conversation that lasts as long as the run.
    pub const fn is_conversation(self) -> bool {
        matches!(self, Self::Websocket | Self::Grpc)
    }

    /// True for requests that end at once, each by itself.
    pub const fn is_short(self) -> bool {
        !self.is_transfer() && !self.is_conversation()
    }
}

impl LoadSpec {
    /// Length of the schedule: `requests` divided by `rate`.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.requests as f64 / self.rate)
    }
}

/// Runs `spec` to its end on this thread. Needs a tokio runtime with I/O and time.
///
/// # Errors
/// The rate is not a positive number, or the backend does not say what it has seen. Failed requests are no
/// errors but the report's content.
pub async fn load(spec: LoadSpec) -> io::Result<Report> {
    if !(spec.rate.is_finite() && spec.rate > 0.0) {
        let text = format!("a rate of {} requests per second cannot be kept", spec.rate);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    LocalSet::new().run_until(run(Rc::new(spec))).await
}

async fn run(spec: Rc<LoadSpec>) -> io::Result<Report> {
    let start = Instant::now();
    let stats = Rc::new(RunStats::new(start));
    let queue = Rc::new(Queue::default());
    let shared = Shared { spec: Rc::clone(&spec), queue: Rc::clone(&queue), stats: Rc::clone(&stats) };
    let mut tasks = start_clients(&shared);
    let end = start + spec.time_limit;
    let planned = Cell::new(spec.requests);
    let all = async {
        planned.set(put_all(&spec, &queue, start).await);
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(io::Error::other)?;
        }
        Ok::<_, io::Error>(())
    };
    if let Ok(ended) = timeout_at(end, all).await {
        ended?;
    }
    tasks.abort_all();
    let witness = match spec.backend {
        Some(backend) => Some(arrivals::fetch(backend, spec.tag).await?),
        None => None,
    };
    Ok(stats.report(&spec, planned.get(), witness))
}

/// Starts a task for each request that may be under way at once.
fn start_clients(shared: &Shared) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let Shared { spec, stats, .. } = shared;
    for _ in 0..spec.connections.max(1) {
        if Mode::HTTP1.contains(&spec.mode) {
            start(&mut tasks, shared, Http1::new(Rc::clone(spec), Rc::clone(stats)));
            continue;
        }
        if spec.mode == Mode::Websocket {
            let way = (Rc::clone(spec), Rc::clone(stats));
            start(&mut tasks, shared, Talk::<WebSocket>::new(way, shared));
            continue;
        }
        let connection = Rc::new(SharedConnection::new(Rc::clone(spec), Rc::clone(stats)));
        for _ in 0..spec.streams.max(1) {
            let way = (Rc::clone(spec), Rc::clone(&connection));
            match spec.mode {
                Mode::Grpc => start(&mut tasks, shared, Talk::<Call>::new(way, shared)),
                _ => start(&mut tasks, shared, Http2::new(way)),
            }
        }
    }
    tasks
}

fn start(tasks: &mut JoinSet<()>, shared: &Shared, client: impl Client + 'static) {
    tasks.spawn_local(ClientTask::new(shared.clone(), client).run());
}

/// Puts requests into the queue as they are due, until all are there or the run is stopped; gives their number.
async fn put_all(spec: &LoadSpec, queue: &Queue, start: Instant) -> u64 {
    let put = Cell::new(0);
    let stopped = async {
        match &spec.stop {
            Some(stop) => stop.notified().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = schedule(spec, queue, start, &put) => {}
        () = stopped => {}
    }
    queue.close();
    put.get()
}

/// Puts every request into the queue when it is due, and counts it.
async fn schedule(spec: &LoadSpec, queue: &Queue, start: Instant, put: &Cell<u64>) {
    for sequence in 0..spec.requests {
        let due = start + Duration::from_secs_f64(sequence as f64 / spec.rate);
        // The timer's grain is a millisecond; those due within it go together.
        if due > Instant::now() {
            sleep_until(due).await;
        }
        queue.put(Job { id: spec.tag.request(sequence), due });
        put.set(sequence + 1);
    }
}
