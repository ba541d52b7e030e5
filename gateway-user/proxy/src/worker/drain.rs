//! Draining: nothing new, what is under way ends in order, what won't end is cut at a limit.

use std::rc::Rc;
use std::time::Duration;

use gateway_io::{AssertCancelSafe, sleep, with_deadline};

use super::accept::Acceptors;
use super::command::{DrainLimits, Drained};
use super::state::Worker;
use crate::l4::udp::Datagrams;
use crate::signal::Signal;

/// How long connections that were cut may take to go: they only have to be dropped.
const FINAL_RESPONSES_TIMEOUT: Duration = Duration::from_secs(5);

/// Ends the worker's connections: responses say `Connection: close`, on busy connections each at a time of its own. New connections are still accepted for a
/// while, since load balancers in front learn late that they should send none; idle ones are left open for clients
/// that are about to use them; at the maximum what is left is cut.
pub(super) async fn drain(
    worker: &Worker,
    acceptors: &Acceptors,
    datagrams: &Datagrams,
    limits: DrainLimits,
) -> Drained {
    let DrainLimits { accept, idle, max } = limits;
    let accept = accept.min(max);
    let idle = idle.clamp(accept, max);
    // A busy connection that was not told by then would be cut between two requests.
    worker.begin_drain(max / 2, idle / 2);
    if !accept.is_zero() {
        sleep(accept).await;
    }
    datagrams.stop();
    acceptors.close().await;
    let empty = worker.seal();
    if !within(idle.saturating_sub(accept), &empty).await {
        worker.kill(|connection| connection.idle.get());
    }
    let mut aborted = 0;
    if !within(max.saturating_sub(idle), &empty).await {
        aborted = worker.kill(|_| true) + datagrams.cut();
        within(FINAL_RESPONSES_TIMEOUT, &empty).await;
    }
    worker.context.metrics.borrow_mut().counters.drain_aborted += aborted as u64;
    worker.context.flush_log();
    Drained { aborted }
}

async fn within(limit: Duration, signal: &Rc<Signal>) -> bool {
    // A wait for a flag may be dropped at any time.
    with_deadline(limit, AssertCancelSafe(signal.wait())).await.is_ok()
}
