//! Failures of one thing, logged once each.

use std::time::Duration;

use tracing::warn;

use crate::backoff::Backoff;

/// Errors of one thing in a row, each logged once.
#[derive(Debug, Default)]
pub(crate) struct ErrorLog {
    /// Last logged error; empty since the last success.
    last: String,
}

impl ErrorLog {
    /// Logs an error, unless it was the last one too.
    pub(crate) fn failed(&mut self, error: String) {
        if error != self.last {
            warn!("{error}");
        }
        self.last = error;
    }

    /// Notes a success.
    pub(crate) fn passed(&mut self) {
        self.last.clear();
    }

    /// True if the last attempt failed.
    pub(crate) fn has_failed(&self) -> bool {
        !self.last.is_empty()
    }
}

/// Failures of one thing in a row, with the delays after them.
#[derive(Debug)]
pub(super) struct Failures {
    backoff: Backoff,
    errors: ErrorLog,
}

impl Failures {
    /// None yet. Delays double from `first` to `max`.
    pub(super) fn new(first: Duration, max: Duration) -> Self {
        Self { backoff: Backoff::new(first, max), errors: ErrorLog::default() }
    }

    /// Logs an error, unless it was the last one too. Returns how long to wait before another attempt.
    pub(super) fn failed(&mut self, error: String) -> Duration {
        self.errors.failed(error);
        self.backoff.next_delay()
    }

    /// Notes a success.
    pub(super) fn passed(&mut self) {
        self.backoff.reset();
        self.errors.passed();
    }

    /// True if the last attempt failed.
    pub(super) fn has_failed(&self) -> bool {
        self.errors.has_failed()
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
