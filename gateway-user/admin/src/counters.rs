//! Counters of a server, for the metrics page.

use std::sync::atomic::{AtomicU64, Ordering};

/// Reason for which the server closed a connection by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedReason {
    /// Its client is in none of the allowed networks, or is another user.
    Client,
    /// The server had its maximum, and no connection was worth less than the new one.
    Full,
    /// It made room for another one.
    Evicted,
    /// It was idle, slow or stalled for too long.
    Timeout,
}

impl ClosedReason {
    /// All of them, in the order of the counters.
    pub const ALL: [Self; 4] = [Self::Client, Self::Full, Self::Evicted, Self::Timeout];

    /// The value of the metric's label.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Full => "full",
            Self::Evicted => "evicted",
            Self::Timeout => "timeout",
        }
    }
}

/// Counters of one server; all of them only grow but [`connections`](Self::connections).
#[derive(Debug, Default)]
pub struct ServerCounters {
    connections: AtomicU64,
    closed: [AtomicU64; ClosedReason::ALL.len()],
}

impl ServerCounters {
    pub(crate) fn set_connections(&self, count: usize) {
        self.connections.store(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn count(&self, reason: ClosedReason) {
        if let Some(counter) = self.closed.get(reason as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Connections open now.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Connections that the server closed by itself, by reason.
    pub fn closed(&self) -> impl Iterator<Item = (ClosedReason, u64)> + '_ {
        let value = |(reason, counter): (ClosedReason, &AtomicU64)| (reason, counter.load(Ordering::Relaxed));
        ClosedReason::ALL.into_iter().zip(&self.closed).map(value)
    }
}
