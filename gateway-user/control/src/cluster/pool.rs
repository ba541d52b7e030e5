//! Addresses of a cluster's Gateways: read by every node, given by the leader.
//!
//! All of them are in one ConfigMap, so that giving one is a single write which the server refuses if another
//! process has given something since: no address can be given twice.

mod follow;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gateway_translate::{AddressWant, Assignments};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::{Api, Error};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::failures::Failures;
use super::lease::Leadership;
use super::reports::ReportCache;
use crate::addresses::allocate::{allocate, allocate_with_keepers};
use crate::addresses::assignment_store::{self, ReadError};
use crate::stream::Nodes;
use crate::stream::evidence::Placement;

pub use follow::follow;

/// The ConfigMap.
const NAME: &str = "sluice-addresses";
/// Its key.
const KEY: &str = "assignments.json";
/// Interval at which the leader finds nodes that fell silent, if nothing else wakes it.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Limit for the server's response, and for the watch to bring what was written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Addresses that Gateways ask for; `None` until known.
pub type Wants = Option<Arc<Vec<AddressWant>>>;

/// The assignments as the watch has brought them.
#[derive(Clone, Debug, Default)]
pub struct ObservedAssignments {
    /// True if the cluster was read at all.
    pub read: bool,
    /// Assignments as they were read last.
    pub assignments: Arc<Assignments>,
    /// True if that is from somewhere: an earlier reading, or the node's own copy.
    known: bool,
    /// Where it stands in the cluster.
    page: Page,
    /// The object, if there is one.
    map: Option<Arc<ConfigMap>>,
}

/// Relation of the object to the assignments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Page {
    /// It holds them.
    Holds,
    /// It does not and is to.
    #[default]
    Lacks,
    /// It holds others, which are not to be lost though they cannot be read.
    Sealed,
}

impl ObservedAssignments {
    /// Before the cluster is read: what this node knows from the last time, if it does.
    pub fn kept(assignments: Option<Arc<Assignments>>) -> Self {
        Self { known: assignments.is_some(), assignments: assignments.unwrap_or_default(), ..Self::default() }
    }

    /// After the object was read. Assignments lost in the cluster stay as they were here; the second result
    /// describes the loss.
    fn after(&self, map: Option<ConfigMap>) -> (Self, Option<String>) {
        let text = map.as_ref().and_then(|map| map.data.as_ref()?.get(KEY));
        let (assignments, page, said) = match text.map(|text| assignment_store::read(text)) {
            Some(Ok(assignments)) => (Some(Arc::new(assignments)), Page::Holds, None),
            Some(Err(error @ ReadError::Format(_))) => {
                let said = format!(
                    "key {KEY}: {error}; Gateways keep the addresses they have, and no other gets one"
                );
                (None, Page::Sealed, Some(said))
            }
            Some(Err(error)) if self.known => {
                let said = format!(
                    "key {KEY}: {error}; Gateways keep the addresses they have, and it is written again"
                );
                (None, Page::Lacks, Some(said))
            }
            Some(Err(error)) => {
                let said = format!(
                    "key {KEY}: {error}; no Gateway gets an address: fix it, or delete it to have all addresses assigned anew"
                );
                (None, Page::Sealed, Some(said))
            }
            None if self.assignments.given.is_empty() => (None, Page::Lacks, None),
            None => {
                let said = "gone; Gateways keep the addresses they have, and it is written again";
                (None, Page::Lacks, Some(said.to_owned()))
            }
        };
        let assignments = assignments.unwrap_or_else(|| Arc::clone(&self.assignments));
        let known = self.known || page != Page::Sealed;
        (Self { read: true, assignments, known, page, map: map.map(Arc::new) }, said)
    }

    fn version(&self) -> Option<&str> {
        self.map.as_ref()?.metadata.resource_version.as_deref()
    }

    /// True if the object is to hold `next` and does not.
    fn lacks(&self, next: &Assignments) -> bool {
        match self.page {
            Page::Holds => *next != *self.assignments,
            Page::Lacks => *next != *self.assignments || !next.given.is_empty(),
            Page::Sealed => false,
        }
    }
}

/// The leader's side.
pub(super) struct AssignmentWriter {
    pub(super) maps: Api<ConfigMap>,
    pub(super) pool: Vec<IpNet>,
    pub(super) node: Option<String>,
    pub(super) wants: watch::Receiver<Wants>,
    pub(super) given: watch::Receiver<ObservedAssignments>,
    pub(super) reports: watch::Receiver<ReportCache>,
    pub(super) leadership: Leadership,
    /// Where nodes report by their streams: the nodes, and which of them may have addresses.
    pub(super) streams: Option<(Arc<Nodes>, watch::Receiver<Placement>)>,
}

impl AssignmentWriter {
    /// Gives addresses until `stop` says true or its sender is gone.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut failures = Failures::new(Duration::from_millis(200), Duration::from_secs(30));
        // The version that was replaced last, and until when its successor is waited for.
        let mut replaced: Option<(Option<String>, Instant)> = None;
        loop {
            let mut next = Instant::now() + POLL_INTERVAL;
            if let Some((given, assignments)) = self.due() {
                let waits = replaced.as_ref().filter(|(version, _)| version.as_deref() == given.version());
                match waits.map(|(_, until)| *until).filter(|until| Instant::now() < *until) {
                    Some(until) => next = next.min(until),
                    None => match self.write(&given, &assignments).await {
                        Ok(()) => {
                            failures.passed();
                            replaced =
                                Some((given.version().map(str::to_owned), Instant::now() + WRITE_TIMEOUT));
                        }
                        Err(error) => next = Instant::now() + failures.failed(error),
                    },
                }
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                Ok(()) = self.wants.changed() => {}
                Ok(()) = self.given.changed() => {}
                Ok(()) = self.reports.changed() => {}
                () = placed(&mut self.streams) => {}
                () = self.leadership.changed() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// Assignments to write and those that they replace, if they differ and both are known.
    fn due(&mut self) -> Option<(ObservedAssignments, Assignments)> {
        let wants = self.wants.borrow_and_update().clone()?;
        let given = self.given.borrow_and_update().clone();
        let reports = self.reports.borrow_and_update();
        if !given.read || !reports.is_complete() || !self.leadership.holds() {
            return None;
        }
        let next = match &mut self.streams {
            None => {
                let mut nodes: BTreeSet<String> =
                    reports.current(Instant::now(), self.leadership.since()).into_keys().collect();
                nodes.extend(self.node.clone());
                drop(reports);
                allocate(&self.pool, &given.assignments, &wants, &nodes)
            }
            Some((nodes, placement)) => {
                drop(reports);
                nodes.owned(&given.assignments);
                let placement = placement.borrow_and_update().clone();
                let keepers = placement.keepers(&given.assignments);
                allocate_with_keepers(&self.pool, &given.assignments, &wants, &placement.here, &keepers)
            }
        };
        given.lacks(&next).then_some((given, next))
    }

    async fn write(&self, given: &ObservedAssignments, assignments: &Assignments) -> Result<(), String> {
        // All that others have put there stays.
        let mut map = given.map.as_deref().cloned().unwrap_or_default();
        map.metadata.name = Some(NAME.to_owned());
        map.metadata.managed_fields = None;
        map.data.get_or_insert_default().insert(KEY.to_owned(), assignment_store::write(assignments));
        let params = PostParams::default();
        let written = match given.version() {
            Some(_) => timeout(WRITE_TIMEOUT, self.maps.replace(NAME, &params, &map)).await,
            None => timeout(WRITE_TIMEOUT, self.maps.create(&params, &map)).await,
        };
        match written {
            Ok(Ok(_)) => Ok(()),
            // Somebody else has written; the watch brings it.
            Ok(Err(Error::Api(status))) if status.code == 409 => Ok(()),
            Ok(Err(error)) => {
                let denied = matches!(&error, Error::Api(status) if status.code == 403);
                let hint = if denied { "; allow verbs create and update on configmaps" } else { "" };
                Err(format!("write ConfigMap {NAME}: {error}; no Gateway gets another address{hint}"))
            }
            Err(_) => Err(format!(
                "write ConfigMap {NAME}: no response within {}s; tried again",
                WRITE_TIMEOUT.as_secs()
            )),
        }
    }
}

/// Waits for other nodes that may have addresses, where nodes report by their streams.
async fn placed(streams: &mut Option<(Arc<Nodes>, watch::Receiver<Placement>)>) {
    if let Some((_, placement)) = streams
        && placement.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
