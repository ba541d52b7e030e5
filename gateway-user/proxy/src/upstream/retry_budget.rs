//! The part of a cluster's requests that retries may be, in one worker: when a backend fails as a whole, retries must not add to its
//! load.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use gateway_ir::RetryBudget as Settings;

/// Parts of an interval that are forgotten one by one.
const SLOTS: usize = 10;

/// Retries of one cluster. Costs nothing before the first.
#[derive(Debug, Default)]
pub(super) struct RetryBudget {
    window: RefCell<Option<Box<Window>>>,
}

/// Requests and retries of the last interval.
#[derive(Debug)]
struct Window {
    settings: Settings,
    slots: [Slot; SLOTS],
    current: usize,
    /// When the current slot began.
    began: Instant,
    /// The count of requests that the slots know of.
    counted: u64,
    /// Retries of the minimum that are left, and when that was so.
    spare: f64,
    refilled: Instant,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    requests: u64,
    retries: u64,
}

impl RetryBudget {
    /// Takes a retry; false if there is none left. `entered` counts the cluster's requests.
    pub(super) fn take(&self, settings: &Settings, entered: u64, now: Instant) -> bool {
        let mut window = self.window.borrow_mut();
        let known = window.take().filter(|window| window.settings == *settings);
        let fresh = || Box::new(Window::new(*settings, entered, now));
        window.insert(known.unwrap_or_else(fresh)).take(entered, now)
    }

    /// Has the interval go on.
    pub(super) fn roll(&self, entered: u64, now: Instant) {
        self.window.borrow_mut().iter_mut().for_each(|window| window.roll(entered, now));
    }
}

impl Window {
    fn new(settings: Settings, entered: u64, now: Instant) -> Self {
        let spare = f64::from(settings.min_count);
        // The request that is to be tried again is known.
        let counted = entered.saturating_sub(1);
        Self {
            settings,
            slots: [Slot::default(); SLOTS],
            current: 0,
            began: now,
            counted,
            spare,
            refilled: now,
        }
    }

    fn roll(&mut self, entered: u64, now: Instant) {
        let fresh = entered.wrapping_sub(self.counted);
        self.counted = entered;
        if let Some(slot) = self.slots.get_mut(self.current) {
            slot.requests += fresh;
        }
        let length =
            Duration::from_millis(self.settings.interval_ms / SLOTS as u64).max(Duration::from_millis(1));
        let passed = now.saturating_duration_since(self.began).as_nanos() / length.as_nanos();
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        for _ in 0..passed.min(SLOTS as u32) {
            self.current = (self.current + 1) % SLOTS;
            if let Some(slot) = self.slots.get_mut(self.current) {
                *slot = Slot::default();
            }
        }
        self.began = self.began.checked_add(length.saturating_mul(passed)).unwrap_or(now);
    }

    fn take(&mut self, entered: u64, now: Instant) -> bool {
        self.roll(entered, now);
        let sum = |count: fn(&Slot) -> u64| self.slots.iter().map(count).sum::<u64>();
        let (requests, retries) = (sum(|slot| slot.requests), sum(|slot| slot.retries));
        let Settings { percent, min_count, min_interval_ms, .. } = self.settings;
        let is_within =
            retries.saturating_add(1).saturating_mul(100) <= requests.saturating_mul(percent.into());
        let most = f64::from(min_count);
        let since = now.saturating_duration_since(self.refilled).as_secs_f64();
        let interval = Duration::from_millis(min_interval_ms.max(1)).as_secs_f64();
        self.spare = (self.spare + most * since / interval).min(most);
        self.refilled = now;
        let may = is_within || self.spare >= 1.0;
        if may && !is_within {
            self.spare -= 1.0;
        }
        if let Some(slot) = self.slots.get_mut(self.current).filter(|_| may) {
            slot.retries += 1;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTINGS: Settings =
        Settings { percent: 20, interval_ms: 10_000, min_count: 3, min_interval_ms: 1000 };

    #[test]
    fn a_minimum_is_allowed_and_comes_back() {
        let (budget, began) = (RetryBudget::default(), Instant::now());
        let taken = |at: Instant| (0..10).filter(|_| budget.take(&SETTINGS, 1, at)).count();
        assert_eq!(taken(began), 3);
        assert_eq!(taken(began), 0);
        assert_eq!(taken(began + Duration::from_millis(400)), 1);
        assert_eq!(taken(began + Duration::from_secs(60)), 3, "no more than a minimum is saved up");
    }

    #[test]
    fn retries_are_a_part_of_the_requests_of_the_last_interval() {
        let none = Settings { min_count: 0, ..SETTINGS };
        let (budget, began) = (RetryBudget::default(), Instant::now());
        assert!(!budget.take(&none, 0, began));
        let taken = |entered, at: u64| {
            let at = began + Duration::from_secs(at);
            (0..1000).filter(|_| budget.take(&none, entered, at)).count()
        };
        assert_eq!(taken(100, 0), 20);
        assert_eq!(taken(200, 5), 20);
        budget.roll(200, began + Duration::from_secs(11));
        assert_eq!(taken(200, 11), 0, "the second hundred has had its part");
        assert_eq!(taken(200, 60), 0, "requests of long ago are no traffic");
        assert_eq!(taken(300, 60), 20);
    }

    proptest! {
        #[test]
        fn no_interval_has_more_retries_than_its_part_and_minimum(
            steps in prop::collection::vec((0..20_u64, 0..20_usize, 1..700_u64), 1..80),
        ) {
            let (budget, began) = (RetryBudget::default(), Instant::now());
            let (mut entered, mut at_ms) = (0, 0);
            let mut allowed = Vec::new();
            for (requests, wanted, wait) in steps {
                entered += requests;
                at_ms += wait;
                let now = began + Duration::from_millis(at_ms);
                budget.roll(entered, now);
                let got = (0..wanted).filter(|_| budget.take(&SETTINGS, entered, now)).count();
                allowed.push((at_ms, requests, got as u64));
            }
            for (last, (end, ..)) in allowed.iter().enumerate() {
                let within = |from: u64| allowed[..=last].iter().filter(move |(at, ..)| at + from > *end);
                let retries: u64 = within(9_000).map(|(_, _, got)| got).sum();
                let requests: u64 = within(20_000).map(|(_, requests, _)| requests).sum();
                // 3 a second, and 3 that were saved up.
                prop_assert!(retries <= requests / 5 + 3 * 10 + 3, "{retries} of {requests}");
            }
        }
    }
}
