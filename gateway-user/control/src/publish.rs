//! Makes a generation live on all workers or on none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;
use gateway_ir::{Endpoints, Generation};
use gateway_proxy::worker::{PrepareError, WorkerCommand, WorkerSockets};
use gateway_snapshot::Snapshot;

/// Limit for a worker to prepare or commit: far above anything measured, since a worker that is late once is
/// stuck and holds every later generation up.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(10);

/// The mailboxes of all workers.
pub trait Workers {
    /// Number of workers.
    fn count(&self) -> usize;

    /// Puts a command into a worker's mailbox; `false` if the worker has ended.
    fn send(&self, worker: usize, command: WorkerCommand) -> bool;
}

/// One worker of several, as if it were alone.
#[derive(Debug)]
pub struct Only<'a, W> {
    /// All workers.
    pub workers: &'a W,
    /// Number of the one, from 0.
    pub worker: usize,
}

impl<W: Workers> Workers for Only<'_, W> {
    fn count(&self) -> usize {
        1
    }

    fn send(&self, _: usize, command: WorkerCommand) -> bool {
        self.workers.send(self.worker, command)
    }
}

impl<W: Workers> Workers for Arc<W> {
    fn count(&self) -> usize {
        W::count(self)
    }

    fn send(&self, worker: usize, command: WorkerCommand) -> bool {
        W::send(self, worker, command)
    }
}

/// Error that leaves the old generation live.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A worker cannot serve it.
    #[error("worker {worker} cannot take generation {generation}: {source}; the one before stays live")]
    Refused {
        /// Number of the worker, from 0.
        worker: usize,
        /// Name of the generation or update to publish.
        generation: Generation,
        /// Its error.
        source: PrepareError,
    },
    /// A worker did not respond.
    #[error("worker {worker} does not respond within {}s; the generation before stays live", PREPARE_TIMEOUT.as_secs())]
    Silent {
        /// Number of the worker, from 0.
        worker: usize,
    },
    /// A worker has ended.
    #[error("worker {worker} has ended; the generation before stays live")]
    Ended {
        /// Number of the worker, from 0.
        worker: usize,
    },
}

/// Lets every worker prepare `snapshot`; `sockets` has those of each worker.
///
/// # Errors
/// The first worker's rejection. All workers have been told to forget the generation then.
pub async fn prepare(
    workers: &impl Workers,
    generation: Generation,
    snapshot: &Arc<Snapshot>,
    sockets: Vec<WorkerSockets>,
) -> Result<(), PublishError> {
    let mut sockets = sockets.into_iter();
    let mut replies = Vec::with_capacity(workers.count());
    for worker in 0..workers.count() {
        let (reply, response) = oneshot::channel();
        let command = WorkerCommand::Prepare {
            generation,
            snapshot: Arc::clone(snapshot),
            sockets: sockets.next().unwrap_or_default(),
            reply,
        };
        // A command that finds nobody drops its reply, which the wait below sees.
        workers.send(worker, command);
        replies.push(response);
    }
    let mut failure = None;
    for (worker, response) in replies.into_iter().enumerate() {
        let outcome = match receive(worker, response).await {
            Ok(Ok(())) => continue,
            Ok(Err(source)) => PublishError::Refused { worker, generation, source },
            Err(error) => error,
        };
        failure.get_or_insert(outcome);
    }
    match failure {
        None => Ok(()),
        Some(error) => {
            abort(workers, generation);
            Err(error)
        }
    }
}

/// Lets every worker forget a prepared generation.
pub fn abort(workers: &impl Workers, generation: Generation) {
    for worker in 0..workers.count() {
        workers.send(worker, WorkerCommand::Abort { generation });
    }
}

/// Sockets to close once what they had queued is served, by their addresses; each worker has some of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    /// Listening sockets.
    pub listeners: Vec<SocketAddr>,
    /// Sockets for datagrams.
    pub datagrams: Vec<SocketAddr>,
}

/// Makes a generation live that all workers have prepared, and closes what is `retired`.
///
/// Returns the workers that did not follow. There is no way back here: a worker that prepared and then does
/// not commit has ended or hangs, and its replacement starts with what is live.
pub async fn commit(workers: &impl Workers, generation: Generation, retired: &Retired) -> Vec<PublishError> {
    let mut replies = Vec::with_capacity(workers.count());
    for worker in 0..workers.count() {
        let (reply, response) = oneshot::channel();
        let Retired { listeners, datagrams } = retired.clone();
        let command =
            WorkerCommand::Commit { generation, retire: listeners, retire_datagrams: datagrams, reply };
        workers.send(worker, command);
        replies.push(response);
    }
    let mut missing = Vec::new();
    for (worker, response) in replies.into_iter().enumerate() {
        match receive(worker, response).await {
            Ok(true) => {}
            Ok(false) => missing.push(PublishError::Ended { worker }),
            Err(error) => missing.push(error),
        }
    }
    missing
}

/// Gives every worker the addresses behind the clusters, and waits until they are in use, for 10 s at most.
/// Returns the workers that did not follow.
pub async fn endpoints(workers: &impl Workers, table: &Arc<Endpoints>) -> Vec<PublishError> {
    let mut replies = Vec::with_capacity(workers.count());
    for worker in 0..workers.count() {
        let (reply, response) = oneshot::channel();
        workers.send(worker, WorkerCommand::Endpoints { table: Arc::clone(table), reply });
        replies.push(response);
    }
    let mut missing = Vec::new();
    for (worker, response) in replies.into_iter().enumerate() {
        if let Err(error) = receive(worker, response).await {
            missing.push(error);
        }
    }
    missing
}

async fn receive<T>(worker: usize, response: oneshot::Receiver<T>) -> Result<T, PublishError> {
    match tokio::time::timeout(PREPARE_TIMEOUT, response).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) => Err(PublishError::Ended { worker }),
        Err(_) => Err(PublishError::Silent { worker }),
    }
}
