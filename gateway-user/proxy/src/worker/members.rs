//! Places in a worker's books, given back however their holder ends.

use std::cell::Cell;
use std::rc::Rc;

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
pub(crate) struct Membership {
    worker: Rc<Worker>,
    key: usize,
    pub(crate) control: Rc<Control>,
}

/// A connection that is told that there is no room.
pub(crate) struct Refused {
    worker: Rc<Worker>,
}

/// A request under way.
pub(crate) struct Active {
    worker: Rc<Worker>,
}

impl Membership {
    pub(super) fn new(worker: Rc<Worker>, key: usize, control: Rc<Control>) -> Self {
        Self { worker, key, control }
    }

    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// Counts a request as active until the guard is dropped.
    pub(crate) fn begin_request(&self) -> Active {
        self.worker.metrics.borrow_mut().counters.active_requests += 1;
        Active { worker: Rc::clone(&self.worker) }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.control.kill.forget();
        self.worker.leave(self.key);
    }
}

impl Refused {
    pub(super) fn new(worker: Rc<Worker>) -> Self {
        worker.refusing.set(worker.refusing.get() + 1);
        Self { worker }
    }

    pub(crate) fn worker(&self) -> &Worker {
        &self.worker
    }
}

impl Drop for Refused {
    fn drop(&mut self) {
        self.worker.refusing.set(self.worker.refusing.get().saturating_sub(1));
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let active = &mut self.worker.metrics.borrow_mut().counters.active_requests;
        *active = active.saturating_sub(1);
    }
}
