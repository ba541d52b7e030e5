//! Counts of what is written into the cluster.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use gateway_api_types::Kind;

/// Outcome of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The server has it.
    Written,
    /// Somebody else was faster, or the object is gone; made anew from what the watch brings.
    Conflict,
    /// The server refused, or did not respond; retried.
    Failed,
}

impl Outcome {
    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Conflict => "conflict",
            Self::Failed => "failed",
        }
    }
}

/// Counts since the start of the process; shared by all who write, read by whoever shows metrics.
#[derive(Debug, Default)]
pub struct ClusterTally {
    statuses: Mutex<BTreeMap<(Kind, Outcome), u64>>,
    reports: Mutex<BTreeMap<Outcome, u64>>,
    events: AtomicU64,
    events_left_out: AtomicU64,
    leads: AtomicBool,
}

impl ClusterTally {
    pub(super) fn status(&self, kind: Kind, outcome: Outcome) {
        *self.statuses.lock().unwrap_or_else(PoisonError::into_inner).entry((kind, outcome)).or_default() +=
            1;
    }

    pub(super) fn report(&self, outcome: Outcome) {
        *self.reports.lock().unwrap_or_else(PoisonError::into_inner).entry(outcome).or_default() += 1;
    }

    pub(super) fn event(&self, sent: bool) {
        let count = if sent { &self.events } else { &self.events_left_out };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn lead(&self, leads: bool) {
        self.leads.store(leads, Ordering::Relaxed);
    }

    /// Writes of statuses, by kind and outcome.
    pub fn statuses(&self) -> BTreeMap<(Kind, Outcome), u64> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes of this node's report, by outcome.
    pub fn reports(&self) -> BTreeMap<Outcome, u64> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Events that were sent, and those that were not for their number.
    pub fn events(&self) -> (u64, u64) {
        (self.events.load(Ordering::Relaxed), self.events_left_out.load(Ordering::Relaxed))
    }

    /// True if this process writes the status of objects.
    pub fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }
}
