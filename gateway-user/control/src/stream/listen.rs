//! A controller's sockets: one for nodes on this machine, and one for those of a network.

mod local;
mod network;
mod pending;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use gateway_sync::server::{Leading, ServeError, SharedTable, serve};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tracing::{debug, warn};

use self::local::LocalListener;
use self::network::NetworkListener;
use super::evidence;
use super::nodes::Nodes;

pub use local::LocalOptions;
pub use network::NetworkOptions;

/// Nodes that were connected to the controller before have so long to come to this one.
const COMPLETE_AFTER: Duration = Duration::from_secs(10);
/// The same once one has come.
const COMPLETE_AFTER_FIRST: Duration = Duration::from_secs(2);
/// Interval of looking for silent nodes.
const TICK: Duration = Duration::from_secs(5);
/// Pause after an error of accepting: it has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Settings of the sockets.
#[derive(Debug)]
pub struct ListenOptions {
    /// The socket for this machine.
    pub local: LocalOptions,
    /// The one for a network.
    pub network: Option<NetworkOptions>,
    /// Version of this program, for people.
    pub version: String,
}

/// The thread that serves nodes. Dropped, it ends.
#[derive(Debug)]
pub struct StreamServer {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
    network: Option<SocketAddr>,
}

/// The parts that every connection needs.
#[derive(Clone, Debug)]
struct Serving {
    table: Arc<SharedTable>,
    nodes: Arc<Nodes>,
    leading: watch::Receiver<Leading>,
    version: Arc<str>,
}

/// Listens, and serves nodes from a thread of its own, which calls `first` before all else.
///
/// # Errors
/// A socket cannot be made, or the system gives no thread.
pub fn listen(
    options: ListenOptions,
    table: Arc<SharedTable>,
    nodes: Arc<Nodes>,
    leading: watch::Receiver<Leading>,
    first: impl FnOnce() + Send + 'static,
) -> io::Result<StreamServer> {
    let path = options.local.path.clone();
    let local = LocalListener::bind(options.local)?;
    let network = options.network.map(NetworkListener::bind).transpose()?;
    let address = network.as_ref().map(NetworkListener::address).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, mut stopped) = watch::channel(false);
    let serving = Serving { table, nodes, leading, version: options.version.into() };
    let thread = std::thread::Builder::new().name("sluice-stream".to_owned()).spawn(move || {
        first();
        runtime.block_on(async {
            tokio::spawn(watch_over(Arc::clone(&serving.nodes), serving.leading.clone()));
            tokio::spawn(ask_after(Arc::clone(&serving.nodes), serving.leading.clone()));
            let over_network = async {
                match network {
                    Some(network) => network.run(serving.clone()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => {}
                () = local.run(serving.clone()) => {}
                () = over_network => {}
            }
        });
    })?;
    Ok(StreamServer { stop, thread: Some(thread), path, network: address })
}

impl StreamServer {
    /// The address for nodes of the network; `None` if there is none.
    pub fn network_address(&self) -> Option<SocketAddr> {
        self.network
    }
}

impl Drop for StreamServer {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        let _ = std::fs::remove_file(&self.path);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Serving {
    /// Serves one node until its connection ends.
    async fn one<S: AsyncRead + AsyncWrite>(self, stream: S, nodes: &impl gateway_sync::server::Nodes) {
        match serve(stream, &self.table, self.leading, nodes, &self.version).await {
            Ok(()) => {}
            Err(ServeError::Refused(reason)) => debug!("a node was sent away: {reason}"),
            Err(error) => debug!("a node's stream ended: {error}"),
        }
    }
}

/// Says in the log why accepting fails, and waits.
async fn accept_failed(error: &io::Error) {
    warn!("accepting a node: {error}");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// Lets the nodes be complete once they have had their time since this controller leads, and time go on.
async fn watch_over(nodes: Arc<Nodes>, mut leading: watch::Receiver<Leading>) {
    let here = |leading: &Leading| matches!(leading, Leading::Here { .. });
    loop {
        if leading.wait_for(here).await.is_err() {
            return;
        }
        let leads = async {
            let begun = tokio::time::Instant::now();
            let mut reports = nodes.reports();
            let first = async { drop(reports.wait_for(|reports| !reports.is_empty()).await) };
            let _ = tokio::time::timeout(COMPLETE_AFTER, first).await;
            let soon = tokio::time::Instant::now() + COMPLETE_AFTER_FIRST;
            tokio::time::sleep_until((begun + COMPLETE_AFTER).min(soon)).await;
            nodes.complete();
            let mut tick = tokio::time::interval(TICK);
            loop {
                tick.tick().await;
                nodes.tick();
            }
        };
        tokio::select! {
            () = leads => {}
            () = lost(leading.clone()) => nodes.begin(),
        }
    }
}

/// Returns once another controller leads: never, if nobody says who does.
async fn lost(mut leading: watch::Receiver<Leading>) {
    if leading.wait_for(|leading| matches!(leading, Leading::Elsewhere { .. })).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Asks after nodes whose stream is gone, as long as this controller leads.
async fn ask_after(nodes: Arc<Nodes>, mut leading: watch::Receiver<Leading>) {
    let mut tick = tokio::time::interval(evidence::TICK);
    let mut term = None;
    loop {
        tick.tick().await;
        match *leading.borrow_and_update() {
            Leading::Here { term: now } if term == Some(now) => nodes.look(),
            Leading::Here { term: now } => {
                term = Some(now);
                nodes.leads();
            }
            // It writes nothing now, and who follows stays.
            Leading::Unknown => {}
            Leading::Elsewhere { .. } => term = None,
        }
    }
}
