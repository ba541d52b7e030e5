//! Starts workers, and successors of those that die.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use gateway_control::engine::Engine;
use gateway_control::steer::SharedSteering;
use gateway_io::Driver;
use gateway_io::file::LogSink;
use gateway_proxy::ProxyConfig;
use gateway_proxy::metrics::WorkerMetrics;
use gateway_proxy::worker::{Heartbeat, WorkerHandle, WorkerSpec, start};
use gateway_tls::Tickets;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;
use tracing::error;

use crate::workers::Workers;

/// Interval at which the caller gets to look after the rest.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Time between two starts in a slot: workers that all die at once must not keep the node from anything else.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// Starts every worker of this process, and replaces those that die.
pub(crate) struct Supervisor {
    template: WorkerTemplate,
    died: UnboundedSender<WorkerExit>,
    deaths: UnboundedReceiver<WorkerExit>,
    /// Each slot's, whichever worker has it.
    heartbeats: Arc<[Arc<Heartbeat>]>,
    /// When each slot got its worker.
    started: Vec<Instant>,
    /// Slots without a worker, and from when on they get one.
    empty: BTreeMap<usize, Instant>,
}

/// The same for all workers.
pub(crate) struct WorkerTemplate {
    /// The CPU of each, by slot.
    pub(crate) places: Vec<Option<usize>>,
    pub(crate) driver: Driver,
    pub(crate) ring_entries: u32,
    pub(crate) config: Arc<ProxyConfig>,
    pub(crate) steering: SharedSteering,
    pub(crate) log: LogSink,
}

/// A worker's thread has ended.
struct WorkerExit {
    slot: usize,
    metrics: WorkerMetrics,
}

impl Supervisor {
    /// The keys of session tickets that all workers share.
    pub(crate) fn tickets(&self) -> Option<&Tickets> {
        self.template.config.tickets.as_ref()
    }

    /// Nobody is started yet.
    pub(crate) fn new(template: WorkerTemplate) -> Self {
        let (died, deaths) = unbounded_channel();
        let heartbeats = template.places.iter().map(|_| Arc::default()).collect();
        Self { template, died, deaths, heartbeats, started: Vec::new(), empty: BTreeMap::new() }
    }

    /// The workers' signs of life, by slot.
    pub(crate) fn heartbeats(&self) -> Arc<[Arc<Heartbeat>]> {
        Arc::clone(&self.heartbeats)
    }

    /// Starts all workers; `listeners` has one steering socket for each, or none at all.
    ///
    /// # Errors
    /// A worker cannot be started.
    pub(crate) fn start(&mut self, listeners: Vec<TcpListener>) -> anyhow::Result<Workers> {
        let mut listeners = listeners.into_iter();
        let count = self.template.places.len();
        let workers = (0..count)
            .map(|slot| self.start_one(slot, listeners.next()))
            .collect::<anyhow::Result<Vec<_>>>()?;
        self.started = vec![Instant::now(); count];
        Ok(Workers::new(workers))
    }

    fn start_one(&self, slot: usize, listener: Option<TcpListener>) -> anyhow::Result<WorkerHandle> {
        let WorkerTemplate { places, driver, ring_entries, config, steering, log } = &self.template;
        let gauge = steering.gauge(slot)?.context("steering is closed")?;
        let (log, died) = (log.clone(), self.died.clone());
        start(WorkerSpec {
            slot: u16::try_from(slot).context("more workers than slots")?,
            cpu: places.get(slot).copied().flatten(),
            driver: *driver,
            ring_entries: *ring_entries,
            listeners: listener.into_iter().collect(),
            config: Arc::clone(config),
            gauge: Box::new(move |connections| gauge.set(connections)),
            log: Box::new(move |lines| log.try_push(lines)),
            heartbeat: self.heartbeats.get(slot).map(Arc::clone).unwrap_or_default(),
            // Nobody listens when all is over.
            ended: Box::new(move |metrics| drop(died.send(WorkerExit { slot, metrics }))),
        })
        .with_context(|| {
            format!("worker {slot} cannot be started; fewer --workers or --ring-entries may help")
        })
    }

    /// Returns after a while, or once a worker has died. A successor is started at once, unless the dead one
    /// had just been started itself; one that cannot be started is tried again.
    pub(crate) async fn supervise(&mut self, workers: &Workers, engine: &Engine<SharedSteering>) {
        let look = Instant::now() + POLL_INTERVAL;
        let until = self.empty.values().min().map_or(look, |due| look.min(*due));
        tokio::select! {
            Some(WorkerExit { slot, metrics }) = self.deaths.recv() => {
                let lost = workers.retire(slot, metrics);
                error!(slot, lost_connections = lost, "a worker died; a replacement is started");
                let due = self.started.get(slot).map_or(look, |started| *started + RESTART_DELAY);
                self.empty.insert(slot, due);
            }
            () = tokio::time::sleep_until(until) => {}
        }
        let now = Instant::now();
        for (slot, _) in self.empty.extract_if(.., |_, due| *due <= now).collect::<Vec<_>>() {
            // It accepts nothing before it has its tables: its sockets travel with them.
            match self.start_one(slot, None) {
                Ok(worker) => {
                    workers.replace(slot, worker);
                    if let Some(started) = self.started.get_mut(slot) {
                        *started = now;
                    }
                    engine.adopt(slot);
                }
                Err(error) => {
                    error!(slot, "{error:#}; retried");
                    self.empty.insert(slot, now + RESTART_DELAY);
                }
            }
        }
    }
}
