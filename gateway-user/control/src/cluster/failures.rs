//! Failures of one thing, logged once each.

use std::time::Duration;

use tracing::warn;

use crate::backoff::Backoff;

/// Failures of one thing in a row.
#[derive(Debug)]
pub(super) struct Failures {
    backoff: Backoff,
    /// Last logged error; empty since the last success.
    logged: String,
}

impl Failures {
    /// None yet. Delays double from `first` to `max`.
    pub(super) fn new(first: Duration, max: Duration) -> Self {
        Self { backoff: Backoff::new(first, max), logged: String::new() }
    }

    /// Logs an error, unless it was the last one too. Returns how long to wait before another attempt.
    pub(super) fn failed(&mut self, error: String) -> Duration {
        if error != self.logged {
            warn!("{error}");
        }
        self.logged = error;
        self.backoff.next_delay()
    }

    /// Notes a success.
    pub(super) fn passed(&mut self) {
        self.backoff.reset();
        self.logged.clear();
    }

    /// True if the last attempt failed.
    pub(super) fn has_failed(&self) -> bool {
        !self.logged.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_until_a_success() {
        let mut failures = Failures::new(Duration::from_millis(100), Duration::from_millis(300));
        for most in [100, 200, 300, 300, 0, 100] {
            if most == 0 {
                failures.passed();
                assert!(!failures.has_failed());
                continue;
            }
            let delay = failures.failed("injected by a test".to_owned());
            assert!(failures.has_failed());
            let most = Duration::from_millis(most);
            assert!(delay >= most / 2 && delay <= most, "{delay:?}");
        }
    }
}
