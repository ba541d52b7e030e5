//! When to try again what fails, and when to say so.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use tracing::warn;

/// Failures of one thing in a row. The pause after each doubles, from `first` to `most`, a little longer at
/// random so that processes that failed together do not try again together.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
    /// Last logged error; none since the last success.
    said: String,
}

impl Backoff {
    pub(super) fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first, said: String::new() }
    }

    /// Says what failed, unless that was said, and gives how long to wait before another attempt.
    pub(super) fn failed(&mut self, what: String) -> Duration {
        if what != self.said {
            warn!("{what}");
        }
        self.said = what;
        let pause = jittered(self.next);
        self.next = (self.next * 2).min(self.most);
        pause
    }

    /// It worked.
    pub(super) fn passed(&mut self) {
        self.next = self.first;
        self.said.clear();
    }

    /// True if the last attempt failed.
    pub(super) fn has_failed(&self) -> bool {
        !self.said.is_empty()
    }
}

/// The time itself up to a fifth more.
pub(super) fn jittered(time: Duration) -> Duration {
    time + time * u32::try_from(random() % 1024).unwrap_or(0) / 5120
}

/// A number that differs from call to call and process to process, which is all that is asked of it.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_most() {
        let mut failures = Backoff::new(Duration::from_millis(100), Duration::from_millis(300));
        for least in [100, 200, 300, 300, 0, 100] {
            if least == 0 {
                failures.passed();
                assert!(!failures.has_failed());
                continue;
            }
            let pause = failures.failed("injected by a test".to_owned());
            assert!(failures.has_failed());
            let least = Duration::from_millis(least);
            assert!(pause >= least && pause <= least * 6 / 5, "{pause:?}");
        }
    }
}
