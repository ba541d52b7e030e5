//! Times at which the compiler thread looks for work though no event came.

use std::time::Duration;

use super::{POLL_INTERVAL, RETRY_DELAY};
use crate::backoff::Backoff;

/// Pauses before the source is looked at without an event.
#[derive(Debug)]
pub(super) struct Schedule {
    backoff: Backoff,
    pause: Duration,
}

impl Schedule {
    /// Begins at the end of the first reading; `unsettled` says that something of it failed and may work
    /// later.
    pub(super) fn new(unsettled: bool) -> Self {
        let mut new = Self { backoff: Backoff::exact(RETRY_DELAY, POLL_INTERVAL), pause: POLL_INTERVAL };
        new.advance(unsettled);
        new
    }

    /// Begins anew after an event.
    pub(super) fn restart(&mut self, unsettled: bool) {
        self.backoff.reset();
        self.advance(unsettled);
    }

    /// Goes on after a look without an event.
    pub(super) fn advance(&mut self, unsettled: bool) {
        self.pause = if unsettled {
            self.backoff.next_delay()
        } else {
            self.backoff.reset();
            POLL_INTERVAL
        };
    }

    /// Time until the next look.
    pub(super) fn pause(&self) -> Duration {
        self.pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_twenty_milliseconds_to_ten_seconds_while_something_fails() {
        let is = |schedule: &Schedule, want| {
            let want = Duration::from_millis(want);
            assert!(schedule.pause().abs_diff(want) < Duration::from_millis(1), "{schedule:?} {want:?}");
        };
        let mut schedule = Schedule::new(true);
        for millis in [20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_000, 10_000] {
            is(&schedule, millis);
            schedule.advance(true);
        }
        schedule.restart(true);
        is(&schedule, 20);
        schedule.advance(false);
        assert_eq!(schedule.pause(), POLL_INTERVAL, "nothing is left to try");
        schedule.advance(true);
        is(&schedule, 20);
        assert_eq!(Schedule::new(false).pause(), POLL_INTERVAL);
    }
}
