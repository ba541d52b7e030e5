//! Health, metrics and admin over HTTP, each on an address of its own, on the control thread.

pub(crate) mod document;
mod dump;
mod exposition;
mod logging;
mod members;
mod metrics;
mod ready;
mod status;
mod watches;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use gateway_control::cluster::ClusterTally;
use gateway_control::source::kube::Cluster;
use gateway_control::steer::SharedSteering;
use gateway_control::view::View;
use gateway_io::file::{LogSink, LogStats};
use tokio::sync::watch;
use tracing::{error, info};

pub(crate) use ready::Readiness;

use crate::flags::{Effective, Listen, Settings};
use crate::fleet::Fleet;
use crate::logging::LogControl;
use crate::takeover::{Failures, Received, TookOver};

/// What does not change while the process runs.
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
    /// What is served: a directory, or the cluster at an address.
    pub(crate) source: String,
    /// Capabilities that it still has, by name.
    pub(crate) capabilities: Vec<String>,
    /// When the process started.
    pub(crate) started: jiff::Timestamp,
    /// Whom it took over from.
    pub(crate) took_over: Option<TookOver>,
    /// Every setting in force.
    pub(crate) settings: Vec<Effective>,
}

/// What the handlers read.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) facts: Arc<Facts>,
    pub(crate) view: watch::Receiver<Arc<View>>,
    pub(crate) readiness: Readiness,
    pub(crate) fleet: Arc<Fleet>,
    /// The cluster that is served, if it is one.
    pub(crate) cluster: Option<Cluster>,
    /// What was written into it.
    pub(crate) cluster_tally: Arc<ClusterTally>,
    pub(crate) steering: SharedSteering,
    pub(crate) log_control: LogControl,
    pub(crate) access_log: LogSink,
    pub(crate) takeover_failures: Failures,
}

impl Shared {
    fn log_stats(&self) -> LogStats {
        self.access_log.stats()
    }
}

/// Sockets of the three servers, bound before anything else starts so that a busy port is found at once.
#[derive(Debug)]
pub(crate) struct Sockets {
    health: Option<TcpListener>,
    metrics: Option<TcpListener>,
    admin: Option<TcpListener>,
}

/// The running servers.
#[derive(Debug)]
pub(crate) struct Servers {
    /// For a process that takes over.
    sockets: Vec<TcpListener>,
    stop: watch::Sender<bool>,
}

impl Sockets {
    /// Binds them, unless they were received from the process that is taken over from.
    ///
    /// # Errors
    /// An address is not free; names its setting.
    pub(crate) fn bind(settings: &Settings, received: &mut Received) -> anyhow::Result<Self> {
        let mut bind = |setting, address: Listen| bind(setting, address, received);
        Ok(Self {
            health: bind("health-address", settings.health_address)?,
            metrics: bind("metrics-address", settings.metrics_address)?,
            admin: bind("admin-address", settings.admin_address)?,
        })
    }

    /// Serves on them, in tasks of the runtime.
    ///
    /// # Errors
    /// The runtime takes no more sockets.
    pub(crate) fn serve(self, shared: &Shared) -> anyhow::Result<Servers> {
        let mut servers = Servers { sockets: Vec::new(), stop: watch::Sender::new(false) };
        servers.add("health", self.health, ready::router(shared.readiness.clone()))?;
        servers.add("metrics", self.metrics, metrics::router(shared.clone()))?;
        let admin = dump::router(shared.clone())
            .merge(status::router(shared.clone()))
            .merge(logging::router(shared.log_control.clone()));
        servers.add("admin", self.admin, admin)?;
        Ok(servers)
    }
}

impl Servers {
    fn add(
        &mut self,
        what: &'static str,
        listener: Option<TcpListener>,
        router: Router,
    ) -> anyhow::Result<()> {
        if let Some(listener) = listener {
            self.sockets.push(listener.try_clone()?);
            serve(what, listener, router, self.stop.subscribe())?;
        }
        Ok(())
    }

    /// Duplicates of the listening sockets.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn sockets(&self) -> std::io::Result<Vec<TcpListener>> {
        self.sockets.iter().map(TcpListener::try_clone).collect()
    }

    /// Accepts nothing more; what is being answered is answered.
    pub(crate) fn stop(self) {
        self.stop.send_replace(true);
    }
}

fn bind(setting: &str, address: Listen, received: &mut Received) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address.0 else { return Ok(None) };
    let listener = match received.take_admin(address) {
        Some(listener) => listener,
        None => TcpListener::bind(address).with_context(|| {
            format!("--{setting} {address}: cannot listen there; free the port, choose another or write off")
        })?,
    };
    listener.set_nonblocking(true)?;
    Ok(Some(listener))
}

fn serve(
    what: &'static str,
    listener: TcpListener,
    router: Router,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let address: SocketAddr = listener.local_addr()?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    info!(%address, "{what} is served");
    tokio::spawn(async move {
        // Told to stop, or nobody is left who could.
        let stopped = async move { drop(stop.wait_for(|stop| *stop).await) };
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
            error!(%address, "{what} is served no more: {error}");
        }
    });
    Ok(())
}
