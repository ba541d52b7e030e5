//! All workers of the process: started, addressed by slot, drained together.

use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_channel::oneshot;
use gateway_control::publish::{self, Workers as _};
use gateway_proxy::metrics::{SeriesKey, WorkerMetrics};
use gateway_proxy::worker::{
    Adopted, Clients, DrainLimits, HandedFlow, HandedOver, WorkerCommand, WorkerHandle,
};
use tracing::{error, info, warn};

/// The workers, by slot.
#[derive(Debug)]
pub(crate) struct Workers {
    workers: Vec<Mutex<Option<WorkerHandle>>>,
    retired: Mutex<RetiredWorkers>,
}

/// Totals of workers that died.
#[derive(Clone, Debug, Default)]
pub(crate) struct RetiredWorkers {
    /// Number of those that died.
    pub(crate) deaths: u64,
    /// Client connections that ended with them.
    pub(crate) lost_connections: u64,
    /// Their counters: sums must not fall when a worker starts from zero.
    pub(crate) metrics: WorkerMetrics,
}

/// Flows that workers gave up.
#[derive(Debug, Default)]
pub(crate) struct GivenUp {
    /// By slot.
    pub(crate) flows: Vec<Vec<HandedFlow>>,
    /// Number of those that they keep.
    pub(crate) kept: usize,
}

/// Time after the limit of a drain for a worker to say that it is done.
const GRACE: Duration = Duration::from_secs(6);

impl Workers {
    /// Running workers, in the order of their slots.
    pub(crate) fn new(workers: Vec<WorkerHandle>) -> Self {
        let workers = workers.into_iter().map(|worker| Mutex::new(Some(worker))).collect();
        Self { workers, retired: Mutex::default() }
    }

    /// Totals of workers that died.
    pub(crate) fn retired(&self) -> RetiredWorkers {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Removes a worker that died from the list and adds its counters to the totals. Returns how many
    /// connections died with it.
    pub(crate) fn retire(&self, slot: usize, mut metrics: WorkerMetrics) -> u64 {
        if let Some(mut place) = self.slot(slot) {
            *place = None;
        }
        let lost = metrics.counters.connections;
        metrics.counters.reset_gauges();
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.deaths += 1;
        retired.lost_connections += lost;
        retired.metrics.merge(&metrics);
        lost
    }

    /// Has everybody count these series with the common one: no rule makes them any more.
    pub(crate) fn forget_series(&self, keys: &Arc<[SeriesKey]>) {
        for slot in 0..self.count() {
            self.send(slot, WorkerCommand::ForgetSeries { keys: Arc::clone(keys) });
        }
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).metrics.series.forget(keys);
    }

    fn slot(&self, slot: usize) -> Option<MutexGuard<'_, Option<WorkerHandle>>> {
        // A handle is whole at any time, so a panic elsewhere under the lock spoils nothing.
        self.workers.get(slot).map(|worker| worker.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a new worker into the slot of one that died.
    pub(crate) fn replace(&self, slot: usize, worker: WorkerHandle) {
        if let Some(mut place) = self.slot(slot) {
            *place = Some(worker);
        }
    }

    /// Duplicates of every worker's listening sockets, by slot; none of a worker that has died.
    ///
    /// # Errors
    /// A worker does not respond, or no descriptor is left.
    pub(crate) async fn listeners(&self) -> Result<Vec<Vec<TcpListener>>, String> {
        let asked = self.each_asked(|reply| WorkerCommand::Listeners { reply });
        let mut all = Vec::with_capacity(asked.len());
        for (slot, response) in asked.into_iter().enumerate() {
            match tokio::time::timeout(GRACE, response).await {
                Ok(Ok(sockets)) => all.push(sockets.map_err(|error| format!("worker {slot}: {error}"))?),
                Ok(Err(_)) => all.push(Vec::new()),
                Err(_) => return Err(format!("worker {slot} does not respond")),
            }
        }
        Ok(all)
    }

    /// Has workers accept from more sockets; one list for each, by slot.
    pub(crate) fn listen(&self, sockets: Vec<Vec<TcpListener>>) {
        for (slot, listeners) in sockets.into_iter().enumerate().filter(|(_, sockets)| !sockets.is_empty()) {
            // To a worker that died: its successor gets other ones.
            self.send(slot, WorkerCommand::Listen { listeners });
        }
    }

    /// Has every worker leave datagrams to another process, and give up `most` flows at most together. Of one that does not
    /// respond they stay where they are.
    pub(crate) async fn hand_over_flows(&self, most: usize) -> GivenUp {
        let budget = Arc::new(AtomicUsize::new(most));
        let asked = self.each_asked(|reply| {
            let budget = Arc::clone(&budget);
            WorkerCommand::HandOverFlows { budget, reply }
        });
        let mut given_up = GivenUp::default();
        for (slot, response) in asked.into_iter().enumerate() {
            let HandedOver { flows, kept } = heard(slot, response).await;
            given_up.flows.push(flows);
            given_up.kept += kept;
        }
        given_up
    }

    /// Has workers go on with flows and serve sockets for datagrams, by slot.
    pub(crate) async fn adopt_flows(
        &self,
        sockets: Vec<Vec<UdpSocket>>,
        flows: Vec<Vec<HandedFlow>>,
        clients: Clients,
    ) -> Adopted {
        let (mut sockets, mut flows) = (sockets.into_iter(), flows.into_iter());
        let asked = self.each_asked(|reply| {
            let (sockets, flows) = (sockets.next().unwrap_or_default(), flows.next().unwrap_or_default());
            WorkerCommand::AdoptFlows { sockets, flows, clients, reply }
        });
        let mut all = Adopted::default();
        for (slot, response) in asked.into_iter().enumerate() {
            let Adopted { flows, ended } = heard(slot, response).await;
            all = Adopted { flows: all.flows + flows, ended: all.ended + ended };
        }
        all
    }

    /// Sends a command to every worker. The reply of one that has died is dropped.
    fn each_asked<T>(
        &self,
        mut command: impl FnMut(oneshot::Sender<T>) -> WorkerCommand,
    ) -> Vec<oneshot::Receiver<T>> {
        let ask = |slot| {
            let (reply, response) = oneshot::channel();
            self.send(slot, command(reply));
            response
        };
        (0..self.count()).map(ask).collect()
    }

    /// Has every worker tell its clients that a drain has begun, and serve on.
    pub(crate) fn announce_drain(&self, spread: Duration, close_spread: Duration) {
        for slot in 0..self.count() {
            self.send(slot, WorkerCommand::AnnounceDrain { spread, close_spread });
        }
    }

    /// Lets every worker finish. Returns how many connections were cut.
    pub(crate) async fn drain(&self, limits: DrainLimits) -> usize {
        let mut responses = Vec::new();
        for slot in 0..self.count() {
            let (reply, response) = oneshot::channel();
            if self.send(slot, WorkerCommand::Drain { limits, reply }) {
                responses.push((slot, response));
            }
        }
        let mut aborted = 0;
        for (slot, response) in responses {
            match tokio::time::timeout(limits.max + GRACE, response).await {
                Ok(Ok(drained)) => aborted += drained.aborted,
                Ok(Err(_)) => warn!(slot, "the worker ended before it had drained"),
                Err(_) => {
                    warn!(slot, "the worker does not respond; its connections are cut with the process")
                }
            }
        }
        if aborted > 0 {
            warn!(aborted, "connections were cut at the end of --drain-max");
        } else {
            info!("every connection ended in order");
        }
        aborted
    }

    /// Waits for the workers' threads, which end after a drain.
    pub(crate) fn join(&self) {
        for slot in 0..self.workers.len() {
            let worker = self.slot(slot).and_then(|mut place| place.take());
            if worker.is_some_and(|worker| worker.join().is_err()) {
                error!(slot, "the worker had panicked");
            }
        }
    }
}

/// The reply of a worker; nothing of one that died or does not respond.
async fn heard<T: Default>(slot: usize, response: oneshot::Receiver<T>) -> T {
    match tokio::time::timeout(GRACE, response).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(_)) => T::default(),
        Err(_) => {
            warn!(slot, "the worker does not respond");
            T::default()
        }
    }
}

impl publish::Workers for Workers {
    fn count(&self) -> usize {
        self.workers.len()
    }

    fn send(&self, slot: usize, command: WorkerCommand) -> bool {
        let worker = self.slot(slot);
        worker.is_some_and(|worker| worker.as_ref().is_some_and(|worker| worker.send(command).is_ok()))
    }
}
