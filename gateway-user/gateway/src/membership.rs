//! This process among those of its cluster: it reports, and it may lead.

use std::sync::Arc;
use std::time::Duration;

use gateway_control::cluster::lease::LeaseTimes;
use gateway_control::cluster::{self, ClusterTally, PoolDuty, ReportsBy, StreamDuty};
use gateway_control::source::kube::Cluster;
use gateway_control::stream::Nodes;
use gateway_control::view::View;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::flags::Settings;
use crate::node;

/// Limit for giving back the Lease and the report.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

/// A member of the cluster. Dropped, it gives back what it holds without anybody waiting for it.
#[derive(Debug)]
pub(crate) struct Membership {
    stop: watch::Sender<bool>,
    leaves: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Membership {
    /// Joins: from the first live configuration on, this process speaks for its node; with `nodes`, on a controller, those
    /// speak for themselves.
    ///
    /// # Errors
    /// The node has no name.
    pub(crate) fn join(
        settings: &Settings,
        cluster: &Cluster,
        view: watch::Receiver<Arc<View>>,
        tally: Arc<ClusterTally>,
        pool: Option<PoolDuty>,
        nodes: Option<(Arc<Nodes>, ReportsBy)>,
        stream: Option<StreamDuty>,
    ) -> anyhow::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let (leaves, leaving) = watch::channel(false);
        let membership = cluster::Membership {
            client: cluster.client(),
            namespace: node::namespace(settings),
            node: node::name(settings)?,
            controller: settings.controller_name.0.clone(),
            seen: Arc::new(cluster.clone()),
            seen_changed: cluster.changes(),
            view,
            times: LeaseTimes::default(),
            may_lead: settings.write_status.on(),
            namespaces: settings.watch_namespaces.0.clone(),
            tell_after: cluster::REPORT_DELAY,
            status_qps: settings.status_qps.small(),
            gateway_accounts: settings.gateway_accounts.on(),
            tally,
            pool,
            leaves: leaving,
            nodes,
            stream,
        };
        let task = cluster.spawn(cluster::run(membership, stopped));
        Ok(Self { stop, leaves, task })
    }

    /// Gives up leadership, and speaks for the node no more. With `last`, no other process speaks for it from
    /// now on.
    pub(crate) async fn leave(self, last: bool) {
        self.leaves.send_replace(last);
        self.stop.send_replace(true);
        // Whatever is not given back by then, the others find out by its silence.
        let _ = timeout(LEAVE_TIMEOUT, self.task).await;
    }
}
