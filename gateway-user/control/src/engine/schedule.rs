//! Times at which the compiler thread looks for work though no event came.

use std::time::Duration;

use super::{POLL_INTERVAL, RETRY_DELAY};

/// Pauses before the source is looked at without an event.
#[derive(Debug)]
pub(super) struct Schedule {
    pause: Duration,
}

impl Schedule {
    /// Begins at the end of the first reading; `unsettled` says that something of it failed and may work later.
    pub(super) fn new(unsettled: bool) -> Self {
        Self { pause: if unsettled { RETRY_DELAY } else { POLL_INTERVAL } }
    }

    /// Begins anew after an event.
    pub(super) fn restart(&mut self, unsettled: bool) {
        *self = Self::new(unsettled);
    }

    /// Goes on after a look without an event.
    pub(super) fn advance(&mut self, unsettled: bool) {
        self.pause = if unsettled { POLL_INTERVAL.min(self.pause * 2) } else { POLL_INTERVAL };
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
        let mut schedule = Schedule::new(true);
        for millis in [20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_000, 10_000] {
            assert_eq!(schedule.pause(), Duration::from_millis(millis));
            schedule.advance(true);
        }
        schedule.restart(true);
        assert_eq!(schedule.pause(), Duration::from_millis(20), "an event begins anew");
        schedule.advance(false);
        assert_eq!(schedule.pause(), POLL_INTERVAL, "nothing is left to try");
        assert_eq!(Schedule::new(false).pause(), POLL_INTERVAL);
    }
}
