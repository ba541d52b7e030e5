//! Slots of connections and requests in their worker's counts, given back however their holder ends.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

use crate::context::Control;
use crate::worker::{ClientFull, ClientSlot, Worker};

/// A connection's place in the worker's list.
pub(crate) struct ConnectionSlot {
    worker: Rc<Worker>,
    key: usize,
    pub(crate) control: Rc<Control>,
    /// Boxed, since there is none unless clients are bounded.
    client: RefCell<Option<Box<ClientSlot>>>,
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
    pub(crate) fn new(worker: Rc<Worker>, key: usize, control: Rc<Control>) -> Self {
        Self { worker, key, control, client: RefCell::default() }
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
        self.worker.leave(self.key, self.control.place());
    }
}

impl OverloadSlot {
    pub(crate) fn new(worker: Rc<Worker>) -> Self {
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
