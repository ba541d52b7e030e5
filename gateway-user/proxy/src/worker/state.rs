//! Everything that the tasks of one worker share. All of it belongs to one thread; no borrow is held across a wait.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use gateway_io::{BufferLevel, Driver, buffer_level};
use gateway_ir::{Generation, Ir};
use gateway_snapshot::compile;
use slab::Slab;

use super::clients::{ClientCounts, ClientFull, ClientSlot};
use super::evictable_slots::{EvictableSlot, EvictableSlots};
use super::live::Live;
use super::members::{ConnectionSlot, Control, OverloadSlot, Place};
use super::shares::Shares;
use crate::ProxyConfig;
use crate::clock::Clock;
use crate::h1::scratch::Scratch;
use crate::metrics::WorkerMetrics;
use crate::observe::access_log::{Batch, Record};
use crate::request_id::Random;
use crate::signal::Signal;
use crate::upstream::Upstreams;

/// Most scratch storage kept for reuse; a burst beyond it is freed again.
const SPARE_SCRATCH: usize = 256;
/// Connections beyond the maximum that are held at once until it is known whose they are.
const MAX_OVER_LIMIT: usize = 64;
/// Connections at once that are read on from after their response, without limits of what is read.
const MAX_LINGERING: usize = 1000;
/// Of the connections there may be, in hundredths, those whose clients have finished sending and wait for a response.
const MAX_HALF_CLOSED_PERCENT: usize = 5;
/// With so many of the connections there may be, in hundredths, namespaces and listeners have shares.
const CROWDED_PERCENT: usize = 80;

/// Tells whoever steers connections how many this worker has: a plain store, called on every change.
pub type Gauge = Box<dyn Fn(u64) + Send>;

/// Takes a batch of whole access log lines, or gives it back at once if it has no room. Must not block.
pub type LogSink = Box<dyn Fn(Vec<u8>) -> Result<(), Vec<u8>> + Send>;

pub(crate) struct Worker {
    pub(crate) config: Arc<ProxyConfig>,
    pub(crate) driver: Driver,
    pub(crate) upstreams: Upstreams,
    pub(crate) shares: Shares,
    clients: ClientCounts,
    pub(crate) random: Random,
    pub(crate) clock: Clock,
    pub(crate) metrics: RefCell<WorkerMetrics>,
    live: RefCell<Rc<Live>>,
    batch: RefCell<Batch>,
    log: LogSink,
    gauge: Gauge,
    #[expect(
        clippy::vec_box,
        reason = "a pointer moves in and out of connection tasks, not half a kilobyte"
    )]
    spare: RefCell<Vec<Box<Scratch>>>,
    connections: RefCell<Slab<Rc<Control>>>,
    /// Of those, the ones beyond the maximum.
    over_limit: Cell<usize>,
    /// Connections that are being told that there is no room.
    pub(super) refusing: Cell<usize>,
    half_closed: EvictableSlots,
    lingering: EvictableSlots,
    draining: Cell<bool>,
    /// Nothing is accepted any more.
    sealed: Cell<bool>,
    /// Raised when nothing is accepted any more and the last connection is gone.
    empty: Rc<Signal>,
}

impl Worker {
    pub(crate) fn new(config: Arc<ProxyConfig>, driver: Driver, gauge: Gauge, log: LogSink) -> Self {
        let empty = Arc::new(compile(&Ir::default(), Generation(0)));
        Self {
            upstreams: Upstreams::new(config.max_idle_upstream, config.timeouts.upstream_idle),
            shares: Shares::default(),
            clients: ClientCounts::default(),
            random: Random::seeded(),
            clock: Clock::new(),
            metrics: RefCell::new(WorkerMetrics::new(config.max_series, config.max_series_per_namespace)),
            live: RefCell::new(Rc::new(Live::new(empty, None, None))),
            batch: RefCell::default(),
            log,
            gauge,
            spare: RefCell::default(),
            connections: RefCell::default(),
            over_limit: Cell::new(0),
            refusing: Cell::new(0),
            half_closed: EvictableSlots::default(),
            lingering: EvictableSlots::default(),
            draining: Cell::new(false),
            sealed: Cell::new(false),
            empty: Rc::default(),
            config,
            driver,
        }
    }

    /// The generation for a new request.
    pub(crate) fn live(&self) -> Rc<Live> {
        Rc::clone(&self.live.borrow())
    }

    pub(crate) fn go_live(&self, live: Rc<Live>) {
        let old = self.live.replace(live);
        drop(old);
        // A predecessor's gauge said at its end that nobody is here; who chooses must learn otherwise.
        self.set_count();
    }

    /// Whether answers must say `Connection: close`.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Enters a new connection. At the maximum a few more enter, until their first request says whether somebody gives
    /// way to it; `None` beyond those.
    pub(crate) fn enter(self: &Rc<Self>) -> Option<ConnectionSlot> {
        let place =
            if self.inside() < self.config.max_connections { Place::Inside } else { Place::OverLimit };
        if place == Place::OverLimit {
            // Who has had its response makes room.
            self.lingering.end_oldest();
            if self.over_limit.get() >= MAX_OVER_LIMIT {
                return None;
            }
            self.over_limit.set(self.over_limit.get() + 1);
        }
        let control = Rc::new(Control::default());
        let key = self.connections.borrow_mut().insert(Rc::clone(&control));
        self.set_count();
        Some(ConnectionSlot::new(Rc::clone(self), key, control, place))
    }

    /// Connections that count towards the maximum.
    pub(crate) fn inside(&self) -> usize {
        self.connections.borrow().len().saturating_sub(self.over_limit.get())
    }

    /// Whether so many of the connections there may be are there that namespaces and listeners have shares.
    pub(crate) fn is_crowded(&self) -> bool {
        self.inside()
            > self.config.max_connections / 100 * CROWDED_PERCENT
                + self.config.max_connections % 100 * CROWDED_PERCENT / 100
    }

    /// A place among the connections that are read on from after their response; `None` while room is scarce.
    pub(crate) fn enter_lingering(&self, slot: &ConnectionSlot) -> Option<EvictableSlot<'_>> {
        let full = slot.is_over_limit()
            || self.inside() >= self.config.max_connections
            || self.lingering.len() >= MAX_LINGERING
            || buffer_level() >= BufferLevel::Full;
        (!full).then(|| self.lingering.enter())
    }

    /// A place among the connections whose clients have finished sending; the one that has waited longest leaves for it if
    /// there are too many.
    pub(crate) fn enter_half_closed(&self) -> EvictableSlot<'_> {
        if self.half_closed.len() >= (self.config.max_connections * MAX_HALF_CLOSED_PERCENT / 100).max(1) {
            self.half_closed.end_oldest();
        }
        self.half_closed.enter()
    }

    /// Connections that are read on from after their response, and those whose clients have finished sending.
    pub(crate) fn evictable_slots(&self) -> [u64; 2] {
        [self.lingering.len() as u64, self.half_closed.len() as u64]
    }

    /// Counts a connection for its client. Peers that speak for others are not counted themselves.
    ///
    /// # Errors
    /// The client's network has its maximum.
    pub(crate) fn enter_client(&self, client: IpAddr) -> Result<Option<ClientSlot>, ClientFull> {
        if self.config.clients.connections == 0 || self.config.trusts(client) {
            return Ok(None);
        }
        self.config.clients.enter(&self.clients, client)
    }

    /// Enters a connection that is only told that there is no room. `None` if `limit` are being told already.
    pub(crate) fn enter_refused(self: &Rc<Self>, limit: usize) -> Option<OverloadSlot> {
        (self.refusing.get() < limit).then(|| OverloadSlot::new(Rc::clone(self)))
    }

    pub(super) fn leave(&self, key: usize, place: Place) {
        let _ = self.connections.borrow_mut().try_remove(key);
        if place != Place::Inside {
            self.over_limit.set(self.over_limit.get().saturating_sub(1));
        }
        if place == Place::OverLimit {
            // Gone without a request.
            self.metrics.borrow_mut().counters.overloaded += 1;
        }
        self.set_count();
        self.tell_if_empty();
    }

    fn set_count(&self) {
        let count = self.inside() as u64;
        self.metrics.borrow_mut().counters.connections = count;
        (self.gauge)(count);
    }

    fn tell_if_empty(&self) {
        if self.sealed.get() && self.connections.borrow().is_empty() {
            self.empty.raise();
        }
    }

    /// From now on every connection ends with its next answer.
    pub(crate) fn begin_drain(&self) {
        self.draining.set(true);
    }

    /// Nothing is accepted any more. The signal is raised once no connection is left.
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

    /// Gives the descriptors of all upstream connections back that were not used lately, for a request that needs one; false
    /// if there was none.
    pub(crate) fn close_unused_upstreams(&self) -> bool {
        let closed = self.upstreams.close_unused();
        let counters = &mut self.metrics.borrow_mut().counters;
        counters.upstream_evicted += closed;
        counters.upstream_idle = counters.upstream_idle.saturating_sub(closed);
        closed > 0
    }

    /// Gives the descriptors of half of the upstream connections back that were not used lately, for clients that wait to be
    /// accepted: those need the other half. False if there were fewer than two.
    pub(crate) fn close_half_of_unused_upstreams(&self) -> bool {
        let closed = self.upstreams.close_half_of_unused();
        let counters = &mut self.metrics.borrow_mut().counters;
        counters.upstream_evicted += closed;
        counters.upstream_idle = counters.upstream_idle.saturating_sub(closed);
        closed > 0
    }

    /// Storage for one request.
    pub(crate) fn take_scratch(&self) -> Box<Scratch> {
        let spare = self.spare.borrow_mut().pop();
        spare.unwrap_or_else(|| Box::new(Scratch::new(&self.config)))
    }

    pub(crate) fn give_back(&self, mut scratch: Box<Scratch>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_SCRATCH {
            scratch.clear();
            spare.push(scratch);
        }
    }

    /// Writes an access log line, if there is a log.
    pub(crate) fn log(&self, record: &Record<'_>) {
        if self.config.access_log && self.batch.borrow_mut().push(record, &self.clock) {
            self.flush_log();
        }
    }

    /// Hands waiting lines to the file thread.
    pub(crate) fn flush_log(&self) {
        let lost = self.batch.borrow_mut().flush(|lines| (self.log)(lines));
        if lost > 0 {
            self.metrics.borrow_mut().counters.log_dropped += lost;
        }
    }
}
