//! Clients that begin together, so that what their connections cost can be told from what their messages cost.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::EchoSpec;
use crate::timed::{Counts, TimedReport};

/// The moment at which all have tried to open their connections.
#[derive(Clone)]
pub(super) struct Start {
    barrier: Arc<Barrier>,
    time: Duration,
}

impl Start {
    /// Waits for the others; gives the time at which the messages end.
    pub(super) async fn wait(&self) -> Instant {
        self.barrier.wait().await;
        Instant::now() + self.time
    }
}

/// Runs a client for each connection, and calls `opened` once all are open.
pub(super) async fn run<F>(
    spec: &EchoSpec,
    opened: impl FnOnce(),
    client: impl Fn(Arc<EchoSpec>, u32, Start) -> F,
) -> Result<TimedReport>
where
    F: Future<Output = Result<Counts>> + Send + 'static,
{
    let everybody = usize::try_from(spec.connections)? + 1;
    let start = Start { barrier: Arc::new(Barrier::new(everybody)), time: spec.time };
    let spec = Arc::new(spec.clone());
    let mut clients = JoinSet::new();
    for number in 0..spec.connections {
        clients.spawn(client(Arc::clone(&spec), number, start.clone()));
    }
    start.wait().await;
    opened();
    let began = Instant::now();
    let mut counts = Counts::new()?;
    while let Some(client) = clients.join_next().await {
        counts.merge(client??)?;
    }
    Ok(counts.report(began.elapsed()))
}
