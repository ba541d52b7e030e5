//! The standing of one connection, which others may end and requests may change.

use std::cell::Cell;

use crate::signal::Signal;

/// Shared by a connection, its requests and its worker.
#[derive(Debug)]
pub(crate) struct Control {
    /// No request is under way.
    pub(crate) idle: Cell<bool>,
    /// The request that is under way, or the last one, came soon after another one.
    pub(crate) busy: Cell<bool>,
    /// The connection must end now.
    pub(crate) kill: Signal,
    place: Cell<Place>,
}

/// How a connection counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// One of those that there may be.
    Inside,
    /// One beyond them: its first request is read, and served if its namespace or listener goes first.
    OverLimit,
    /// The same, and it was.
    Admitted,
    /// The same, and it was refused, which was counted.
    Refused,
}

impl Control {
    pub(crate) fn new(place: Place) -> Self {
        Self {
            idle: Cell::new(false),
            busy: Cell::new(false),
            kill: Signal::default(),
            place: Cell::new(place),
        }
    }

    pub(crate) fn place(&self) -> Place {
        self.place.get()
    }

    /// True if it is one more than there may be, and ends with its first response.
    pub(crate) fn is_over_limit(&self) -> bool {
        self.place.get() != Place::Inside
    }

    /// A connection over the limit is served all the same.
    pub(crate) fn admit(&self) {
        if self.place.get() == Place::OverLimit {
            self.place.set(Place::Admitted);
        }
    }

    /// A connection over the limit is not served; true if that is still to be counted.
    pub(crate) fn refuse(&self) -> bool {
        self.place.replace(Place::Refused) == Place::OverLimit
    }
}
