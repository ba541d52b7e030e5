//! The minimum rate of a sender, measured only while it is waited for.

use std::cell::Cell;
use std::time::Duration;

/// Longest window: without a limit on silence there would be none.
const MAX_WINDOW: Duration = Duration::from_secs(60);

/// The recent bytes and waits of one sender. A sender that is held up by a slow receiver is not waited for, so it owes nothing.
#[derive(Debug)]
pub(crate) struct MinRate<'a> {
    /// Bytes owed for each window of waiting.
    required: u64,
    window: Duration,
    waited: Cell<Duration>,
    got: Cell<u64>,
    /// Status of the response that has begun: a conversation has no pace. 0 before.
    response_status: Option<&'a Cell<u16>>,
}

impl<'a> MinRate<'a> {
    /// At least `rate` bytes a second on the average of each window; zero asks for nothing. The window is as long as the
    /// sender may be silent, so that who is never silent for that long has sent something in each.
    pub(crate) fn new(rate: u64, window: Duration, response_status: &'a Cell<u16>) -> Self {
        Self { response_status: Some(response_status), ..Self::of_sender(rate, window) }
    }

    /// The same for a sender whose response is out, and who owes that much to the end.
    pub(crate) fn of_sender(rate: u64, window: Duration) -> Self {
        let window = window.min(MAX_WINDOW);
        let required = u64::try_from(window.as_millis()).unwrap_or(u64::MAX).saturating_mul(rate) / 1000;
        Self { required, window, waited: Cell::default(), got: Cell::default(), response_status: None }
    }

    /// Counts a piece and the wait for it; false if the sender is too slow.
    pub(crate) fn is_met(&self, waited: Duration, piece: usize) -> bool {
        let waited = self.waited.get() + waited;
        let got = self.got.get() + piece as u64;
        if waited < self.window {
            self.waited.set(waited);
            self.got.set(got);
            return true;
        }
        self.waited.set(Duration::ZERO);
        self.got.set(0);
        got >= self.required || self.response_status.is_some_and(|status| status.get() != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How many pieces of `piece` bytes, each a second apart, are taken before the sender is too slow.
    fn pieces(rate: u64, piece: usize, response_status: u16) -> Option<usize> {
        let response_status = Cell::new(response_status);
        let min_rate = MinRate::new(rate, 60 * SECOND, &response_status);
        (0..1000).find(|_| !min_rate.is_met(SECOND, piece))
    }

    #[test]
    fn a_byte_a_second_is_too_slow_and_a_slow_phone_is_not() {
        assert_eq!(pieces(100, 1, 0), Some(59));
        assert_eq!(pieces(100, 99, 0), Some(59));
        assert_eq!(pieces(100, 100, 0), None);
        assert_eq!(pieces(100, 1024, 0), None);
    }

    #[test]
    fn an_upload_may_pause_and_make_up_for_it() {
        let response_status = Cell::new(0);
        let min_rate = MinRate::new(100, 60 * SECOND, &response_status);
        assert!(
            min_rate.is_met(Duration::ZERO, 6000)
                && min_rate.is_met(59 * SECOND, 0)
                && min_rate.is_met(SECOND, 0)
        );
        assert!(!min_rate.is_met(60 * SECOND, 5999), "what came before the window does not count");
    }

    #[test]
    fn neither_no_rate_nor_an_answer_that_has_begun_asks_for_any() {
        assert_eq!(pieces(0, 0, 0), None);
        assert_eq!(pieces(100, 1, 200), None);
    }

    #[test]
    fn without_a_limit_on_silence_there_is_a_window_all_the_same() {
        let response_status = Cell::new(0);
        let min_rate = MinRate::new(100, 1_000_000 * SECOND, &response_status);
        assert!(!min_rate.is_met(60 * SECOND, 1));
    }
}
