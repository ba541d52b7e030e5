//! When to try again.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

/// A pause that doubles with every failure, from `first` to `most`, each a little longer at random so that processes
/// that failed together do not try again together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    next: Duration,
    most: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration, most: Duration) -> Self {
        Self { next: first, most }
    }

    /// The pause after another failure.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = jittered(self.next);
        self.next = (self.next * 2).min(self.most);
        pause
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
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(300));
        for least in [100, 200, 300, 300] {
            let pause = backoff.pause();
            let least = Duration::from_millis(least);
            assert!(pause >= least && pause <= least * 6 / 5, "{pause:?}");
        }
    }
}
