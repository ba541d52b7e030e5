//! The requests of one place: one at a time, as long as there are any.

use std::rc::Rc;

use tokio::time::timeout;

use super::LoadSpec;
use super::queue::{Job, Queue};
use super::stats::{RequestError, RunStats};
use crate::report::FailureKind;

/// A way of using connections.
pub(super) trait Client {
    /// Waits until the other side ends what is kept for the next request, which is given up then, as any client does; for
    /// ever if nothing is kept. Dropping the future loses nothing.
    async fn ended(&mut self);

    /// Makes one request; what is kept is given up when this fails or is dropped.
    ///
    /// # Errors
    /// It failed.
    async fn serve(&mut self, job: Job) -> Result<(), RequestError>;

    /// Ends what is kept in order.
    async fn finish(self);
}

/// Takes requests from the queue as long as there are any.
///
/// A request is tried once. That a kept connection may have been closed meanwhile is no excuse: a proxy that
/// means to end one can say so with a response, and clients may not repeat just any request (RFC 9110
/// section 9.2.2).
#[derive(Debug)]
pub(super) struct ClientTask<C> {
    shared: Shared,
    client: C,
}

/// The parts of a run that all of its tasks have.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) spec: Rc<LoadSpec>,
    pub(super) queue: Rc<Queue>,
    pub(super) stats: Rc<RunStats>,
}

impl<C: Client> ClientTask<C> {
    pub(super) fn new(shared: Shared, client: C) -> Self {
        Self { shared, client }
    }

    pub(super) async fn run(mut self) {
        while let Some(job) = self.next().await {
            let Shared { spec, stats, .. } = &self.shared;
            stats.sent();
            let limit = spec.timeout + spec.over;
            let outcome = match timeout(limit, self.client.serve(job)).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    Err(RequestError::new(FailureKind::Timeout, format!("no whole response in {limit:?}")))
                }
            };
            stats.ended(job, outcome);
        }
        self.client.finish().await;
    }

    async fn next(&mut self) -> Option<Job> {
        loop {
            tokio::select! {
                biased;
                () = self.client.ended() => {}
                job = self.shared.queue.take() => return job,
            }
        }
    }
}
