//! Memory for the content of requests that may have to be sent again: bounded for a worker, and for each namespace in it, so that
//! the retries of one take nothing from others.

use std::cell::Cell;
use std::rc::Rc;

use super::{BufferLevel, NamespaceId, WorkerContext};

/// The part of the memory for buffers that such content may have: one in so many.
const BUFFER_PART: usize = 16;
/// Most of it in bytes, however many buffers there are.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// The part of that for one namespace: one in so many.
const NAMESPACE_PART: usize = 4;

/// Bytes that one worker has kept.
#[derive(Debug)]
pub(crate) struct ReplayMemory {
    used: Cell<usize>,
    most: usize,
}

/// Bytes that one request has kept; given back when dropped.
pub(crate) struct ReplayAccount {
    context: Rc<WorkerContext>,
    namespace: NamespaceId,
    taken: Cell<usize>,
}

impl ReplayMemory {
    /// For a worker with so many bytes of buffers.
    pub(crate) fn new(buffer_limit: usize) -> Self {
        Self { used: Cell::new(0), most: (buffer_limit / BUFFER_PART).min(MAX_BYTES) }
    }

    /// Takes room for more bytes of a namespace that has kept `own` so far; false if there is none.
    fn take(&self, bytes: usize, own: &Cell<usize>) -> bool {
        let all = self.used.get().saturating_add(bytes);
        let of_namespace = own.get().saturating_add(bytes);
        if all > self.most || of_namespace > self.most / NAMESPACE_PART {
            return false;
        }
        self.used.set(all);
        own.set(of_namespace);
        true
    }

    fn give_back(&self, bytes: usize, own: &Cell<usize>) {
        self.used.set(self.used.get().saturating_sub(bytes));
        own.set(own.get().saturating_sub(bytes));
    }
}

impl ReplayAccount {
    pub(crate) fn new(context: &Rc<WorkerContext>, namespace: NamespaceId) -> Self {
        Self { context: Rc::clone(context), namespace, taken: Cell::new(0) }
    }

    /// Takes room for more bytes; false if there is none, or if buffers are short: those are for requests.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        let has_room = self.context.buffer_level() == BufferLevel::Plenty
            && self.context.replay_memory.take(bytes, self.namespace.kept());
        if has_room {
            self.taken.set(self.taken.get() + bytes);
        }
        has_room
    }

    /// Gives all of it back.
    pub(crate) fn give_back(&self) {
        self.context.replay_memory.give_back(self.taken.take(), self.namespace.kept());
    }
}

impl Drop for ReplayAccount {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_takes_a_part_and_others_have_the_rest() {
        let memory = ReplayMemory::new(16 * 4000);
        let namespaces = [const { Cell::new(0) }; 5];
        let [first, others @ ..] = &namespaces;
        assert!(memory.take(999, first) && !memory.take(2, first) && memory.take(1, first));
        let taken = others.iter().filter(|own| memory.take(1000, own)).count();
        assert_eq!(taken, 3, "the worker's bound");
        memory.give_back(1000, first);
        let [.., last] = &namespaces;
        assert!(memory.take(1000, last));
        for own in &namespaces {
            memory.give_back(own.get(), own);
        }
        assert_eq!(memory.used.get(), 0);
    }

    #[test]
    fn there_is_a_bound_where_buffers_have_none() {
        let memory = ReplayMemory::new(usize::MAX);
        assert!(!memory.take(MAX_BYTES / NAMESPACE_PART + 1, &Cell::new(0)));
    }
}
