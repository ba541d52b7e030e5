//! Hot restarts that failed, counted by reason.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a process did not take over from this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It runs as another user.
    Peer,
    /// The two have no version of the messages in common, or one of them does not keep to it.
    Protocol,
    /// Another process was taking over, or a configuration was being made live that took long.
    Busy,
    /// Its part of the descriptors could not be collected.
    Collect,
    /// It ended before its configuration was live.
    Ended,
    /// Its configuration was not live in time.
    Timeout,
    /// It ended after that, before this process had let go.
    Vanished,
    /// The connection to it failed.
    Lost,
    /// This process was about to end.
    Stopping,
}

impl Reason {
    /// All of them, in the order of the counters.
    const ALL: [Self; 9] = [
        Self::Peer,
        Self::Protocol,
        Self::Busy,
        Self::Collect,
        Self::Ended,
        Self::Timeout,
        Self::Vanished,
        Self::Lost,
        Self::Stopping,
    ];

    /// As a label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Protocol => "protocol",
            Self::Busy => "busy",
            Self::Collect => "collect",
            Self::Ended => "ended",
            Self::Timeout => "timeout",
            Self::Vanished => "vanished",
            Self::Lost => "lost",
            Self::Stopping => "stopping",
        }
    }
}

/// Why, for programs and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HandoffError {
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

impl HandoffError {
    /// With a sentence.
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl fmt::Display for HandoffError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Counters by reason, shared by all who can fail.
#[derive(Clone, Debug, Default)]
pub(crate) struct FailureCounters(Arc<[AtomicU64; Reason::ALL.len()]>);

impl FailureCounters {
    /// One more.
    pub(crate) fn count(&self, reason: Reason) {
        if let Some(counter) = self.0.get(reason as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every reason with its count.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let name = |(reason, counter): (Reason, &AtomicU64)| (reason.name(), counter.load(Ordering::Relaxed));
        Reason::ALL.into_iter().zip(self.0.iter()).map(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        let failures = FailureCounters::default();
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            for _ in 0..=index {
                failures.clone().count(reason);
            }
        }
        let counts: Vec<u64> = failures.each().map(|(_, count)| count).collect();
        assert_eq!(counts, (1..=Reason::ALL.len() as u64).collect::<Vec<_>>());
    }
}
