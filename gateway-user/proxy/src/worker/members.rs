//! Places in a worker's books, given back however their holder ends.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;

use super::clients::{ClientFull, ClientSlot};
use super::state::Worker;
use crate::signal::Signal;

/// What others may do to a connection.
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// No request is under way.
    pub(crate) idle: Cell<bool>,
    /// The connection must end now.
    pub(crate) kill: Signal,
}

/// A connection's place in the worker's list.
pub(crate) struct ConnectionSlot {
    worker: Rc<Worker>,
    key: usize,
    pub(crate) control: Rc<Control>,
    place: Cell<Place>,
    /// Boxed, since there is none unless clients are bounded.
    client: RefCell<Option<Box<ClientSlot>>>,
}

/// What a connection counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// One of those that there may be.
    Inside,
    /// One beyond them: its first request is read, and served if its namespace or listener goes first.
    OverLimit,
    /// The same, and it was.
    Admitted,
    /// The same, and it was refused, which was counted.
    Refused,
}

/// A connection that is told that there is no room.
pub(crate) struct OverloadSlot {
    worker: Rc<Worker>,
}

/// A request under way.
pub(crate) struct ActiveRequest {
    worker: Rc<Worker>,
}

impl ConnectionSlot {
    pub(super) fn new(worker: Rc<Worker>, key: usize, control: Rc<Control>, place: Place) -> Self {
        Self { worker, key, control, place: Cell::new(place), client: RefCell::default() }
    }

    /// Whether it is one more than there may be, and ends with its first response.
    pub(crate) fn is_over_limit(&self) -> bool {
        self.place.get() != Place::Inside
    }

    /// A connection over the limit is served all the same.
    pub(crate) fn admit(&self) {
        if self.place.get() == Place::OverLimit {
            self.place.set(Place::Admitted);
        }
    }

    /// A connection over the limit is not served; counts it.
    pub(crate) fn refuse(&self) {
        if self.place.replace(Place::Refused) == Place::OverLimit {
            self.worker.context.metrics.borrow_mut().counters.overloaded += 1;
        }
    }

    /// Counts the connection for its client, whoever it was counted for before.
    ///
    /// # Errors
    /// The client's network has its maximum.
    pub(crate) fn belongs_to(&self, client: IpAddr) -> Result<(), ClientFull> {
        self.client.take();
        let slot = self.worker.enter_client(client)?;
        self.client.replace(slot.map(Box::new));
        Ok(())
    }

    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// Counts a request as active until the guard is dropped.
    pub(crate) fn begin_request(&self) -> ActiveRequest {
        self.worker.context.metrics.borrow_mut().counters.active_requests += 1;
        ActiveRequest { worker: Rc::clone(&self.worker) }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.worker.leave(self.key, self.place.get());
    }
}

impl OverloadSlot {
    pub(super) fn new(worker: Rc<Worker>) -> Self {
        worker.refusing.set(worker.refusing.get() + 1);
        Self { worker }
    }

    pub(crate) fn worker(&self) -> &Worker {
        &self.worker
    }
}

impl Drop for OverloadSlot {
    fn drop(&mut self) {
        self.worker.refusing.set(self.worker.refusing.get().saturating_sub(1));
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let active = &mut self.worker.context.metrics.borrow_mut().counters.active_requests;
        *active = active.saturating_sub(1);
    }
}
