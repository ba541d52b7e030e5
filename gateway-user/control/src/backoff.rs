//! Delays before another attempt at what failed.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// Delays that double from the first to the longest, until an attempt succeeds.
#[derive(Debug)]
pub(crate) struct Backoff {
    policy: ExponentialBuilder,
    delays: <ExponentialBuilder as BackoffBuilder>::Backoff,
    max: Duration,
}

/// First delay between requests to the API server.
const FIRST: Duration = Duration::from_millis(250);
/// Longest delay between them.
const MAX: Duration = Duration::from_secs(30);

impl Default for Backoff {
    /// Delays between requests to the API server: 0.25 s to 30 s.
    fn default() -> Self {
        Self::new(FIRST, MAX)
    }
}

impl Backoff {
    /// Delays from `first` to `max`, each a random part between a half and the whole, so that processes that
    /// lost a server together do not come back together.
    pub(crate) fn new(first: Duration, max: Duration) -> Self {
        // The library adds to a delay up to as much again.
        Self::of(ExponentialBuilder::new().with_jitter(), first / 2, max / 2, max)
    }

    /// Delays from `first` to `max` as they are, for attempts that ask nothing of others.
    pub(crate) fn exact(first: Duration, max: Duration) -> Self {
        Self::of(ExponentialBuilder::new(), first, max, max)
    }

    fn of(policy: ExponentialBuilder, least: Duration, most: Duration, max: Duration) -> Self {
        let policy = policy.with_min_delay(least).with_max_delay(most).without_max_times();
        Self { policy, delays: policy.build(), max }
    }

    /// Time to wait after another failure.
    pub(crate) fn next_delay(&mut self) -> Duration {
        self.delays.next().unwrap_or(self.max)
    }

    /// Begins anew, after a success.
    pub(crate) fn reset(&mut self) {
        self.delays = self.policy.build();
    }
}

/// An interval and at random up to a fifth more, for what many processes do again and again.
pub(crate) fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(1.0 + fastrand::f64() / 5.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first twelve delays.
    fn twelve(backoff: &mut Backoff) -> Vec<Duration> {
        (0..12).map(|_| backoff.next_delay()).collect()
    }

    #[test]
    fn delays_double_to_the_longest_and_are_random_from_a_half_to_the_whole() {
        let (mut a, mut b) = (Backoff::default(), Backoff::default());
        let (first, second) = (twelve(&mut a), twelve(&mut b));
        assert_ne!(first, second);
        for (n, delay) in first.iter().enumerate() {
            let whole = FIRST.saturating_mul(1 << n).min(MAX);
            assert!((whole / 2..=whole).contains(delay), "{n}: {delay:?}");
        }
        a.reset();
        assert!(a.next_delay() <= FIRST);
    }

    #[test]
    fn exact_delays_double_to_the_longest() {
        let mut backoff = Backoff::exact(FIRST, MAX);
        for _ in 0..2 {
            for (n, delay) in twelve(&mut backoff).into_iter().enumerate() {
                let want = FIRST.saturating_mul(1 << n).min(MAX);
                assert!(delay.abs_diff(want) < Duration::from_millis(1), "{n}: {delay:?}");
            }
            backoff.reset();
        }
    }

    #[test]
    fn an_interval_is_a_fifth_longer_at_most() {
        let all: Vec<Duration> = (0..100).map(|_| jittered(FIRST)).collect();
        assert!(all.iter().all(|one| (FIRST..=FIRST * 6 / 5).contains(one)), "{all:?}");
        assert!(all.iter().any(|one| *one != all[0]));
    }
}
