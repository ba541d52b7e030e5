//! Bound on what is written in a second for users' objects, together by all that writes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// The bound. Clones share it; they are admitted in the order in which they ask.
#[derive(Clone, Debug)]
pub(super) struct Pace(Option<Arc<Mutex<Bucket>>>);

/// Writes that are left as of `since`; one second's at the most.
#[derive(Debug)]
struct Bucket {
    per_second: f64,
    left: f64,
    since: Instant,
}

impl Pace {
    /// So many writes in a second; 0 is no bound.
    pub(super) fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        let bucket = Bucket { per_second, left: per_second, since: Instant::now() };
        Self((per_second > 0.0).then(|| Arc::new(Mutex::new(bucket))))
    }

    /// Waits until one more may be written.
    ///
    /// # Errors
    /// None may by `until`; with the time to ask again.
    pub(super) async fn admit(&self, until: Instant) -> Result<(), Instant> {
        let Some(bucket) = &self.0 else { return Ok(()) };
        // Held while it waits, so that nobody gets ahead.
        let mut bucket = bucket.lock().await;
        let when = bucket.next(Instant::now());
        if when > until {
            return Err(when);
        }
        sleep_until(when).await;
        bucket.next(Instant::now());
        bucket.left -= 1.0;
        Ok(())
    }
}

impl Bucket {
    /// The time at which one more may be written.
    fn next(&mut self, now: Instant) -> Instant {
        let filled = now.duration_since(self.since).as_secs_f64() * self.per_second;
        self.left = (self.left + filled).min(self.per_second);
        self.since = now;
        now + Duration::from_secs_f64((1.0 - self.left).max(0.0) / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_has_so_many_writes_whoever_asks() {
        let (pace, began) = (Pace::new(50), Instant::now());
        let other = pace.clone();
        let end = began + Duration::from_secs(3);
        let mut admitted = 0;
        while pace.admit(end).await.is_ok() && other.admit(end).await.is_ok() {
            admitted += 2;
        }
        // Those of the first second at once, and then of three seconds.
        assert!((198..=200).contains(&admitted), "{admitted}");
        let again = pace.admit(Instant::now()).await.unwrap_err();
        assert!(again > Instant::now(), "none is left");
        assert_eq!(pace.admit(again).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_bound_nothing_waits() {
        let (pace, now) = (Pace::new(0), Instant::now());
        for _ in 0..10_000 {
            assert_eq!(pace.admit(now).await, Ok(()));
        }
        assert_eq!(Instant::now(), now);
    }
}
