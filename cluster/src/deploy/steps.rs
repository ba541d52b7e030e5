//! Time that each step of a command took.

use std::time::Instant;

/// Steps, one after the other.
pub(super) struct Steps {
    began: Instant,
    last: Instant,
}

impl Steps {
    /// The first begins now.
    pub(super) fn begin() -> Self {
        let now = Instant::now();
        Self { began: now, last: now }
    }

    /// The next step begins now: the time before was not one's.
    pub(super) fn pause(&mut self) {
        self.last = Instant::now();
    }

    /// Prints what was done since the step before, and how long it took.
    pub(super) fn done(&mut self, what: &str) {
        let now = Instant::now();
        let (step, all) = (now - self.last, now - self.began);
        println!("== {what}: {:.1} s ({:.1} s in all)", step.as_secs_f64(), all.as_secs_f64());
        self.last = now;
    }
}
