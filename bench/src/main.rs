//! `sluice-bench load`, `backend`, `hold`, `handshakes`, `messages`, `datagrams`, `echo` and `crowd`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // a command line tool talks to its terminal

mod args;

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use args::{
    AbusersArgs, Conversation, DatagramsArgs, EchoProtocol, HandshakesArgs, HoldArgs, LoadArgs, MessagesArgs,
};
use clap::{Parser, Subcommand};
use sluice_bench::abusers::abusers;
use sluice_bench::datagrams;
use sluice_bench::echo::{grpc, grpc_server, same, websocket, websocket_server};
use sluice_bench::handshakes::handshakes;
use sluice_bench::load::load;
use sluice_bench::{backend, unresponsive};
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
        /// File with a certificate, in PEM: over TLS, with a connection and a full handshake for each request.
        #[arg(long, requires = "key", conflicts_with = "unresponsive")]
        certificate: Option<PathBuf>,
        /// File with its key.
        #[arg(long, requires = "certificate")]
        key: Option<PathBuf>,
    },
    /// Opens connections that all misbehave in one way and come back when they are ended; says `there` when
    /// all have been tried, and goes on until it is killed.
    Crowd(AbusersArgs),
    /// Opens TLS connections one after the other, each with a handshake and a request, and prints a JSON report; says
    /// `open` once there are the sessions that are to be resumed.
    Handshakes(HandshakesArgs),
    /// Opens connections, says `open`, sends messages on long conversations, one at a time on each, compares each with
    /// its echo, and prints a JSON report.
    Messages(MessagesArgs),
    /// Sends datagrams of many flows, says `open` once each has had an echo, compares every echo, and prints a JSON report.
    Datagrams(DatagramsArgs),
    /// Sends the messages of `messages` and `datagrams` back; serves until it is killed.
    Echo {
        /// Address to listen on; port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// Protocol of the conversations.
        #[arg(long, value_enum)]
        protocol: EchoProtocol,
    },
    /// Opens connections, gets one response on each, says `holding N`, and keeps them until it is killed.
    Hold(HoldArgs),
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
        Command::Backend { listen, unresponsive, certificate, key } => runtime.block_on(async {
            let listener = bind(listen).await?;
            match (certificate, key) {
                (Some(certificate), Some(key)) => {
                    backend::serve_secured(listener, &read(&certificate)?, &read(&key)?).await?;
                }
                _ if unresponsive => unresponsive::serve(listener).await?,
                _ => backend::serve(listener).await?,
            }
            Ok(ExitCode::SUCCESS)
        }),
        Command::Crowd(args) => {
            runtime.block_on(abusers(args.spec(), || println!("there")));
            Ok(ExitCode::SUCCESS)
        }
        Command::Handshakes(args) => {
            let report = handshakes(&args.spec()?, || println!("open"))?;
            println!("{}", serde_json::to_string_pretty(&report)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Messages(args) => {
            let (protocol, spec) = (args.protocol, args.spec()?);
            let opened = || println!("open");
            let report = match protocol {
                Conversation::Websocket => runtime.block_on(websocket::websockets(&spec, opened))?,
                Conversation::Grpc => runtime.block_on(grpc::calls(&spec, opened))?,
            };
            println!("{}", serde_json::to_string_pretty(&report)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Datagrams(args) => {
            let report = datagrams::datagrams(&args.spec()?, || println!("open"))?;
            println!("{}", serde_json::to_string_pretty(&report)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Echo { listen, protocol: EchoProtocol::Datagrams } => {
            let socket = UdpSocket::bind(listen).with_context(|| format!("--listen {listen}"))?;
            println!("listening on {}", socket.local_addr()?);
            datagrams::serve(&socket)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Echo { listen, protocol: EchoProtocol::Websocket } => runtime.block_on(async {
            websocket_server::serve(bind(listen).await?, same).await?;
            Ok(ExitCode::SUCCESS)
        }),
        Command::Echo { listen, protocol: EchoProtocol::Grpc } => runtime.block_on(async {
            grpc_server::serve(bind(listen).await?, same).await?;
            Ok(ExitCode::SUCCESS)
        }),
        Command::Hold(args) => args.hold(&runtime, |count| println!("holding {count}")),
    }
}

/// Listens, and says where.
async fn bind(listen: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("--listen {listen}"))?;
    println!("listening on {}", listener.local_addr()?);
    Ok(listener)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}
