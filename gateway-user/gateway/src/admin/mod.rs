//! Health, metrics and admin over HTTP, each on a thread of its own: health and metrics on an address each,
//! admin on a Unix socket in the state directory and, if asked for, on an address too.

pub(crate) mod document;
mod dump;
mod exposition;
#[cfg(test)]
mod fixtures;
mod gone;
mod logging;
mod members;
mod metrics;
mod probe;
mod ready;
mod series;
mod served;
mod servers;
mod sockets;
mod status;
mod streams;
mod watches;

use std::sync::{Arc, Mutex};

use gateway_control::cluster::ClusterTally;
use gateway_control::source::kube::Cluster;
use gateway_control::steer::SharedSteering;
use gateway_control::stream::{Nodes, StreamState};
use gateway_control::view::View;
use gateway_helper::HelperClient;
use gateway_io::file::{LogSink, LogStats};
use tokio::sync::watch;

pub(crate) use probe::ProbeServer;
pub(crate) use ready::Readiness;
pub(crate) use servers::AllCounters;
#[cfg(test)]
pub(crate) use servers::{ADMIN, HEALTH, METRICS};
pub(crate) use sockets::{Servers, Sockets, metrics_address, socket_path};

use crate::flags::Effective;
use crate::handoff::{FailureCounters, TookOver};
use crate::logging::LogControl;
use crate::workers::Workers;

/// Facts that do not change while the process runs.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// `ebpf` or `reuseport`.
    pub(crate) steering_path: String,
    /// The path with the reason for it.
    pub(crate) steering_detail: String,
    /// Why nobody is reached over IPv6, if nobody is.
    pub(crate) without_ipv6: Option<String>,
    /// Added to listener ports below the second number, where the process may not bind those.
    pub(crate) offset: Option<(u16, u16)>,
    /// The driver of the workers' I/O.
    pub(crate) driver: String,
    /// Drivers that were refused.
    pub(crate) refused_drivers: Vec<String>,
    /// Why the access log is not written by io_uring, though it should be.
    pub(crate) log_refused: Option<String>,
    /// Source of the configuration: a directory, or the cluster at an address.
    pub(crate) source: String,
    /// Capabilities that it still has, by name.
    pub(crate) capabilities: Vec<String>,
    /// When the process started.
    pub(crate) started: jiff::Timestamp,
    /// The process that it took over from.
    pub(crate) took_over: Option<TookOver>,
    /// Every setting in force.
    pub(crate) settings: Vec<Effective>,
}

/// State that the handlers read.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) facts: Arc<Facts>,
    pub(crate) view: watch::Receiver<Arc<View>>,
    pub(crate) readiness: Readiness,
    pub(crate) workers: Arc<Workers>,
    /// The cluster that is served, if it is one.
    pub(crate) cluster: Option<Cluster>,
    /// Counts of writes into it.
    pub(crate) cluster_tally: Arc<ClusterTally>,
    /// The controller's stream, on a node that follows one.
    pub(crate) stream: Option<Arc<Mutex<StreamState>>>,
    /// Those that follow, on a controller.
    pub(crate) nodes: Option<Arc<Nodes>>,
    /// `None` on a controller, which has no data plane.
    pub(crate) steering: Option<SharedSteering>,
    /// The process that does what takes a right, if one does.
    pub(crate) helper: Option<Arc<HelperClient>>,
    pub(crate) log_control: LogControl,
    pub(crate) access_log: LogSink,
    pub(crate) takeover_failures: FailureCounters,
    /// Of the servers themselves.
    pub(crate) counters: AllCounters,
}

impl Shared {
    fn log_stats(&self) -> LogStats {
        self.access_log.stats()
    }
}
