//! Reports of the other nodes.
//!
//! The leader keeps the reports. A follower keeps the version of each node's report and the time it changed:
//! a new leader must know how long each node has been silent.

mod follow;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use gateway_translate::NodeReport;
use serde::Deserialize as _;
use tokio::time::Instant;
use tracing::debug;

use super::record::{NodeRecord, RecordStatus};
use super::reporter::RENEW_INTERVAL;
use crate::kube_watch::Item;

pub(super) use follow::follow;

/// Reports older than this, by our clock, are ignored: four times what it takes to renew a report.
const REPORT_TIMEOUT: Duration = Duration::from_secs(40);

/// Renewals come every ten seconds, this node's own among them. Without any for this long we hear nothing:
/// then silence says nothing of anybody.
const WATCH_TIMEOUT: Duration = Duration::from_secs(20);
/// No definition of reports, or no right to read them, is believed once it has lasted this long: while a
/// cluster is being set up, or its API server begins, either may pass.
const MISSING_GRACE: Duration = Duration::from_secs(5);

/// One node's report in an event of the watch.
#[derive(Clone, Debug, Default, PartialEq)]
struct ReportEvent {
    node: String,
    /// Changes whenever the node says anything.
    version: Option<String>,
    /// Absent where the report itself is not asked for.
    status: Option<RecordStatus>,
}

/// The last report of one node.
#[derive(Clone, Debug)]
struct NodeState {
    version: Option<String>,
    status: Option<RecordStatus>,
    /// From when its silence is counted.
    since: Instant,
}

/// The reports of a cluster as a watch brings them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReportCache {
    records: BTreeMap<String, NodeState>,
    /// True if a whole list of reports has arrived, or there is none to be had.
    complete: bool,
    /// When anything was heard last.
    last: Option<Instant>,
    /// When the watch failed, if it has not brought anything since.
    failed: Option<Instant>,
}

impl ReportCache {
    /// Takes what a node says; gives whether that is news: that it is still there is none.
    fn observe(&mut self, said: ReportEvent, now: Instant) -> bool {
        let back = self.mark_received(now);
        let known = self.records.get(&said.node);
        let news = back
            || known.is_none_or(|known| {
                now >= known.since + REPORT_TIMEOUT
                    || known.status.as_ref().map(content) != said.status.as_ref().map(content)
            });
        let since = known.filter(|known| known.is_same_report(&said)).map_or(now, |known| known.since);
        self.records.insert(said.node, NodeState { version: said.version, status: said.status, since });
        news
    }

    /// Something was heard. After a time in which nothing could be, everybody who had a say before it has a
    /// full `REPORT_TIMEOUT` to speak again: they may have lost the server as we did. If it was short that
    /// time alone is not counted: a watch that breaks again and again must not keep a dead node alive. Gives
    /// whether there was such a time.
    fn mark_received(&mut self, now: Instant) -> bool {
        let ended = self.received_until(now);
        let deaf = now - ended;
        if !deaf.is_zero() {
            for known in self.records.values_mut().filter(|known| ended < known.since + REPORT_TIMEOUT) {
                known.since = if deaf < RENEW_INTERVAL { (known.since + deaf).min(now) } else { now };
            }
        }
        (self.last, self.failed) = (Some(now), None);
        !deaf.is_zero()
    }

    /// The watch has failed: until it brings something again, nobody can be heard.
    fn fail(&mut self, now: Instant) {
        self.failed = Some(self.failed.unwrap_or(now));
    }

    /// Until when we would have heard who speaks.
    fn received_until(&self, now: Instant) -> Instant {
        let deaf = self.last.map(|last| last + WATCH_TIMEOUT);
        [deaf, self.failed].into_iter().flatten().fold(now, Instant::min)
    }

    /// True if all nodes that have reported are among them.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Begins anew with reports or, after a leadership, without: what they say is forgotten, and not when
    /// they spoke.
    pub(crate) fn begin(&mut self) {
        self.complete = false;
        self.records.values_mut().for_each(|known| known.status = None);
    }

    /// The reports of those who are not silent, by node. Nobody is found to be silent while nothing can be
    /// heard, nor before a whole `REPORT_TIMEOUT` of the leadership that began at `leads_since`.
    pub(super) fn current(&self, now: Instant, leads_since: Option<Instant>) -> BTreeMap<String, NodeReport> {
        let at = self.received_until(now);
        let counts = |since: Instant| {
            at < since + REPORT_TIMEOUT
                || leads_since.is_some_and(|won| won < since + REPORT_TIMEOUT && at < won + REPORT_TIMEOUT)
        };
        let current = self.records.iter().filter(|(_, known)| counts(known.since));
        let reports = current
            .filter_map(|(node, known)| Some((node.clone(), NodeReport::from(known.status.as_ref()?))));
        reports.collect()
    }
}

/// Reports that come by the nodes' own streams: a node is there as long as its stream is.
impl ReportCache {
    /// A node's word on what it serves; gives whether it is news.
    pub(crate) fn acknowledged(&mut self, node: &str, status: RecordStatus, now: Instant) -> bool {
        let news =
            self.observe(ReportEvent { node: node.to_owned(), version: None, status: Some(status) }, now);
        self.alive(node, now);
        news
    }

    /// A node is there; gives whether that is news.
    pub(crate) fn alive(&mut self, node: &str, now: Instant) -> bool {
        let back = self.mark_received(now);
        let Some(known) = self.records.get_mut(node) else { return back };
        let news = back || now >= known.since + REPORT_TIMEOUT;
        known.since = now;
        news
    }

    /// A node serves no more; gives whether that is news.
    pub(crate) fn withdrawn(&mut self, node: &str, now: Instant) -> bool {
        self.remove(node, now)
    }

    /// Nodes could have been heard until now; gives whether any has fallen silent, or is heard again.
    pub(crate) fn listening(&mut self, now: Instant) -> bool {
        let before = self.last.unwrap_or(now);
        let back = self.mark_received(now);
        let fell =
            |known: &NodeState| before < known.since + REPORT_TIMEOUT && now >= known.since + REPORT_TIMEOUT;
        back || self.records.values().any(fell)
    }

    /// All nodes have had their time.
    pub(crate) fn complete(&mut self) {
        self.complete = true;
    }

    /// True if no node has said anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// A record without its time.
fn content(status: &RecordStatus) -> RecordStatus {
    RecordStatus { renew_time: None, ..status.clone() }
}

impl NodeState {
    /// True if the report is unchanged. A follower that starts to read reports compares versions alone.
    fn is_same_report(&self, said: &ReportEvent) -> bool {
        let both = self.status.as_ref().zip(said.status.as_ref());
        self.version == said.version && both.is_none_or(|(known, status)| known == status)
    }
}

impl<const META: bool> From<Item<META>> for ReportEvent {
    /// A report that cannot be read says that the node is there, and of no Gateway that it is served.
    fn from(item: Item<META>) -> Self {
        let node = item.key().name;
        let version = item.resource_version().map(str::to_owned);
        let status = (!META).then(|| match NodeRecord::deserialize(item.into_value()) {
            Ok(record) => record.status,
            Err(error) => {
                debug!("NodeReport {node}: {error}");
                RecordStatus::default()
            }
        });
        Self { node, version, status }
    }
}

impl ReportCache {
    /// Forgets a node whose report is gone; gives whether that is news.
    fn remove(&mut self, node: &str, now: Instant) -> bool {
        let back = self.mark_received(now);
        self.records.remove(node).is_some() || back
    }

    /// Takes the end of a whole list, whose reports have been observed: no other node has one.
    fn retain(&mut self, nodes: &HashSet<&str>, now: Instant) {
        self.mark_received(now);
        self.records.retain(|node, _| nodes.contains(node.as_str()));
        self.complete = true;
    }
}

#[cfg(test)]
mod tests;
