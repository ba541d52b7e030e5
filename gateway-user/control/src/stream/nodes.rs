//! The nodes that follow a controller, and what each has acknowledged.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gateway_sync::frame::{Ack, Hello, Probe, Probed};
use gateway_sync::server;
use gateway_translate::{Assignments, NodeReport};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use super::ack;
use super::evidence::{Evidence, Placement};
use super::loss::LossCounts;
use crate::cluster::reports::ReportCache;

/// Longest name of a node that is believed: that of an object.
const MAX_NAME: usize = 253;
/// Most nodes that are remembered.
const MAX_NODES: usize = 5000;
/// Most connections of one node: a hot restart has two, and those that broke off may not have been missed yet.
const MAX_CONNECTIONS: usize = 8;

/// Nodes by name.
#[derive(Debug)]
pub struct Nodes {
    known: Mutex<BTreeMap<String, Known>>,
    reports: watch::Sender<ReportCache>,
    /// The report of whoever spoke last, for a controller with one node.
    own: watch::Sender<Option<NodeReport>>,
    /// Evidence on those whose stream is gone.
    evidence: Evidence,
}

#[derive(Debug, Default)]
struct Known {
    line: NodeLine,
    /// Connections of this name that are open: a hot restart has two.
    connections: usize,
}

/// One node, for people and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeLine {
    /// Its name.
    pub node: String,
    /// Version of its program.
    pub program: String,
    /// True if it is connected.
    pub connected: bool,
    /// The version that it acknowledged last.
    pub version: u64,
    /// Items that it serves closed.
    pub closed: u64,
    /// Error that keeps the version from being live there.
    pub error: Option<String>,
    /// Evidence on a node whose stream is gone, where it may have addresses to lose.
    pub suspicion: Option<String>,
}

impl Default for Nodes {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            reports: watch::channel(ReportCache::default()).0,
            own: watch::channel(None).0,
            evidence: Evidence::default(),
        }
    }
}

impl Nodes {
    /// Every node, by name.
    pub fn lines(&self) -> Vec<NodeLine> {
        let mut lines: Vec<NodeLine> = self.lock().values().map(|known| known.line.clone()).collect();
        lines.iter_mut().for_each(|line| line.suspicion = self.evidence.suspicion(&line.node));
        lines
    }

    /// Has nodes probe those whose stream is gone, so that addresses can move by evidence (decision 274). Owners of
    /// addresses that never followed are probed at these, on `port`; with 0 they keep them.
    pub fn keep_evidence(&self, port: u16) {
        self.evidence.begin(port);
    }

    /// This controller leads from now on: nodes have time to come before any is asked after.
    pub fn leads(&self) {
        self.evidence.leads();
    }

    /// Counts of probes and of what they led to.
    pub fn loss_counts(&self) -> LossCounts {
        self.evidence.counts()
    }

    /// Calls `wake` whenever other nodes may have addresses.
    pub async fn follow_placement(self: Arc<Self>, wake: impl Fn()) {
        let mut placement = self.placement();
        while placement.changed().await.is_ok() {
            placement.borrow_and_update();
            wake();
        }
    }

    /// The nodes that may have addresses.
    pub(crate) fn placement(&self) -> watch::Receiver<Placement> {
        self.evidence.placement()
    }

    /// The owners of addresses, as they are.
    pub(crate) fn owned(&self, assignments: &Assignments) {
        self.evidence.owned(assignments);
    }

    /// Asks after nodes whose stream is gone.
    pub(super) fn look(&self) {
        self.evidence.tick();
    }

    /// Reports of all nodes.
    pub(crate) fn reports(&self) -> watch::Receiver<ReportCache> {
        self.reports.subscribe()
    }

    /// The report of the one node that follows; none before it said anything, or once it serves no more.
    pub(crate) fn own_report(&self) -> watch::Receiver<Option<NodeReport>> {
        self.own.subscribe()
    }

    /// True while any node's stream is there.
    pub fn any_connected(&self) -> bool {
        self.lock().values().any(|known| known.connections > 0)
    }

    /// The nodes have had their time to connect: who is not among them by now is not waited for.
    pub(crate) fn complete(&self) {
        self.reports.send_modify(ReportCache::complete);
        self.evidence.complete();
    }

    /// Time goes on in which nodes could have been heard.
    pub(super) fn tick(&self) {
        self.reports.send_if_modified(|reports| reports.listening(Instant::now()));
    }

    // Each change below is whole before anything can panic.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Nodes {
    /// A node follows under a name that whoever knows it has told.
    ///
    /// # Errors
    /// It has no name, or too many follow.
    pub(super) fn admit(&self, node: String, hello: &Hello) -> Result<String, String> {
        if node.is_empty() || node.len() > MAX_NAME || node.chars().any(char::is_control) {
            return Err("the node has no name; set --node-name".to_owned());
        }
        let mut all = self.lock();
        if all.len() >= MAX_NODES && !all.contains_key(&node) {
            all.retain(|_, known| known.connections > 0);
            if all.len() >= MAX_NODES {
                return Err(format!("{MAX_NODES} nodes follow already"));
            }
        }
        let known = all.entry(node.clone()).or_default();
        if known.connections >= MAX_CONNECTIONS {
            return Err(format!("{node} has {MAX_CONNECTIONS} connections already"));
        }
        known.connections += 1;
        known.line.node.clone_from(&node);
        known.line.program = hello.version.chars().take(100).collect();
        known.line.connected = true;
        info!(node, version = known.line.program, at = hello.at, "a node follows");
        drop(all);
        self.evidence.joins(&node, hello);
        Ok(node)
    }

    /// This controller begins to lead: nodes come to it from the one before, and have their time for that.
    pub(super) fn begin(&self) {
        self.reports.send_modify(ReportCache::begin);
    }
}

/// The kernel tells who may connect, and all of those may name themselves.
impl server::Nodes for &Nodes {
    async fn joins(&self, hello: &Hello) -> Result<String, String> {
        self.admit(hello.node.clone(), hello)
    }

    fn acknowledges(&self, node: &str, ack: Ack) {
        let mut all = self.lock();
        let Some(known) = all.get_mut(node) else { return };
        let line = &mut known.line;
        let error = (!ack.error.is_empty()).then(|| ack.error.clone());
        if let Some(why) = error.as_ref().filter(|why| line.error.as_ref() != Some(why)) {
            warn!(node, version = ack.version, "the node does not serve the newest: {why}");
        }
        if ack.closed_total > 0 && ack.closed_total != line.closed {
            let needs: Vec<&str> = ack.closed.iter().map(|one| one.needs.as_str()).take(3).collect();
            warn!(
                node,
                items = ack.closed_total,
                needs = needs.join(", "),
                "the node serves items closed, which its version \
                 does not know; update it"
            );
        }
        (line.version, line.closed, line.error) = (ack.version, ack.closed_total, error);
        let report = ack::report(&line.program, &ack);
        drop(all);
        self.evidence.acknowledges(node);
        self.own.send_replace(Some(NodeReport::from(&report)));
        let now = Instant::now();
        self.reports.send_if_modified(|reports| reports.acknowledged(node, report, now));
    }

    fn hears(&self, node: &str) {
        let now = Instant::now();
        self.reports.send_if_modified(|reports| reports.alive(node, now));
    }

    fn withdraws(&self, node: &str) {
        let mut all = self.lock();
        // Another process of that name may serve by now.
        if all.get(node).is_some_and(|known| known.connections > 1) {
            return;
        }
        all.remove(node);
        drop(all);
        info!(node, "a node serves no more");
        self.evidence.withdraws(node);
        self.own.send_replace(None);
        self.reports.send_if_modified(|reports| reports.withdrawn(node, Instant::now()));
    }

    fn leaves(&self, node: &str) {
        let mut all = self.lock();
        let Some(known) = all.get_mut(node) else { return };
        known.connections = known.connections.saturating_sub(1);
        known.line.connected = known.connections > 0;
        if !known.line.connected {
            warn!(node, "the node's stream has ended; it serves what it has until it is back");
            drop(all);
            self.evidence.leaves(node);
        }
    }

    fn questions(&self, node: &str) -> mpsc::Receiver<Probe> {
        self.evidence.questions(node)
    }

    fn probed(&self, node: &str, probed: &Probed) {
        self.evidence.probed(node, probed.id, probed.reached);
    }
}
