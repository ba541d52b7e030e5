//! Activity of a connection: written by its own task, read by the accept loop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::Limits;

/// The state of one connection, in milliseconds since its server began.
///
/// A connection waits for a request, or has one whose response is not yet wholly in the kernel's hands.
#[derive(Debug)]
pub(crate) struct Activity {
    epoch: Instant,
    /// When the present phase began.
    phase: AtomicU64,
    /// When the first byte of the awaited head came, plus one; 0 if none has.
    head: AtomicU64,
    /// When a byte was last read or written.
    progress: AtomicU64,
    requests: AtomicU64,
    responding: AtomicBool,
    /// The response's body has been taken by the writer.
    body_taken: AtomicBool,
}

impl Activity {
    pub(crate) fn new(epoch: Instant) -> Self {
        let activity = Self {
            epoch,
            phase: AtomicU64::new(0),
            head: AtomicU64::new(0),
            progress: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            responding: AtomicBool::new(false),
            body_taken: AtomicBool::new(false),
        };
        let now = activity.now();
        activity.phase.store(now, Ordering::Relaxed);
        activity.progress.store(now, Ordering::Relaxed);
        activity
    }

    /// Milliseconds since the epoch.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Bytes were read.
    pub(crate) fn read(&self) {
        let now = self.now();
        self.progress.store(now, Ordering::Relaxed);
        if !self.is_responding() && self.head.load(Ordering::Relaxed) == 0 {
            self.head.store(now + 1, Ordering::Relaxed);
        }
    }

    /// Bytes were written.
    pub(crate) fn wrote(&self) {
        self.progress.store(self.now(), Ordering::Relaxed);
    }

    /// A whole request head has come.
    pub(crate) fn begin_response(&self) {
        let now = self.now();
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.phase.store(now, Ordering::Relaxed);
        self.progress.store(now, Ordering::Relaxed);
        self.head.store(0, Ordering::Relaxed);
        self.body_taken.store(false, Ordering::Relaxed);
        self.responding.store(true, Ordering::Relaxed);
    }

    /// The writer has the whole body.
    pub(crate) fn take_body(&self) {
        self.body_taken.store(true, Ordering::Relaxed);
    }

    /// Everything that was buffered is in the kernel's hands.
    pub(crate) fn flushed(&self) {
        if self.is_responding() && self.body_taken.load(Ordering::Relaxed) {
            self.phase.store(self.now(), Ordering::Relaxed);
            self.responding.store(false, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_responding(&self) -> bool {
        self.responding.load(Ordering::Relaxed)
    }

    /// Kept alive between two requests.
    pub(crate) fn is_idle(&self) -> bool {
        !self.is_responding()
            && self.requests.load(Ordering::Relaxed) > 0
            && self.head.load(Ordering::Relaxed) == 0
    }

    /// Milliseconds in the present phase.
    pub(crate) fn phase_age(&self) -> u64 {
        self.now().saturating_sub(self.phase.load(Ordering::Relaxed))
    }

    /// Milliseconds without a byte in either direction.
    pub(crate) fn stalled_for(&self) -> u64 {
        self.now().saturating_sub(self.progress.load(Ordering::Relaxed))
    }

    /// A time limit has passed.
    pub(crate) fn is_overdue(&self, limits: &Limits) -> bool {
        let past = |age: u64, limit: std::time::Duration| u128::from(age) > limit.as_millis();
        if self.is_responding() {
            return past(self.stalled_for(), limits.write) || past(self.phase_age(), limits.response);
        }
        match self.head.load(Ordering::Relaxed).checked_sub(1) {
            Some(first) => past(self.now().saturating_sub(first), limits.header),
            None if self.is_idle() => past(self.phase_age(), limits.idle),
            None => past(self.phase_age(), limits.header),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits() -> Limits {
        Limits {
            connections: 1,
            header: Duration::from_secs(10),
            idle: Duration::from_secs(100),
            write: Duration::from_secs(20),
            response: Duration::from_secs(200),
        }
    }

    /// An activity of a server that began so many seconds ago; nothing has happened since its second 0.
    fn aged(seconds: u64) -> Activity {
        let activity = Activity::new(Instant::now() - Duration::from_secs(seconds));
        activity.phase.store(0, Ordering::Relaxed);
        activity.progress.store(0, Ordering::Relaxed);
        activity
    }

    #[test]
    fn each_phase_has_its_own_limit() {
        assert!(!aged(5).is_overdue(&limits()));
        assert!(aged(15).is_overdue(&limits()), "a first request that never begins");
        let idle = aged(50);
        idle.requests.store(1, Ordering::Relaxed);
        assert!(idle.is_idle() && !idle.is_overdue(&limits()), "idle may be longer than a head");
        idle.head.store(1, Ordering::Relaxed);
        assert!(
            !idle.is_idle() && idle.is_overdue(&limits()),
            "a later head has the same limit as the first"
        );
        let stalled = aged(25);
        stalled.responding.store(true, Ordering::Relaxed);
        assert!(stalled.is_overdue(&limits()));
        stalled.wrote();
        assert!(!stalled.is_overdue(&limits()), "it goes on");
        let dripping = aged(300);
        dripping.responding.store(true, Ordering::Relaxed);
        dripping.wrote();
        assert!(dripping.is_overdue(&limits()), "a drip does not last for ever");
    }

    #[test]
    fn a_response_ends_when_its_body_is_flushed() {
        let activity = aged(0);
        activity.begin_response();
        activity.flushed();
        assert!(activity.is_responding(), "more of the body may come");
        activity.take_body();
        assert!(activity.is_responding(), "the kernel does not have it");
        activity.flushed();
        assert!(activity.is_idle());
    }
}
