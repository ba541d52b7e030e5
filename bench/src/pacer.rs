//! Bodies that take their time: a transfer must be under way while a proxy is replaced.

use std::time::Duration;

use tokio::time::Instant;

/// Spreads a body evenly over a time.
#[derive(Clone, Debug)]
pub struct Pacer {
    start: Instant,
    over: Duration,
    total: u64,
}

const TICK: Duration = Duration::from_millis(10);

/// Most bytes in one piece.
pub const PIECE_SIZE: usize = 16 * 1024;

impl Pacer {
    /// `total` bytes from now on; `over` zero is as fast as the connection takes them.
    pub fn new(total: u64, over: Duration) -> Self {
        Self { start: Instant::now(), over, total }
    }

    /// Length of the piece that follows after `done` bytes; 0 at the end.
    pub fn piece(&self, done: u64) -> usize {
        let steps = (self.over.as_millis() / TICK.as_millis()).max(1);
        let even = u64::try_from(u128::from(self.total).div_ceil(steps)).unwrap_or(u64::MAX);
        let left = self.total.saturating_sub(done);
        usize::try_from(even.min(left)).map_or(PIECE_SIZE, |n| n.min(PIECE_SIZE))
    }

    /// When the piece after `done` bytes is due.
    pub fn due(&self, done: u64) -> Instant {
        match self.total {
            0 => self.start,
            total => self.start + self.over.mul_f64(done as f64 / total as f64),
        }
    }

    /// True if there is any waiting in it.
    pub fn is_spread(&self) -> bool {
        !self.over.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_up_the_total() {
        for (total, over) in [(0, 0), (1, 0), (100_000, 0), (100_000, 1000), (7, 1000)] {
            let pacer = Pacer::new(total, Duration::from_millis(over));
            let (mut done, mut last) = (0, pacer.due(0));
            while pacer.piece(done) > 0 {
                assert!(pacer.due(done) >= last);
                last = pacer.due(done);
                done += pacer.piece(done) as u64;
            }
            assert_eq!(done, total);
        }
    }
}
