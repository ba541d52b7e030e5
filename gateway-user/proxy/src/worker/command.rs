//! Commands of the control thread to a worker. Replies travel by oneshot channels; a worker that died drops them.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use futures_channel::oneshot;
use gateway_ir::Endpoints;
use gateway_snapshot::{Generation, Snapshot};

use crate::l4::udp::{Adopted, Clients, HandedFlow, HandedOver};
use crate::metrics::{SeriesKey, WorkerMetrics};

/// One request to a worker.
#[derive(Debug)]
pub enum WorkerCommand {
    /// Do all that can fail for a new generation, and keep it aside. A second `Prepare` replaces the first.
    Prepare {
        /// The generation that will be committed or aborted.
        generation: Generation,
        /// Its tables.
        snapshot: Arc<Snapshot>,
        /// Sockets for new binds.
        sockets: WorkerSockets,
        /// Told once the worker could commit, or why it can't.
        reply: oneshot::Sender<Result<(), PrepareError>>,
    },
    /// Serve new requests by the prepared generation. Requests in progress keep their rule. Keep an `Arc` of the old
    /// snapshot until every worker has committed, so that its tables are freed by you and not on the data plane.
    Commit {
        /// The generation that was prepared.
        generation: Generation,
        /// Binds to close once what they had queued is accepted.
        retire: Vec<SocketAddr>,
        /// Sockets for datagrams to close.
        retire_datagrams: Vec<SocketAddr>,
        /// Told once new requests use the generation; `false` if it was not the prepared one.
        reply: oneshot::Sender<bool>,
    },
    /// Forget a prepared generation and close its sockets.
    Abort {
        /// The generation that was prepared.
        generation: Generation,
    },
    /// Use these endpoints from now on.
    Endpoints {
        /// All clusters' addresses.
        table: Arc<Endpoints>,
        /// Told once they are in use.
        reply: oneshot::Sender<()>,
    },
    /// Show that you are there.
    Ping {
        /// Told at once.
        reply: oneshot::Sender<()>,
    },
    /// Copy the metrics out.
    Metrics {
        /// Gets the copy.
        reply: oneshot::Sender<WorkerMetrics>,
    },
    /// Count these series with the common one: no rule makes them any more.
    ForgetSeries {
        /// Their keys.
        keys: Arc<[SeriesKey]>,
    },
    /// Accept from these sockets as well, by the tables that are live.
    Listen {
        /// They listen already.
        listeners: Vec<TcpListener>,
    },
    /// Duplicate the listening sockets, for another process that is to accept from them too.
    Listeners {
        /// Gets the duplicates, oldest first; an error if no descriptor is left.
        reply: oneshot::Sender<std::io::Result<Vec<TcpListener>>>,
    },
    /// Receive no more datagrams from clients, since another process does from the same sockets, and give flows up to it.
    HandOverFlows {
        /// Flows that all workers together may still give up.
        budget: Arc<AtomicUsize>,
        /// Gets them.
        reply: oneshot::Sender<HandedOver>,
    },
    /// Receive datagrams from these sockets as well, and go on with flows over them, or over sockets that are there.
    AdoptFlows {
        /// Bound sockets for datagrams.
        sockets: Vec<UdpSocket>,
        /// Flows.
        flows: Vec<HandedFlow>,
        /// Datagrams of clients are received if they come here, also after [`HandOverFlows`](Self::HandOverFlows).
        clients: Clients,
        /// Told once they go on.
        reply: oneshot::Sender<Adopted>,
    },
    /// Tell clients as [`Drain`](Self::Drain) does, and accept and take generations on as before: another process may still
    /// ask for the listening sockets. `Drain` follows.
    AnnounceDrain {
        /// Over this time connections are told that have words for it at any time, such as those of HTTP/2.
        spread: Duration,
        /// Over this time the others are told, by their responses.
        close_spread: Duration,
    },
    /// Finish what is under way and end the worker; from now on every response says `Connection: close`.
    Drain {
        /// When what ends.
        limits: DrainLimits,
        /// Told when no connection is left.
        reply: oneshot::Sender<Drained>,
    },
}

/// Sockets of one worker.
#[derive(Debug, Default)]
pub struct WorkerSockets {
    /// Listening sockets, where no steering program serves their binds.
    pub listeners: Vec<TcpListener>,
    /// Bound sockets for datagrams.
    pub datagrams: Vec<UdpSocket>,
}

impl From<Vec<TcpListener>> for WorkerSockets {
    fn from(listeners: Vec<TcpListener>) -> Self {
        Self { listeners, datagrams: Vec::new() }
    }
}

/// When a drain ends what, counted from its begin. A limit above `max` is `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainLimits {
    /// Until this has passed new connections are accepted: zero where another process accepts from the same sockets.
    pub accept: Duration,
    /// Until this has passed connections without a request under way are left open for clients to use once more. A
    /// client that begins its request just when such a connection is closed loses it.
    pub idle: Duration,
    /// After this what is still open is aborted.
    pub max: Duration,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut off at the maximum.
    pub aborted: usize,
}

/// Why a worker cannot serve a generation.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A listening socket cannot join the worker's runtime.
    #[error("listening socket of {address}: {source}")]
    Listener {
        /// The bind.
        address: String,
        /// The kernel's error.
        source: std::io::Error,
    },
    /// The worker is draining and takes nothing new.
    #[error("the worker is draining")]
    Draining,
}
