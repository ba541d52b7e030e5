//! `sluice echo`: an httpbin-like backend to try routes against.
//!
//! It speaks HTTP through hyper and axum, not through our own codec, so it judges our proxy independently.

mod request;
mod response;

#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::routing::any;
use clap::Args;
use tokio::net::TcpListener;

/// `sluice echo`.
#[derive(Debug, Args)]
#[command(after_help = "\
Paths: /get /post /put /patch /delete /anything[/…] echo the request as JSON; /headers its headers; /status/N responds N;
/delay/N echoes after N seconds; /bytes/N sends N bytes with a Content-Length; /stream/N sends N JSON lines in chunks.")]
pub(crate) struct EchoArgs {
    /// Address to listen on; port 0 takes a free one, which the first line of output names.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Name put into every response, to tell several backends apart.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// State that handlers share.
#[derive(Clone, Debug, Default)]
struct Shared {
    name: Option<std::sync::Arc<str>>,
}

/// Serves until the process is told to stop.
pub(crate) fn run(args: &EchoArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(args.listen)
            .await
            .with_context(|| format!("--listen {}: cannot listen there; name a free address", args.listen))?;
        let address = listener.local_addr()?;
        writeln!(std::io::stdout(), "echo: listening on {address}")?;
        let shared = Shared { name: args.name.as_deref().map(Into::into) };
        serve(listener, shared).await
    })
}

async fn serve(listener: TcpListener, shared: Shared) -> anyhow::Result<()> {
    let service = router(shared).into_make_service_with_connect_info::<SocketAddr>();
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        served = async { axum::serve(listener, service).await } => Ok(served?),
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

fn router(shared: Shared) -> Router {
    let mut router = Router::new();
    for path in ["/", "/get", "/post", "/put", "/patch", "/delete", "/anything", "/anything/{*rest}"] {
        router = router.route(path, any(response::echo));
    }
    router
        .route("/headers", any(response::headers))
        .route("/status/{code}", any(response::status))
        .route("/delay/{seconds}", any(response::delay))
        .route("/bytes/{count}", any(response::bytes))
        .route("/stream/{count}", any(response::stream))
        .fallback(response::not_found)
        .with_state(shared)
}
