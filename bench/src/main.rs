//! `sluice-bench load`, `backend`, `hold`, `handshakes` and `crowd`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // a command line tool talks to its terminal

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use sluice_bench::abusers::{AbusersSpec, Behavior, abusers};
use sluice_bench::handshakes::{HandshakesSpec, handshakes};
use sluice_bench::id::Tag;
use sluice_bench::load::{LoadSpec, Mode, load};
use sluice_bench::{backend, hold, unresponsive};
use tokio::net::TcpListener;

/// Tests proxies: a load client that verifies every response, and its backend.
#[derive(Parser)]
#[command(name = "sluice-bench", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sends requests on schedule, verifies every response and prints a JSON report; exits 1 if
    /// anything was lost.
    Load(LoadArgs),
    /// Serves the responses that `load` verifies; prints its address and serves until it is killed.
    Backend {
        /// Address to listen on; port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// Accept connections, read nothing and respond to nothing.
        #[arg(long = "deaf")]
        unresponsive: bool,
    },
    /// Opens connections that all misbehave in one way and come back when they are ended; says `there` when
    /// all have been tried, and goes on until it is killed.
    Crowd(AbusersArgs),
    /// Opens TLS connections one after the other, each with a handshake and a request, and prints a JSON report.
    Handshakes(HandshakesArgs),
    /// Opens connections, gets one response on each, says `holding N`, and keeps them until it is killed.
    Hold {
        /// Address of the proxy.
        #[arg(long)]
        to: SocketAddr,
        /// The Host field.
        #[arg(long, default_value = "bench.example")]
        host: String,
        /// Path and query of the request on each connection.
        #[arg(long, default_value = "/download/100")]
        target: String,
        /// Number of connections.
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
    },
}

#[derive(clap::Args)]
struct LoadArgs {
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
    /// Length of a body in bytes.
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
}

#[derive(clap::Args)]
struct HandshakesArgs {
    /// Address of the proxy.
    #[arg(long)]
    to: SocketAddr,
    /// The server name and the Host field.
    #[arg(long, default_value = "bench.example")]
    host: String,
    /// Path and query of each request.
    #[arg(long, default_value = "/download/100")]
    target: String,
    /// File with the certificate to trust, in PEM.
    #[arg(long)]
    trust: PathBuf,
    /// Each handshake resumes the session of the one before.
    #[arg(long)]
    resumed: bool,
    /// Connections at a time.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Seconds for which connections are opened.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
}

#[derive(clap::Args)]
struct AbusersArgs {
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

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sluice-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match command {
        Command::Load(args) => {
            let report = runtime.block_on(load(args.spec()?))?;
            println!("{}", serde_json::to_string_pretty(&report)?);
            Ok(if report.lost() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Backend { listen, unresponsive } => runtime.block_on(async {
            let listener = TcpListener::bind(listen).await.with_context(|| format!("--listen {listen}"))?;
            println!("listening on {}", listener.local_addr()?);
            match unresponsive {
                true => unresponsive::serve(listener).await?,
                false => backend::serve(listener).await?,
            }
            Ok(ExitCode::SUCCESS)
        }),
        Command::Crowd(args) => {
            runtime.block_on(abusers(args.spec(), || println!("there")));
            Ok(ExitCode::SUCCESS)
        }
        Command::Handshakes(args) => {
            println!("{}", serde_json::to_string_pretty(&handshakes(&args.spec()?)?)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Hold { to, host, target, connections } => runtime.block_on(async {
            let held = hold::open(to, &host, &target, connections).await?;
            println!("holding {}", held.len());
            std::future::pending::<()>().await;
            drop(held);
            Ok(ExitCode::SUCCESS)
        }),
    }
}

/// `NAME=VALUE`; the value may have `=` in it.
fn field(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

impl HandshakesArgs {
    fn spec(self) -> Result<HandshakesSpec> {
        let time = Duration::try_from_secs_f64(self.seconds)
            .with_context(|| format!("--seconds {}: write seconds", self.seconds))?;
        let trusted =
            std::fs::read(&self.trust).with_context(|| format!("--trust {}", self.trust.display()))?;
        let Self { to, host, target, resumed, connections, .. } = self;
        Ok(HandshakesSpec { to, host, target, trusted, resumed, connections, time })
    }
}

impl AbusersArgs {
    fn spec(self) -> AbusersSpec {
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

impl LoadArgs {
    fn spec(self) -> Result<LoadSpec> {
        let seconds = |name: &str, value: f64| {
            Duration::try_from_secs_f64(value).with_context(|| format!("{name} {value}: write seconds"))
        };
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
            bytes: self.bytes,
            over,
            timeout,
            time_limit,
            tag: self.tag.unwrap_or(Tag::new(std::process::id())),
            backend: self.backend,
        })
    }
}
