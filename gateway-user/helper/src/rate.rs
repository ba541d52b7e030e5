//! A bound on requests: so many at once, and so many a second.

use std::time::{Duration, Instant};

/// Requests that a gateway may make at once: sockets for thousands of listeners on many workers.
const BURST: u32 = 65_536;
/// Requests that it gets back each second.
const A_SECOND: u32 = 4096;

/// The requests that a connection has left.
#[derive(Debug)]
pub(crate) struct Allowance {
    left: u32,
    since: Instant,
}

impl Allowance {
    pub(crate) fn new(now: Instant) -> Self {
        Self { left: BURST, since: now }
    }

    /// Takes as many. False if there are fewer.
    pub(crate) fn take(&mut self, count: u32, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.since).as_secs();
        if seconds > 0 {
            let more = u32::try_from(seconds).unwrap_or(u32::MAX).saturating_mul(A_SECOND);
            self.left = self.left.saturating_add(more).min(BURST);
            self.since += Duration::from_secs(seconds);
        }
        match self.left.checked_sub(count) {
            Some(left) => self.left = left,
            None => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_ends_and_time_gives_some_back() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        assert_eq!((0..BURST + 9).filter(|_| allowance.take(1, start)).count(), BURST as usize);
        let later = start + Duration::from_secs(2);
        assert_eq!((0..BURST).filter(|_| allowance.take(1, later)).count(), 2 * A_SECOND as usize);
        assert!(!allowance.take(A_SECOND, later) && !allowance.take(1, later));
        let hours = later + Duration::from_secs(1 << 40);
        assert_eq!((0..BURST + 9).filter(|_| allowance.take(1, hours)).count(), BURST as usize);
    }
}
