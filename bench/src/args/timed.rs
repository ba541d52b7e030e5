//! Flags of what goes on for so long, or until it is killed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context as _, Result};
use sluice_bench::datagrams::DatagramsSpec;
use sluice_bench::echo::EchoSpec;
use sluice_bench::handshakes::HandshakesSpec;
use sluice_bench::hold::{self, SecuredSpec};
use tokio::runtime::Runtime;

use super::seconds;

#[derive(clap::Args)]
pub(crate) struct HandshakesArgs {
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

/// The protocol of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Conversation {
    /// WebSockets over HTTP/1.1, one on each connection.
    Websocket,
    /// Calls of gRPC over HTTP/2 in clear text.
    Grpc,
}

/// Protocols of which there is a server that sends messages back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum EchoProtocol {
    /// WebSockets over HTTP/1.1.
    Websocket,
    /// Calls of gRPC over HTTP/2 in clear text.
    Grpc,
    /// UDP.
    Datagrams,
}

#[derive(clap::Args)]
pub(crate) struct DatagramsArgs {
    /// Address of the proxy.
    #[arg(long)]
    to: SocketAddr,
    /// Number of flows, each from a port of its own.
    #[arg(long, default_value_t = 64)]
    flows: u32,
    /// Datagrams of each that are under way at a time.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=32))]
    window: u32,
    /// Length of a datagram in bytes.
    #[arg(long, default_value_t = 64)]
    bytes: usize,
    /// Seconds for which they are sent.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
}

#[derive(clap::Args)]
pub(crate) struct MessagesArgs {
    /// Address of the proxy.
    #[arg(long)]
    to: SocketAddr,
    /// Protocol of the conversations.
    #[arg(long, value_enum)]
    pub(crate) protocol: Conversation,
    /// The Host field.
    #[arg(long, default_value = "bench.example")]
    host: String,
    /// Path and query of each conversation's request.
    #[arg(long, default_value = "/echo")]
    target: String,
    /// Connections at a time.
    #[arg(long, default_value_t = 16)]
    connections: u32,
    /// Calls at a time on each connection.
    #[arg(long, default_value_t = 1)]
    streams: u32,
    /// Messages of a call; a WebSocket lasts as long as the run.
    #[arg(long, default_value_t = 1000)]
    messages: u32,
    /// Length of a message in bytes.
    #[arg(long, default_value_t = 64)]
    bytes: usize,
    /// Seconds for which messages are sent.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TlsVersion {
    #[value(name = "1.2")]
    V12,
    #[value(name = "1.3")]
    V13,
}

#[derive(clap::Args)]
pub(crate) struct HoldArgs {
    /// Address of the proxy.
    #[arg(long)]
    to: SocketAddr,
    /// The Host field, and the server name.
    #[arg(long, default_value = "bench.example")]
    host: String,
    /// Path and query of the request on each connection.
    #[arg(long, default_value = "/download/100")]
    target: String,
    /// Number of connections.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Connections are over TLS of this version.
    #[arg(long, value_enum, requires = "trust")]
    tls: Option<TlsVersion>,
    /// File with the certificate to trust, in PEM.
    #[arg(long)]
    trust: Option<PathBuf>,
}

impl HoldArgs {
    /// Opens the connections, calls `holding` with their number, and keeps them for ever.
    pub(crate) fn hold(self, runtime: &Runtime, holding: impl FnOnce(usize)) -> Result<ExitCode> {
        let Self { to, host, target, connections, .. } = self;
        if let (Some(version), Some(trust)) = (self.tls, self.trust) {
            let trusted = std::fs::read(&trust).with_context(|| format!("--trust {}", trust.display()))?;
            let version = match version {
                TlsVersion::V12 => &rustls::version::TLS12,
                TlsVersion::V13 => &rustls::version::TLS13,
            };
            let spec = SecuredSpec { to, host, target, connections, trusted, version };
            let held = hold::open_secured(&spec)?;
            holding(held.len());
            loop {
                thread::park();
            }
        }
        runtime.block_on(async {
            let held = hold::open(to, &host, &target, connections).await?;
            holding(held.len());
            std::future::pending::<()>().await;
            drop(held);
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl HandshakesArgs {
    pub(crate) fn spec(self) -> Result<HandshakesSpec> {
        let time = seconds("--seconds", self.seconds)?;
        let trusted =
            std::fs::read(&self.trust).with_context(|| format!("--trust {}", self.trust.display()))?;
        let Self { to, host, target, resumed, connections, .. } = self;
        Ok(HandshakesSpec { to, host, target, trusted, resumed, connections, time })
    }
}

impl DatagramsArgs {
    pub(crate) fn spec(self) -> Result<DatagramsSpec> {
        let time = seconds("--seconds", self.seconds)?;
        let Self { to, flows, window, bytes, .. } = self;
        Ok(DatagramsSpec { to, flows, window, bytes, time })
    }
}

impl MessagesArgs {
    pub(crate) fn spec(self) -> Result<EchoSpec> {
        let time = seconds("--seconds", self.seconds)?;
        let Self { to, host, target, connections, streams, messages, bytes, .. } = self;
        Ok(EchoSpec { to, host, target, connections, streams, messages: messages.max(1), bytes, time })
    }
}
