//! One timer per worker instead of one per operation: a dense table of due ticks, swept by a single task.
//!
//! Setting or clearing a deadline is a store into the table. The sweep reads four bytes per slot and tick, so
//! 20,000 idle slots cost microseconds per tick, while arming and disarming a timer wheel for every receive
//! and send would cost more than the parsing of a request head.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    time::{Duration, Instant},
};

/// A slot that is not due.
const NEVER: u32 = u32::MAX;

/// Most time that passes for deadlines between two sweeps. A worker that was stopped for longer (its process,
/// or the whole machine) finds what its peers did meanwhile first; and what it begins before the next sweep
/// reckons from the last one. Both would be cut off for a time in which nobody could have sent anything.
const LONGEST_STEP: Duration = Duration::from_millis(500);

/// A slot that was not registered.
const UNREGISTERED: usize = usize::MAX;

/// Target of a slot, told when its tick has come. Called outside any borrow of the table.
pub(crate) trait OnDue {
    /// `what` is the number given at registration.
    fn on_due(&self, what: Due);
}

/// The slot that came due, for targets that have several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// A deadline of the caller.
    Deadline,
    /// A receive has held a buffer for too long without data.
    Quiet,
}

type Target = (Weak<dyn OnDue>, Due);

/// The table of one worker.
pub(crate) struct TimerTable {
    began: Instant,
    /// Time that did not pass for deadlines.
    skipped: Cell<Duration>,
    tick: Duration,
    now: Cell<Instant>,
    ticks: Cell<u32>,
    // Due ticks apart from the targets: the sweep reads only these.
    due: RefCell<Vec<u32>>,
    targets: RefCell<Vec<Option<Target>>>,
    free: RefCell<Vec<usize>>,
    // Reused by every sweep.
    passed: RefCell<Vec<Target>>,
}

impl TimerTable {
    pub(crate) fn new(tick: Duration) -> Rc<TimerTable> {
        let began = Instant::now();
        Rc::new(TimerTable {
            began,
            skipped: Cell::default(),
            tick: tick.max(Duration::from_millis(1)),
            now: Cell::new(began),
            ticks: Cell::new(0),
            due: RefCell::default(),
            targets: RefCell::default(),
            free: RefCell::default(),
            passed: RefCell::default(),
        })
    }

    pub(crate) fn tick(&self) -> Duration {
        self.tick
    }

    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    /// Reads the clock, and tells every target whose tick has passed.
    pub(crate) fn run(&self) {
        self.run_at(Instant::now());
    }

    pub(crate) fn run_at(&self, now: Instant) {
        let step = now.duration_since(self.now.replace(now));
        self.skipped.set(self.skipped.get() + step.saturating_sub(LONGEST_STEP));
        let elapsed = now.duration_since(self.began).saturating_sub(self.skipped.get());
        self.ticks.set(self.whole_ticks(elapsed));
        let mut passed = self.passed.take();
        self.collect(&mut passed);
        for (target, what) in passed.drain(..) {
            if let Some(target) = target.upgrade() {
                target.on_due(what);
            }
        }
        self.passed.replace(passed);
    }

    fn collect(&self, passed: &mut Vec<Target>) {
        let now = self.ticks.get();
        let targets = self.targets.borrow();
        for (index, due) in self.due.borrow_mut().iter_mut().enumerate() {
            if *due <= now {
                *due = NEVER;
                passed.extend(targets.get(index).cloned().flatten());
            }
        }
    }

    fn whole_ticks(&self, span: Duration) -> u32 {
        u32::try_from(span.as_millis() / self.tick.as_millis()).unwrap_or(NEVER - 1).min(NEVER - 1)
    }

    /// The tick at which at least `span` has passed from now: rounded up, plus one because the present tick
    /// has begun already.
    fn tick_after(&self, span: Duration) -> u32 {
        self.ticks.get().saturating_add(self.whole_ticks(span).saturating_add(2)).min(NEVER - 1)
    }

    fn register(&self, target: Target) -> usize {
        if let Some(index) = self.free.borrow_mut().pop() {
            if let Some(slot) = self.targets.borrow_mut().get_mut(index) {
                *slot = Some(target);
            }
            return index;
        }
        self.due.borrow_mut().push(NEVER);
        let mut targets = self.targets.borrow_mut();
        targets.push(Some(target));
        targets.len() - 1
    }

    fn set(&self, index: usize, tick: u32) {
        if let Some(due) = self.due.borrow_mut().get_mut(index) {
            *due = tick;
        }
    }

    fn unregister(&self, index: usize) {
        self.set(index, NEVER);
        let target = self.targets.borrow_mut().get_mut(index).and_then(Option::take);
        if target.is_some() {
            self.free.borrow_mut().push(index);
        }
    }

    #[cfg(test)]
    fn registered(&self) -> usize {
        self.targets.borrow().len() - self.free.borrow().len()
    }
}

/// A place in the table; given back on drop.
pub(crate) struct Slot {
    timers: Rc<TimerTable>,
    index: Cell<usize>,
}

impl Slot {
    /// A slot without target; it does nothing until `register`.
    pub(crate) fn new(timers: Rc<TimerTable>) -> Slot {
        Slot { timers, index: Cell::new(UNREGISTERED) }
    }

    /// Gives the slot its target. The table holds it weakly.
    pub(crate) fn register(&self, target: Weak<dyn OnDue>, what: Due) {
        let before = self.index.replace(self.timers.register((target, what)));
        self.timers.unregister(before);
    }

    /// Makes the slot due once `span` has passed from now on (at most two ticks later).
    pub(crate) fn set(&self, span: Duration) {
        self.timers.set(self.index.get(), self.timers.tick_after(span));
    }

    pub(crate) fn clear(&self) {
        self.timers.set(self.index.get(), NEVER);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.timers.unregister(self.index.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Expired(RefCell<Vec<Due>>);

    impl OnDue for Expired {
        fn on_due(&self, what: Due) {
            self.0.borrow_mut().push(what);
        }
    }

    fn slot(timers: &Rc<TimerTable>, told: &Rc<Expired>) -> Slot {
        let slot = Slot::new(Rc::clone(timers));
        let weak: Weak<Expired> = Rc::downgrade(told);
        slot.register(weak, Due::Deadline);
        slot
    }

    #[test]
    fn a_slot_is_told_once_and_never_early() {
        let timers = TimerTable::new(Duration::from_millis(1));
        let told = Rc::new(Expired::default());
        let slot = slot(&timers, &told);
        let set = Instant::now();
        slot.set(Duration::from_millis(20));
        while told.0.borrow().is_empty() {
            timers.run();
        }
        assert!(set.elapsed() >= Duration::from_millis(20));
        std::thread::sleep(Duration::from_millis(30));
        timers.run();
        assert_eq!(*told.0.borrow(), [Due::Deadline]);
    }

    #[test]
    fn time_in_which_the_worker_was_stopped_does_not_count() {
        let timers = TimerTable::new(Duration::from_millis(50));
        let told = Rc::new(Expired::default());
        let (before, after) = (slot(&timers, &told), slot(&timers, &told));
        let mut now = Instant::now();
        timers.run_at(now);
        before.set(Duration::from_secs(5));
        // Stopped; what begins right after that has no newer clock.
        now += Duration::from_secs(3600);
        after.set(Duration::from_secs(5));
        for _ in 0..80 {
            timers.run_at(now);
            now += Duration::from_millis(50);
        }
        assert!(told.0.borrow().is_empty(), "told after 4 of 5 seconds");
        for _ in 0..30 {
            timers.run_at(now);
            now += Duration::from_millis(50);
        }
        assert_eq!(told.0.borrow().len(), 2);
    }

    #[test]
    fn a_cleared_or_dropped_slot_is_not_told_and_its_place_is_reused() {
        let timers = TimerTable::new(Duration::from_millis(1));
        let told = Rc::new(Expired::default());
        let cleared = slot(&timers, &told);
        let dropped = slot(&timers, &told);
        cleared.set(Duration::ZERO);
        dropped.set(Duration::ZERO);
        cleared.clear();
        drop(dropped);
        std::thread::sleep(Duration::from_millis(10));
        timers.run();
        assert!(told.0.borrow().is_empty());
        let again = slot(&timers, &told);
        assert_eq!(timers.registered(), 2);
        assert_eq!(timers.targets.borrow().len(), 2);
        drop((cleared, again));
        assert_eq!(timers.registered(), 0);
    }
}
