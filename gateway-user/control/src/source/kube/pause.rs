//! How long to wait after a failure.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// The first pause.
const FIRST_DELAY: Duration = Duration::from_millis(250);
/// The longest.
const MAX_DELAY: Duration = Duration::from_secs(30);

/// Pauses that double from [`FIRST_DELAY`] to [`MAX_DELAY`]; each is a random part between a half and the
/// whole of that, so that nodes that lost their server together do not come back together.
#[derive(Debug, Default)]
pub(super) struct RetryDelays {
    failures: u32,
    random: RandomState,
}

impl RetryDelays {
    pub(super) fn next(&mut self) -> Duration {
        let whole = FIRST_DELAY.saturating_mul(1 << self.failures.min(10)).min(MAX_DELAY);
        let random = self.random.hash_one(self.failures) % 1000;
        self.failures = self.failures.saturating_add(1);
        whole / 2 + (whole / 2).mul_f64(random as f64 / 1000.0)
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
        self.random = RandomState::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        let (mut a, mut b) = (RetryDelays::default(), RetryDelays::default());
        let of = |pauses: &mut RetryDelays| (0..12).map(|_| pauses.next()).collect::<Vec<_>>();
        let (first, second) = (of(&mut a), of(&mut b));
        assert_ne!(first, second);
        for (n, pause) in first.iter().enumerate() {
            let whole = FIRST_DELAY.saturating_mul(1 << n).min(MAX_DELAY);
            assert!((whole / 2..=whole).contains(pause), "{n}: {pause:?}");
        }
        a.reset();
        assert!(a.next() <= FIRST_DELAY);
    }
}
