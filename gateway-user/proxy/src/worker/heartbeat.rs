//! A worker's sign of life.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When a thread's loop last turned. One thread writes it and others read it; nobody waits.
#[derive(Debug)]
pub struct Heartbeat {
    epoch: Instant,
    /// Milliseconds since the epoch.
    last: AtomicU64,
}

impl Default for Heartbeat {
    /// One that has just been seen.
    fn default() -> Self {
        Self { epoch: Instant::now(), last: AtomicU64::new(0) }
    }
}

impl Heartbeat {
    /// One that was seen so long ago.
    pub fn since(age: Duration) -> Self {
        let now = Instant::now();
        Self { epoch: now.checked_sub(age).unwrap_or(now), last: AtomicU64::new(0) }
    }

    /// The loop turns.
    pub fn stamp(&self) {
        self.last.store(self.now(), Ordering::Relaxed);
    }

    /// How long ago the loop turned.
    pub fn age(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.last.load(Ordering::Relaxed)))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
