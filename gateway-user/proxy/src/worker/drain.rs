//! Draining: nothing new, what is under way ends in order, what won't end is cut at a limit.

use std::rc::Rc;
use std::time::Duration;

use gateway_io::{AssertCancelSafe, sleep, with_deadline};

use super::accept::Acceptors;
use super::command::Drained;
use super::state::Worker;
use crate::signal::Signal;

/// How long connections that were cut may take to go: they only have to be dropped.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Ends the worker's connections. At once every answer says `Connection: close`. Until `min` new connections are still
/// accepted, since load balancers in front learn late that they should send none, and idle ones are left open for clients
/// that are about to use them; at `max` what is left is cut.
pub(super) async fn drain(worker: &Worker, acceptors: &Acceptors, min: Duration, max: Duration) -> Drained {
    worker.begin_drain();
    if !min.is_zero() {
        sleep(min).await;
    }
    acceptors.close().await;
    let empty = worker.seal();
    worker.kill(|connection| connection.idle.get());
    let mut aborted = 0;
    if !within(max.saturating_sub(min), &empty).await {
        aborted = worker.kill(|_| true);
        within(LAST_WORDS, &empty).await;
    }
    worker.metrics.borrow_mut().counters.drain_aborted += aborted as u64;
    worker.flush_log();
    Drained { aborted }
}

async fn within(limit: Duration, signal: &Rc<Signal>) -> bool {
    // A wait for a flag may be dropped at any time.
    with_deadline(limit, AssertCancelSafe(signal.wait())).await.is_ok()
}
