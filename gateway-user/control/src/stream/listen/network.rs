//! Nodes of a network, over TLS: a token says who they are.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gateway_sync::frame::{Ack, Hello, Probe, Probed};
use gateway_sync::server;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::pending::{Pending, Place};
use super::{Serving, accept_failed};
use crate::stream::nodes::Nodes;
use crate::trust::{Judged, Reviewer, Shown};

/// Limit for a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that a node which was refused keeps its place: whoever tries tokens tries few.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// The socket, and whom it is for.
#[derive(Debug)]
pub struct NetworkOptions {
    /// Where to listen.
    pub address: SocketAddr,
    /// This side's certificate.
    pub shown: watch::Receiver<Option<Shown>>,
    /// The judge of tokens.
    pub reviewer: Reviewer,
}

#[derive(Debug)]
pub(super) struct NetworkListener {
    listener: TcpListener,
    shown: watch::Receiver<Option<Shown>>,
    reviewer: Reviewer,
}

impl NetworkListener {
    pub(super) fn bind(options: NetworkOptions) -> io::Result<Self> {
        let NetworkOptions { address, shown, reviewer } = options;
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
        let listener = TcpListener::bind(address).map_err(named)?;
        listener.set_nonblocking(true)?;
        info!(%address, "nodes of the network are served");
        Ok(Self { listener, shown, reviewer })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub(super) async fn run(self, serving: Serving) {
        let listener = match tokio::net::TcpListener::from_std(self.listener) {
            Ok(listener) => listener,
            Err(error) => return warn!("nodes of the network cannot be served: {error}"),
        };
        let pending = Arc::new(Pending::default());
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let Some(place) = pending.enter(peer.ip()) else {
                        debug!(%peer, "too many connections that have not shown who they are");
                        continue;
                    };
                    let (serving, shown) = (serving.clone(), self.shown.clone());
                    let reviewer = self.reviewer.clone();
                    tokio::spawn(async move {
                        let judging = Judging {
                            nodes: Arc::clone(&serving.nodes),
                            reviewer,
                            place: Mutex::new(Some(place)),
                            peer,
                        };
                        one(stream, shown, serving, &judging).await;
                    });
                }
                Err(error) => accept_failed(&error).await,
            }
        }
    }
}

async fn one(stream: TcpStream, shown: watch::Receiver<Option<Shown>>, serving: Serving, judging: &Judging) {
    let ready = shown.borrow().clone();
    let Some(ready) = ready else {
        return debug!(peer = %judging.peer, "a node came before there is a certificate");
    };
    // Small frames, each of which somebody waits for.
    let _ = stream.set_nodelay(true);
    match timeout(HANDSHAKE_TIMEOUT, ready.accept(stream)).await {
        Ok(Ok(stream)) => serving.one(stream, judging).await,
        Ok(Err(error)) => debug!(peer = %judging.peer, "handshake with a node: {error}"),
        Err(_) => debug!(peer = %judging.peer, "no handshake within {}s", HANDSHAKE_TIMEOUT.as_secs()),
    }
}

/// Nodes that have to show who they are.
struct Judging {
    nodes: Arc<Nodes>,
    reviewer: Reviewer,
    place: Mutex<Option<Place>>,
    peer: SocketAddr,
}

impl server::Nodes for Judging {
    async fn joins(&self, hello: &Hello) -> Result<String, String> {
        match self.reviewer.node_of(&hello.token).await {
            Ok(node) => {
                let admitted = self.nodes.admit(node, hello);
                if admitted.is_ok() {
                    drop(self.place.lock().unwrap_or_else(PoisonError::into_inner).take());
                }
                admitted
            }
            Err(judged) => {
                if let Judged::Refused(why) = &judged {
                    warn!(peer = %self.peer, "a node was refused: {why}");
                    sleep(REFUSED_PAUSE).await;
                }
                Err(judged.to_string())
            }
        }
    }

    fn acknowledges(&self, node: &str, ack: Ack) {
        (&*self.nodes).acknowledges(node, ack);
    }

    fn hears(&self, node: &str) {
        (&*self.nodes).hears(node);
    }

    fn withdraws(&self, node: &str) {
        (&*self.nodes).withdraws(node);
    }

    fn leaves(&self, node: &str) {
        (&*self.nodes).leaves(node);
    }

    fn questions(&self, node: &str) -> mpsc::Receiver<Probe> {
        (&*self.nodes).questions(node)
    }

    fn probed(&self, node: &str, probed: &Probed) {
        (&*self.nodes).probed(node, probed);
    }
}
