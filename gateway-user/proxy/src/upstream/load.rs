//! How much one backend may have under way in one worker, so that a stuck one never takes what others live on.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use gateway_io::now;

use super::retry_budget::RetryBudget;
use crate::{ProxyConfig, Reason};

/// The requests of one cluster. It outlives snapshots and endpoint updates: whoever is under way still counts.
#[derive(Debug, Default)]
pub(crate) struct ClusterLimits {
    requests: Cell<usize>,
    /// Of those, the ones whose response has not begun.
    pending: Cell<usize>,
    /// Requests that ever had a place.
    entered: Cell<u64>,
    retries: RetryBudget,
}

/// A request's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    load: Rc<ClusterLimits>,
    pending: Cell<bool>,
}

impl ClusterLimits {
    /// Takes a place for a request.
    ///
    /// # Errors
    /// Which limit is reached.
    pub(crate) fn enter(self: &Rc<Self>, limits: &ProxyConfig) -> Result<Permit, Reason> {
        if self.requests.get() >= limits.max_upstream_requests {
            return Err(Reason::OverloadRequests);
        }
        if self.pending.get() >= limits.max_upstream_pending {
            return Err(Reason::OverloadPending);
        }
        self.requests.set(self.requests.get() + 1);
        self.pending.set(self.pending.get() + 1);
        self.entered.set(self.entered.get().wrapping_add(1));
        Ok(Permit { load: Rc::clone(self), pending: Cell::new(true) })
    }
}

impl ClusterLimits {
    /// Takes a retry out of the budget of retries; false if it is spent.
    pub(crate) fn may_retry(&self, budget: &gateway_ir::RetryBudget) -> bool {
        self.retries.take(budget, self.entered.get(), now())
    }

    /// Has the budget see the time pass, about every second.
    pub(super) fn sweep(&self, now: Instant) {
        self.retries.roll(self.entered.get(), now);
    }
}

impl Permit {
    /// The backend has begun its response, or nothing is expected of it any more.
    pub(crate) fn response_began(&self) {
        if self.pending.replace(false) {
            self.load.pending.set(self.load.pending.get().saturating_sub(1));
        }
    }
}

impl Permit {
    /// Takes a waiting place again, for another attempt; false if there is none.
    pub(crate) fn begin_again(&self, limits: &ProxyConfig) -> bool {
        if self.pending.get() {
            return true;
        }
        let pending = self.load.pending.get();
        let has_room = pending < limits.max_upstream_pending;
        if has_room {
            self.load.pending.set(pending + 1);
            self.pending.set(true);
        }
        has_room
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.response_began();
        self.load.requests.set(self.load.requests.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_frees_a_waiting_place_and_its_end_the_request() {
        let limits =
            ProxyConfig { max_upstream_requests: 3, max_upstream_pending: 2, ..ProxyConfig::default() };
        let load = Rc::new(ClusterLimits::default());
        let enter = || load.enter(&limits);
        let (first, second) = (enter().unwrap(), enter().unwrap());
        assert_eq!(enter().unwrap_err(), Reason::OverloadPending);
        first.response_began();
        first.response_began();
        let third = enter().unwrap();
        second.response_began();
        assert_eq!(enter().unwrap_err(), Reason::OverloadRequests);
        drop(first);
        let fourth = enter().unwrap();
        assert_eq!(enter().unwrap_err(), Reason::OverloadRequests);
        drop((second, third, fourth));
        assert_eq!((load.requests.get(), load.pending.get()), (0, 0));
    }
    #[test]
    fn a_request_that_waits_for_another_attempt_holds_no_waiting_place() {
        let limits = ProxyConfig { max_upstream_pending: 1, ..ProxyConfig::default() };
        let load = Rc::new(ClusterLimits::default());
        let first = load.enter(&limits).unwrap();
        assert!(first.begin_again(&limits), "it has one");
        first.response_began();
        let second = load.enter(&limits).unwrap();
        assert!(!first.begin_again(&limits));
        drop(second);
        assert!(first.begin_again(&limits));
        assert_eq!(load.enter(&limits).unwrap_err(), Reason::OverloadPending);
        drop(first);
        assert_eq!((load.pending.get(), load.requests.get()), (0, 0));
    }
}
