//! All workers of the process: started, addressed by slot, drained together.

use std::net::TcpListener;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_channel::oneshot;
use gateway_control::publish::Workers;
use gateway_proxy::worker::{DrainLimits, WorkerCommand, WorkerHandle};
use tracing::{error, info, warn};

/// The workers, by slot.
#[derive(Debug)]
pub(crate) struct Fleet {
    workers: Vec<Mutex<Option<WorkerHandle>>>,
    restarts: AtomicU64,
}

/// After the limit of a drain: time for a worker to say that it is done.
const GRACE: Duration = Duration::from_secs(6);

impl Fleet {
    /// Running workers, in the order of their slots.
    pub(crate) fn new(workers: Vec<WorkerHandle>) -> Self {
        let workers = workers.into_iter().map(|worker| Mutex::new(Some(worker))).collect();
        Self { workers, restarts: AtomicU64::new(0) }
    }

    /// How many workers were replaced.
    pub(crate) fn restarts(&self) -> &AtomicU64 {
        &self.restarts
    }

    fn slot(&self, slot: usize) -> Option<MutexGuard<'_, Option<WorkerHandle>>> {
        // A handle is whole at any time, so a panic elsewhere under the lock spoils nothing.
        self.workers.get(slot).map(|worker| worker.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The slots whose thread has ended, which outside a drain means that it panicked.
    pub(crate) fn ended(&self) -> Vec<usize> {
        let has_ended = |slot: &usize| {
            let worker = self.slot(*slot);
            worker.is_some_and(|worker| worker.as_ref().is_some_and(|worker| !worker.is_running()))
        };
        (0..self.workers.len()).filter(has_ended).collect()
    }

    /// Puts a new worker into the slot of one that ended.
    pub(crate) fn replace(&self, slot: usize, worker: WorkerHandle) {
        if let Some(mut place) = self.slot(slot) {
            *place = Some(worker);
            self.restarts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Duplicates of every worker's listening sockets, by slot; none of a worker that has died.
    ///
    /// # Errors
    /// A worker does not answer, or no descriptor is left.
    pub(crate) async fn listeners(&self) -> Result<Vec<Vec<TcpListener>>, String> {
        let asked: Vec<_> = (0..self.count())
            .map(|slot| {
                let (reply, answer) = oneshot::channel();
                self.send(slot, WorkerCommand::Listeners { reply });
                answer
            })
            .collect();
        let mut all = Vec::with_capacity(asked.len());
        for (slot, answer) in asked.into_iter().enumerate() {
            match tokio::time::timeout(GRACE, answer).await {
                Ok(Ok(sockets)) => all.push(sockets.map_err(|error| format!("worker {slot}: {error}"))?),
                Ok(Err(_)) => all.push(Vec::new()),
                Err(_) => return Err(format!("worker {slot} does not answer")),
            }
        }
        Ok(all)
    }

    /// Lets every worker finish. Returns how many connections were cut.
    pub(crate) async fn drain(&self, limits: DrainLimits) -> usize {
        let mut answers = Vec::new();
        for slot in 0..self.count() {
            let (reply, answer) = oneshot::channel();
            if self.send(slot, WorkerCommand::Drain { limits, reply }) {
                answers.push((slot, answer));
            }
        }
        let mut aborted = 0;
        for (slot, answer) in answers {
            match tokio::time::timeout(limits.max + GRACE, answer).await {
                Ok(Ok(drained)) => aborted += drained.aborted,
                Ok(Err(_)) => warn!(slot, "the worker ended before it had drained"),
                Err(_) => warn!(slot, "the worker does not answer; its connections are cut with the process"),
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

impl Workers for Fleet {
    fn count(&self) -> usize {
        self.workers.len()
    }

    fn send(&self, slot: usize, command: WorkerCommand) -> bool {
        let worker = self.slot(slot);
        worker.is_some_and(|worker| worker.as_ref().is_some_and(|worker| worker.send(command).is_ok()))
    }
}
