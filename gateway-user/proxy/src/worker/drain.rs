//! Draining: nothing new, what is under way ends in order, what won't end is cut at a limit.

use std::rc::Rc;
use std::time::Duration;

use gateway_io::{AssertCancelSafe, with_deadline};

use super::accept::Acceptors;
use super::command::Drained;
use super::state::Worker;
use crate::signal::Signal;

/// How long connections that were cut may take to go: they only have to be dropped.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Ends the worker's connections. Until `min` idle ones are left open, so that a client that is about to use one is
/// answered, with `Connection: close`; at `max` the rest is cut.
pub(super) async fn drain(worker: &Worker, acceptors: &Acceptors, min: Duration, max: Duration) -> Drained {
    worker.begin_drain();
    acceptors.close().await;
    let empty = worker.seal();
    let mut aborted = 0;
    if !within(min, &empty).await {
        worker.kill(|connection| connection.idle.get());
        if !within(max.saturating_sub(min), &empty).await {
            aborted = worker.kill(|_| true);
            within(LAST_WORDS, &empty).await;
        }
    }
    worker.metrics.borrow_mut().counters.drain_aborted += aborted as u64;
    worker.flush_log();
    Drained { aborted }
}

async fn within(limit: Duration, signal: &Rc<Signal>) -> bool {
    // A wait for a flag may be dropped at any time.
    with_deadline(limit, AssertCancelSafe(signal.wait())).await.is_ok()
}
