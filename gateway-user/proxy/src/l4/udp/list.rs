//! Lists through the entries of a slab: each entry is in several, and leaves any of them in a few steps.

use slab::Slab;

/// The neighbours of an entry in one list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    previous: Option<usize>,
    next: Option<usize>,
}

/// Both ends of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    first: Option<usize>,
    last: Option<usize>,
}

/// An entry with its links.
pub(super) trait Linked {
    /// Its link of the lists of this kind.
    fn link(&mut self, kind: usize) -> &mut Link;
}

impl List {
    /// The entry that was added first.
    pub(super) fn first(&self) -> Option<usize> {
        self.first
    }

    /// Adds an entry that is in no list of the kind, as the last one.
    pub(super) fn push<E: Linked>(&mut self, entries: &mut Slab<E>, kind: usize, index: usize) {
        let previous = self.last.replace(index);
        match previous.and_then(|previous| entries.get_mut(previous)) {
            Some(previous) => previous.link(kind).next = Some(index),
            None => self.first = Some(index),
        }
        if let Some(entry) = entries.get_mut(index) {
            *entry.link(kind) = Link { previous, next: None };
        }
    }

    /// Takes an entry of this list out of it.
    pub(super) fn remove<E: Linked>(&mut self, entries: &mut Slab<E>, kind: usize, index: usize) {
        let Some(entry) = entries.get_mut(index) else { return };
        let Link { previous, next } = std::mem::take(entry.link(kind));
        match previous.and_then(|previous| entries.get_mut(previous)) {
            Some(previous) => previous.link(kind).next = next,
            None => self.first = next,
        }
        match next.and_then(|next| entries.get_mut(next)) {
            Some(next) => next.link(kind).previous = previous,
            None => self.last = previous,
        }
    }
}
