//! Everything that the tasks of one worker share. All of it belongs to one thread; no borrow is held across a wait.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gateway_io::{BufferLevel, Driver, buffer_level};
use slab::Slab;

use super::clients::{ClientCounts, ClientFull, ClientSlot};
use crate::ProxyConfig;
use crate::connection::slot::{ConnectionSlot, OverloadSlot};
use crate::context::{Control, EvictableSlot, EvictableSlots, Live, LogSink, Place, WorkerContext};
use crate::h1::scratch::Scratch;
use crate::signal::Signal;

/// Most scratch storage kept for reuse; a burst beyond it is freed again.
const SPARE_SCRATCH: usize = 256;
/// Connections beyond the maximum that are held at once until it is known whose they are.
const MAX_OVER_LIMIT: usize = 64;
/// Connections at once that are read on from after their response, without limits of what is read.
const MAX_LINGERING: usize = 1000;

/// Tells whoever steers connections how many this worker has: a plain store, called on every change.
pub type Gauge = Box<dyn Fn(u64) + Send>;

/// One worker: its connections, and the context of their requests.
pub(crate) struct Worker {
    pub(crate) context: Rc<WorkerContext>,
    clients: ClientCounts,
    gauge: Gauge,
    #[expect(
        clippy::vec_box,
        reason = "a pointer moves in and out of connection tasks, not half a kilobyte"
    )]
    spare: RefCell<Vec<Box<Scratch>>>,
    connections: RefCell<Slab<Rc<Control>>>,
    /// Flows of UDP listeners.
    flows: Cell<usize>,
    /// Of the connections, the ones beyond the maximum.
    over_limit: Cell<usize>,
    /// Connections that are being told that there is no room.
    pub(crate) refusing: Cell<usize>,
    lingering: EvictableSlots,
    /// Nothing is accepted any more.
    sealed: Cell<bool>,
    /// Raised when nothing is accepted any more and the last connection and flow are gone.
    empty: Rc<Signal>,
}

impl Worker {
    pub(crate) fn new(config: Arc<ProxyConfig>, driver: Driver, gauge: Gauge, log: LogSink) -> Self {
        Self {
            context: Rc::new(WorkerContext::new(config, driver, log)),
            clients: ClientCounts::default(),
            gauge,
            spare: RefCell::default(),
            connections: RefCell::default(),
            flows: Cell::new(0),
            over_limit: Cell::new(0),
            refusing: Cell::new(0),
            lingering: EvictableSlots::default(),
            sealed: Cell::new(false),
            empty: Rc::default(),
        }
    }

    pub(crate) fn go_live(&self, live: Rc<Live>) {
        self.context.go_live(live);
        // A predecessor's gauge said at its end that nobody is here; who chooses must learn otherwise.
        self.set_count();
    }

    /// Enters a new connection. At the maximum a few more enter, until their first request says whether somebody gives
    /// way to it; `None` beyond those.
    pub(crate) fn enter(self: &Rc<Self>) -> Option<ConnectionSlot> {
        let place = if self.inside() < self.context.config.max_connections {
            Place::Inside
        } else {
            Place::OverLimit
        };
        if place == Place::OverLimit {
            // Who has had its response makes room.
            self.lingering.end_oldest();
            if self.over_limit.get() >= MAX_OVER_LIMIT {
                return None;
            }
            self.over_limit.set(self.over_limit.get() + 1);
        }
        let control = Rc::new(Control::new(place));
        let key = self.connections.borrow_mut().insert(Rc::clone(&control));
        self.set_count();
        Some(ConnectionSlot::new(Rc::clone(self), key, control))
    }

    /// Connections that count towards the maximum.
    pub(crate) fn inside(&self) -> usize {
        self.connections.borrow().len().saturating_sub(self.over_limit.get())
    }

    /// A place among the connections that are read on from after their response; `None` while room is scarce.
    pub(crate) fn enter_lingering(&self, slot: &ConnectionSlot) -> Option<EvictableSlot<'_>> {
        let full = slot.control.is_over_limit()
            || self.inside() >= self.context.config.max_connections
            || self.lingering.len() >= MAX_LINGERING
            || buffer_level() >= BufferLevel::Full;
        (!full).then(|| self.lingering.enter())
    }

    /// Connections that are read on from after their response, and those whose clients have finished sending.
    pub(crate) fn evictable_slots(&self) -> [u64; 2] {
        [self.lingering.len() as u64, self.context.half_closed.len() as u64]
    }

    /// Counts a connection for its client. Peers that speak for others are not counted themselves.
    ///
    /// # Errors
    /// The client's network has its maximum.
    pub(crate) fn enter_client(&self, client: IpAddr) -> Result<Option<ClientSlot>, ClientFull> {
        if self.context.config.clients.connections == 0 || self.context.config.trusts(client) {
            return Ok(None);
        }
        self.context.config.clients.enter(&self.clients, client)
    }

    /// Enters a connection that is only told that there is no room. `None` if `limit` are being told already.
    pub(crate) fn enter_refused(self: &Rc<Self>, limit: usize) -> Option<OverloadSlot> {
        (self.refusing.get() < limit).then(|| OverloadSlot::new(Rc::clone(self)))
    }

    pub(crate) fn leave(&self, key: usize, place: Place) {
        let _ = self.connections.borrow_mut().try_remove(key);
        if place != Place::Inside {
            self.over_limit.set(self.over_limit.get().saturating_sub(1));
        }
        if place == Place::OverLimit {
            // Gone without a request.
            self.context.metrics.borrow_mut().counters.overloaded += 1;
        }
        self.set_count();
        self.tell_if_empty();
    }

    fn set_count(&self) {
        self.context.inside.set(self.inside());
        let count = self.inside() as u64;
        self.context.metrics.borrow_mut().counters.connections = count;
        (self.gauge)(count);
    }

    fn tell_if_empty(&self) {
        if self.sealed.get() && self.flows.get() == 0 && self.connections.borrow().is_empty() {
            self.empty.raise();
        }
    }

    /// From now on connections are told that they end: those that have words for it at any time within `spread`, the others by
    /// a response, which busy ones are at any time within `close_spread`.
    pub(crate) fn begin_drain(&self, spread: Duration, close_spread: Duration) {
        self.context.begin_drain(close_spread);
        self.context.drain_spread.set(spread);
        self.context.drains.end_all();
    }

    /// Says how many flows there are.
    pub(crate) fn set_flows(&self, flows: usize) {
        if self.flows.replace(flows) != flows {
            self.context.metrics.borrow_mut().counters.udp_flows = flows as u64;
            self.tell_if_empty();
        }
    }

    /// Ends accepting. The signal is raised once no connection and no flow is left.
    pub(crate) fn seal(&self) -> Rc<Signal> {
        self.sealed.set(true);
        self.tell_if_empty();
        Rc::clone(&self.empty)
    }

    /// Ends all connections for which `which` holds; says how many.
    pub(crate) fn kill(&self, which: impl Fn(&Control) -> bool) -> usize {
        let doomed: Vec<_> = self
            .connections
            .borrow()
            .iter()
            .map(|(_, control)| control)
            .filter(|c| which(c))
            .cloned()
            .collect();
        doomed.iter().for_each(|control| control.kill.raise());
        doomed.len()
    }

    /// Storage for one request.
    pub(crate) fn take_scratch(&self) -> Box<Scratch> {
        let spare = self.spare.borrow_mut().pop();
        spare.unwrap_or_else(|| Box::new(Scratch::new(&self.context.config)))
    }

    pub(crate) fn give_back(&self, mut scratch: Box<Scratch>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_SCRATCH {
            scratch.clear();
            spare.push(scratch);
        }
    }
}
