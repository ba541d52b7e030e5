//! Says in the cluster what this node serves.

use std::sync::Arc;
use std::time::Duration;

use gateway_translate::NodeReport;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::{Client, Error};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::failures::Failures;
use super::record::{NodeRecord, RecordStatus};
use super::tally::{ClusterTally, Outcome};
use crate::backoff::jittered;
use crate::view::View;

/// Interval at which a node says that it is there without a change.
pub(super) const RENEW_INTERVAL: Duration = Duration::from_secs(10);
/// Least time between two reports: changes that come faster are said together.
const MIN_INTERVAL: Duration = Duration::from_millis(500);
/// Limit for the server's response.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest delay after failures: others count from when the server is back how long this node is silent.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);
/// Field manager of server-side apply.
const MANAGER: &str = "sluice-node";

/// The report of a node that this process speaks for.
#[derive(Clone, Debug)]
pub(super) enum OwnReport {
    /// This process serves on it.
    View(watch::Receiver<Arc<View>>),
    /// Another process does, and has acknowledged so.
    Relayed(watch::Receiver<Option<NodeReport>>),
}

impl OwnReport {
    /// The report; none before the first configuration is live, or once nothing is served any more.
    pub(super) fn current(&mut self) -> Option<NodeReport> {
        match self {
            Self::View(view) => report_of(&view.borrow_and_update()),
            Self::Relayed(report) => report.borrow_and_update().clone(),
        }
    }

    /// Waits for another one.
    ///
    /// # Errors
    /// There will be none.
    async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        match self {
            Self::View(view) => view.changed().await,
            Self::Relayed(report) => report.changed().await,
        }
    }
}

/// Writes this node's NodeReport.
#[derive(Debug)]
pub(super) struct Reporter {
    pub(super) records: Api<NodeRecord>,
    pub(super) node: String,
    pub(super) tally: Arc<ClusterTally>,
}

impl Reporter {
    pub(super) fn new(client: Client, namespace: &str, node: &str, tally: Arc<ClusterTally>) -> Self {
        Self { records: Api::namespaced(client, namespace), node: node.to_owned(), tally }
    }

    /// Reports until `stop` says true or its sender is gone. The report goes with `leaves`: not if another
    /// process serves on this node and reports under the same name.
    pub(super) async fn run(
        self,
        mut own: OwnReport,
        mut stop: watch::Receiver<bool>,
        leaves: watch::Receiver<bool>,
    ) {
        let mut failures = Failures::new(Duration::from_secs(1), MAX_RETRY_DELAY);
        let mut said: Option<NodeReport> = None;
        let (mut next, mut earliest) = (Instant::now(), Instant::now());
        loop {
            let current = own.current();
            let news = current.is_some() && current != said;
            let due = if news && !failures.has_failed() { earliest } else { next };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                Ok(()) = own.changed() => continue,
                () = sleep_until(due) => {}
            }
            let Some(report) = current else {
                next = Instant::now() + RENEW_INTERVAL;
                continue;
            };
            earliest = Instant::now() + MIN_INTERVAL;
            match self.write(&report).await {
                Ok(()) => {
                    said = Some(report);
                    failures.passed();
                    next = Instant::now() + jittered(RENEW_INTERVAL);
                }
                Err(error) => next = Instant::now() + failures.failed(error),
            }
        }
        // A node that has said itself that it serves no more has no successor either.
        let is_gone = matches!(own, OwnReport::Relayed(_)) && own.current().is_none() && said.is_some();
        if is_gone || *leaves.borrow() {
            // Without a response, the others find out by the report's age.
            let _ = timeout(WRITE_TIMEOUT, self.records.delete(&self.node, &DeleteParams::default())).await;
        }
    }

    async fn write(&self, report: &NodeReport) -> Result<(), String> {
        let status =
            RecordStatus { renew_time: Some(MicroTime(Timestamp::now())), ..RecordStatus::from(report) };
        let metadata = ObjectMeta { name: Some(self.node.clone()), ..ObjectMeta::default() };
        let record = NodeRecord { metadata, status };
        let params = PatchParams::apply(MANAGER).force();
        let patch = Patch::Apply(&record);
        let outcome = timeout(WRITE_TIMEOUT, self.records.patch(&self.node, &params, &patch)).await;
        self.tally.report(if matches!(outcome, Ok(Ok(_))) { Outcome::Written } else { Outcome::Failed });
        match outcome {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.explain(&error)),
            Err(_) => Err(format!(
                "NodeReport {}: no response within {}s; tried again",
                self.node,
                WRITE_TIMEOUT.as_secs()
            )),
        }
    }

    fn explain(&self, error: &Error) -> String {
        let why = match error {
            Error::Api(status) if status.code == 404 => {
                "the cluster has no resource nodereports.sluice.dev, or no such namespace, so that other nodes do \
                 not hear from this one; run `kubectl apply -f deploy/crds`"
                    .to_owned()
            }
            Error::Api(status) if status.code == 403 => {
                format!("{error}; allow verb patch on nodereports in group sluice.dev")
            }
            other => other.to_string(),
        };
        format!("NodeReport {}: {why}", self.node)
    }
}

/// The record to write; none before the first configuration is live.
pub(super) fn report_of(view: &View) -> Option<NodeReport> {
    view.live.as_ref().map(|_| NodeReport::clone(&view.report))
}
