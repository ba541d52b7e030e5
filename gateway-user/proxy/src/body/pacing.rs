//! The pace of a body: how long its sender may be silent, and how slowly its receiver may take it.

use std::time::Duration;

use super::coop_budget::CoopBudget;
use super::min_rate::MinRate;
use crate::timeouts::Timeouts;

/// The time limits of one body.
#[derive(Debug)]
pub(crate) struct Pacing<'a> {
    /// Longest wait for a piece.
    pub(crate) wait: Duration,
    /// The sender's minimum rate meanwhile.
    pub(crate) min_rate: Option<MinRate<'a>>,
    /// The receiver's slowest pace.
    pub(crate) send_timeout: SendTimeout,
    /// Lets other connections run.
    pub(crate) budget: CoopBudget,
}

/// How slowly a receiver may take what is sent to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendTimeout {
    /// A wait as long as this ends, unless
    pub(crate) limit: Duration,
    /// the receiver took so many bytes a second in its second half; with zero, any.
    pub(crate) rate: u64,
}

impl SendTimeout {
    /// For receivers that only have to take something.
    pub(crate) fn of(limit: Duration) -> Self {
        Self { limit, rate: 0 }
    }

    /// For a client that takes a response.
    pub(crate) fn of_client(timeouts: &Timeouts) -> Self {
        Self { limit: timeouts.client_send, rate: timeouts.client_rate }
    }
}
