//! The lower bound of every proxy on this machine: accept, parse a head, replace a path prefix, forward,
//! relay the response. Over HTTP/2 by the same `h2` crate as the gateway, if it is told so, to a backend
//! of HTTP/1.1 or of HTTP/2 with whatever bodies and trailers there are. Of datagrams it relays whatever comes.
//!
//! It pools backend connections and trusts everybody. It has no time-outs, over HTTP/1.1 no chunked bodies
//! (responses need a Content-Length, requests have none), no log, no metrics: whatever a gateway spends above this, it
//! spends on being one.
#![forbid(unsafe_code)]

mod datagrams;
mod head;
mod http2;
mod io;
mod relay;
mod through;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use clap::Parser;
use iou6::IoUring;
use monoio::net::{ListenerOpts, TcpListener};
use monoio::{IoUringDriver, RuntimeBuilder};

use crate::relay::{Backend, relay};
use crate::through::Upstreams;

/// Relays HTTP on one thread over io_uring, or datagrams over epoll, and nothing else.
#[derive(Parser)]
struct Cli {
    /// Address to listen on.
    #[arg(long)]
    listen: SocketAddr,
    /// Address to forward to.
    #[arg(long)]
    backend: SocketAddr,
    /// Clients speak HTTP/2 with prior knowledge.
    #[arg(long)]
    http2: bool,
    /// The backend speaks HTTP/2 with prior knowledge, on so many connections; clients do, too.
    #[arg(long, value_name = "CONNECTIONS", requires = "http2")]
    backend_http2: Option<NonZeroUsize>,
    /// Prefix of every path that is taken away.
    #[arg(long)]
    strip: String,
    /// Clients and backend exchange datagrams.
    #[arg(long, conflicts_with = "http2")]
    datagrams: bool,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    if cli.datagrams {
        return datagrams::relay(cli.listen, cli.backend);
    }
    let mut ring = IoUring::builder();
    // The flags that workers of the gateway prefer.
    ring.setup_single_issuer().setup_defer_taskrun();
    let builder = RuntimeBuilder::<IoUringDriver>::new().with_entries(4096).uring_builder(ring);
    let mut runtime = builder.build().context("io_uring with SINGLE_ISSUER and DEFER_TASKRUN (Linux 6.1)")?;
    runtime.block_on(serve(cli))
}

async fn serve(cli: Cli) -> Result<()> {
    // They are there before the first client is.
    let upstreams = match cli.backend_http2 {
        Some(count) => {
            let opened = Upstreams::open(cli.backend, count.get(), cli.strip.clone()).await;
            Some(Rc::new(opened.with_context(|| format!("--backend {}", cli.backend))?))
        }
        None => None,
    };
    let options = ListenerOpts::new().backlog(4096).reuse_port(false);
    let listener = TcpListener::bind_with_config(cli.listen, &options)
        .with_context(|| format!("--listen {}", cli.listen))?;
    let backend = Rc::new(Backend { address: cli.backend, strip: cli.strip, idle: RefCell::new(Vec::new()) });
    loop {
        let (client, _) = listener.accept().await?;
        let (backend, upstreams) = (Rc::clone(&backend), upstreams.clone());
        monoio::spawn(async move {
            // A connection that ends within a request is the client's or the backend's affair;
            // nobody counts here.
            let _ = match (cli.http2, upstreams) {
                (true, Some(upstreams)) => through::relay(client, &upstreams).await,
                (true, None) => http2::relay(client, &backend).await,
                (false, _) => relay(client, &backend).await,
            };
        });
    }
}
