//! Everything of its worker that a request may use. All of it belongs to one thread; no borrow is held across a wait.

mod bind_table;
mod control;
mod evictable_slots;
mod live;
mod replay_memory;
mod servers;
mod shares;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use gateway_io::BufferLevel;
use gateway_io::{Driver, buffer_level, now, pool_stats};
use gateway_ir::{Generation, Ir, ListenerSettings};
use gateway_snapshot::compile;

pub(crate) use bind_table::bind_table;
pub(crate) use control::{Control, Place};
pub(crate) use evictable_slots::{EvictableSlot, EvictableSlots};
pub(crate) use live::{Live, Outcome, Routed};
pub(crate) use replay_memory::{ReplayAccount, ReplayMemory};
pub(crate) use shares::{Counted, NamespaceId, ShareId, Shared, Shares};

use crate::ProxyConfig;
use crate::clock::Clock;
use crate::metrics::WorkerMetrics;
use crate::observe::access_log::{Batch, Record};
use crate::request_id::Random;
use crate::settings::Settings;
use crate::tls::crypto_turns::CryptoTurns;
use crate::upstream::Upstreams;

/// Of the connections there may be, in hundredths, those whose clients have finished sending and wait for a response.
const MAX_HALF_CLOSED_PERCENT: usize = 5;
/// Memory of a connection over HTTP/2 without a stream, buffers and tables of its codec.
const QUIET_H2_BYTES: usize = 26 * 1024;
/// The part of the memory for buffers that all of them may have together: one in so many.
const QUIET_H2_SHARE: usize = 4;
/// With so many of the connections there may be, in hundredths, namespaces and listeners have shares.
const CROWDED_PERCENT: usize = 80;

/// Takes a batch of whole access log lines, or gives it back at once if it has no room. Must not block.
pub type LogSink = Box<dyn Fn(Vec<u8>) -> Result<(), Vec<u8>> + Send>;

/// The part of a worker that its requests share.
pub(crate) struct WorkerContext {
    pub(crate) config: Arc<ProxyConfig>,
    pub(crate) driver: Driver,
    pub(crate) upstreams: Upstreams,
    pub(crate) crypto_turns: CryptoTurns,
    pub(crate) shares: Shares,
    pub(crate) replay_memory: ReplayMemory,
    pub(crate) random: Random,
    pub(crate) clock: Clock,
    pub(crate) metrics: RefCell<WorkerMetrics>,
    /// Connections that count towards the maximum.
    pub(crate) inside: Cell<usize>,
    pub(crate) half_closed: EvictableSlots,
    /// Connections end from here on, each when it is told so.
    draining: Cell<bool>,
    /// Connections that are told by other words than a response's that they are to end.
    pub(crate) drains: EvictableSlots,
    /// The time over which those are told.
    pub(crate) drain_spread: Cell<Duration>,
    /// When the drain began, and the time over which busy connections are told by their responses.
    close_spread: Cell<Option<(Instant, Duration)>>,
    /// Connections over HTTP/2 without a stream.
    quiet_h2: EvictableSlots,
    /// The settings of listeners that have none of their own.
    pub(crate) settings: Rc<Settings>,
    live: RefCell<Rc<Live>>,
    batch: RefCell<Batch>,
    log: LogSink,
}

impl WorkerContext {
    pub(crate) fn new(config: Arc<ProxyConfig>, driver: Driver, log: LogSink) -> Self {
        let empty = Arc::new(compile(&Ir::default(), Generation(0)));
        Self {
            upstreams: Upstreams::new(config.max_idle_upstream, config.timeouts.upstream_idle),
            crypto_turns: CryptoTurns::default(),
            shares: Shares::default(),
            replay_memory: ReplayMemory::new(config.buffer_limit),
            random: Random::seeded(),
            clock: Clock::new(),
            metrics: RefCell::new(WorkerMetrics::new(config.max_series, config.max_series_per_namespace)),
            inside: Cell::new(0),
            half_closed: EvictableSlots::default(),
            draining: Cell::new(false),
            drains: EvictableSlots::default(),
            quiet_h2: EvictableSlots::default(),
            drain_spread: Cell::default(),
            close_spread: Cell::default(),
            live: RefCell::new(Rc::new(Live::new(empty, &config, None))),
            settings: Rc::new(Settings::of(config.timeouts, config.access_log, &ListenerSettings::default())),
            batch: RefCell::default(),
            log,
            config,
            driver,
        }
    }

    /// The generation for a new request.
    pub(crate) fn live(&self) -> Rc<Live> {
        Rc::clone(&self.live.borrow())
    }

    /// True if a Gateway of the generation for new requests has settings of its own.
    pub(crate) fn has_settings(&self) -> bool {
        self.live.borrow().has_settings()
    }

    /// Has new requests routed by another generation.
    pub(crate) fn go_live(&self, live: Rc<Live>) {
        let old = self.live.replace(live);
        drop(old);
    }

    /// True if the worker is to end.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Begins a drain in which busy connections are told so over that time.
    pub(crate) fn begin_drain(&self, close_spread: Duration) {
        self.draining.set(true);
        self.close_spread.set(Some((now(), close_spread)));
    }

    /// True once the drain has come to a peer's connection. Each has a time of its own, by its port: told all at once, busy
    /// clients would all come back at once, to whoever takes over.
    pub(crate) fn drain_has_come_to(&self, peer: SocketAddr) -> bool {
        let Some((began, spread)) = self.close_spread.get() else { return false };
        // Neighbouring ports, which one client has, are spread by a factor without a pattern in its bits.
        let part = u32::from(peer.port().wrapping_mul(0x9E37));
        now().saturating_duration_since(began) >= spread * part / (1 << 16)
    }

    /// True if so many of the connections there may be are there that namespaces and listeners have shares.
    pub(crate) fn is_crowded(&self) -> bool {
        self.inside.get()
            > self.config.max_connections / 100 * CROWDED_PERCENT
                + self.config.max_connections % 100 * CROWDED_PERCENT / 100
    }

    /// How many of the worker's buffers are left.
    pub(crate) fn buffer_level(&self) -> BufferLevel {
        buffer_level()
    }

    /// Buffers of the worker that are lent to its connections.
    pub(crate) fn lent_buffers(&self) -> usize {
        pool_stats().lent
    }

    /// A place among the connections whose clients have finished sending; the one that has waited longest leaves for it if
    /// there are too many.
    pub(crate) fn enter_half_closed(&self) -> EvictableSlot<'_> {
        if self.half_closed.len() >= (self.config.max_connections * MAX_HALF_CLOSED_PERCENT / 100).max(1) {
            self.half_closed.end_oldest();
        }
        self.half_closed.enter()
    }

    /// A place among the connections over HTTP/2 that have no stream. They keep buffers meanwhile, which those of HTTP/1.1 give
    /// back: beyond their share of memory the one that has been quiet for longest leaves.
    pub(crate) fn enter_quiet_h2(&self) -> EvictableSlot<'_> {
        let most = self.config.buffer_limit / QUIET_H2_SHARE / QUIET_H2_BYTES;
        if self.quiet_h2.len() >= most.max(1) {
            self.quiet_h2.end_oldest();
        }
        self.quiet_h2.enter()
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

    /// Writes an access log line.
    pub(crate) fn log(&self, record: &Record<'_>) {
        if self.batch.borrow_mut().push(record, &self.clock) {
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
