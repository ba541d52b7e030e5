//! Connections that stay only while there is room for them, the oldest first.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::signal::Signal;

/// Those of one kind in one worker.
#[derive(Debug, Default)]
pub(crate) struct EvictableSlots {
    next: Cell<u64>,
    here: RefCell<BTreeMap<u64, Rc<Signal>>>,
}

/// The place of one of them, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct EvictableSlot<'a> {
    among: &'a EvictableSlots,
    key: u64,
    leave: Rc<Signal>,
}

impl EvictableSlots {
    pub(crate) fn enter(&self) -> EvictableSlot<'_> {
        let key = self.next.get();
        self.next.set(key + 1);
        let leave = Rc::new(Signal::default());
        self.here.borrow_mut().insert(key, Rc::clone(&leave));
        EvictableSlot { among: self, key, leave }
    }

    pub(crate) fn len(&self) -> usize {
        self.here.borrow().len()
    }

    /// Asks the oldest one to leave, if there is one, and counts it no more.
    pub(crate) fn end_oldest(&self) {
        let oldest = self.here.borrow_mut().pop_first();
        if let Some((_, leave)) = oldest {
            leave.raise();
        }
    }

    /// Asks all to leave, and counts them no more.
    pub(crate) fn end_all(&self) {
        let all = self.here.take();
        all.into_values().for_each(|leave| leave.raise());
    }
}

impl EvictableSlot<'_> {
    /// Ready once it must leave.
    pub(crate) fn leave(&self) -> &Signal {
        &self.leave
    }
}

impl Drop for EvictableSlot<'_> {
    fn drop(&mut self) {
        self.among.here.borrow_mut().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_one_leaves_first_and_places_come_back() {
        let evictable_slots = EvictableSlots::default();
        let [first, second, third] = [(); 3].map(|()| evictable_slots.enter());
        drop(first);
        evictable_slots.end_oldest();
        assert_eq!(evictable_slots.len(), 1);
        assert!(second.leave().is_raised() && !third.leave().is_raised());
        // It was counted out when it was asked to leave.
        drop(second);
        assert_eq!(evictable_slots.len(), 1);
        drop(third);
        evictable_slots.end_oldest();
        assert_eq!(evictable_slots.len(), 0);
        let [one, another] = [(); 2].map(|()| evictable_slots.enter());
        evictable_slots.end_all();
        assert!(one.leave().is_raised() && another.leave().is_raised());
        assert_eq!(evictable_slots.len(), 0);
    }
}
