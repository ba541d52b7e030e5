//! Results of a run.

use serde::{Deserialize, Serialize};

/// How a request failed. Each failed request has one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// No connection could be made: ECONNREFUSED.
    Refused,
    /// The connection was reset, before or in the middle of the response.
    Reset,
    /// No whole response in time.
    Timeout,
    /// The connection ended in order before the whole response had come.
    ClosedEarly,
    /// A whole response, but another status, id or body than the request must have.
    Wrong,
    /// The client could not even try: it had no port, descriptor or memory. Such a run proves nothing.
    Local,
}

/// Failed requests by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failures {
    /// [`FailureKind::Refused`].
    pub refused: u64,
    /// [`FailureKind::Reset`].
    pub reset: u64,
    /// [`FailureKind::Timeout`].
    pub timeout: u64,
    /// [`FailureKind::ClosedEarly`].
    pub closed_early: u64,
    /// [`FailureKind::Wrong`].
    pub wrong: u64,
    /// [`FailureKind::Local`].
    pub local: u64,
}

/// One failed request, to be laid beside the proxy's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// The request's id.
    pub id: String,
    /// Milliseconds from the start of the run to the failure.
    pub at_ms: u64,
    /// Kind of failure.
    pub kind: FailureKind,
    /// Description of the failure.
    pub detail: String,
}

/// Events of connections apart from requests; none of them is a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Connections {
    /// Number of connections made.
    pub opened: u64,
    /// Ended by the proxy with `Connection: close` on a response (RFC 9112 section 9.6).
    pub announced_closes: u64,
    /// Ended by the proxy while no request was on them (RFC 9112 section 9.5).
    pub idle_closes: u64,
}

/// Conversations of many messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Conversations {
    /// Number of conversations begun.
    pub opened: u64,
    /// Ended by the proxy in order, as a drain does at its maximum.
    pub ended: u64,
    /// Milliseconds from the start of the run to the first such end.
    pub first_end_ms: Option<u64>,
    /// Messages under way at such an end, which were sent again in another conversation.
    pub resent: u64,
    /// Ended in another way while no message was under way.
    pub broken: u64,
}

/// Microseconds from the moment a request was due, whether or not it could be sent then, to the last byte of
/// its response; of verified responses only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// Median.
    pub p50_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// Largest.
    pub max_us: u64,
}

/// Requests of one client that arrived at the backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrivals {
    /// Number of different ids.
    pub seen: u64,
    /// Number of arrivals of an id that had arrived before.
    pub duplicated: u64,
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The name of a [`Mode`](crate::load::Mode).
    pub mode: String,
    /// Number of requests that were to be sent.
    pub planned: u64,
    /// Requests that were begun: those that met a refused connection count.
    pub sent: u64,
    /// Number of requests whose response was verified.
    pub ok: u64,
    /// Requests that failed.
    pub failed: Failures,
    /// Requests without any end: the run's time was over first.
    pub missing: u64,
    /// The backend's count; absent if it was not asked.
    pub witness: Option<Arrivals>,
    /// Connections.
    pub connections: Connections,
    /// Conversations; requests are their messages.
    #[serde(default)]
    pub conversations: Conversations,
    /// Latency.
    pub latency: Latency,
    /// Longest time between two verified responses, in microseconds.
    #[serde(default)]
    pub longest_gap_us: u64,
    /// Length of the run in seconds.
    pub seconds: f64,
    /// The first failures, at most [`Report::SAMPLES`].
    pub samples: Vec<Sample>,
}

impl Failures {
    /// Counts one.
    pub fn add(&mut self, kind: FailureKind) {
        *match kind {
            FailureKind::Refused => &mut self.refused,
            FailureKind::Reset => &mut self.reset,
            FailureKind::Timeout => &mut self.timeout,
            FailureKind::ClosedEarly => &mut self.closed_early,
            FailureKind::Wrong => &mut self.wrong,
            FailureKind::Local => &mut self.local,
        } += 1;
    }

    /// Number of failures of all kinds.
    pub fn total(&self) -> u64 {
        self.refused + self.reset + self.timeout + self.closed_early + self.wrong + self.local
    }
}

impl Report {
    /// Most failures that are described one by one.
    pub const SAMPLES: usize = 40;

    /// Number of arrivals at the backend beyond the first, as far as known.
    pub fn duplicated(&self) -> u64 {
        self.witness.map_or(0, |w| w.duplicated)
    }

    /// Number of all things that should not have happened.
    pub fn lost(&self) -> u64 {
        self.failed.total() + self.conversations.broken + self.missing + self.duplicated()
    }
}
