//! Clients that have finished sending, by FIN or in TLS's own words, and wait for their response.
//!
//! A FIN does not say that the client is gone (RFC 9112 section 9.6), and a client that is gone sends one too. So a response that
//! has begun is delivered, and one that has not is waited for a while.

use std::cell::Cell;
use std::future::pending;
use std::time::Duration;

use gateway_io::{AssertCancelSafe, RecvHalf, now, with_deadline};

use crate::context::WorkerContext;
use crate::exchange::progress::Progress;

/// Between two looks at whether the connection is broken, which no receive tells any more.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Returns when the exchange with a client that has finished sending must end: the connection is broken, its response has not
/// begun in time, or too many wait like this.
pub(super) async fn expired(
    context: &WorkerContext,
    from: &RecvHalf,
    half_closed: &Cell<bool>,
    progress: &Progress,
) {
    half_closed.set(true);
    let (limit, began) = (context.config.timeouts.half_close, now());
    {
        let place = context.enter_half_closed();
        while progress.may_reply() {
            let left = limit.saturating_sub(now().saturating_duration_since(began));
            if left.is_zero() || from.is_broken() {
                return;
            }
            let leave = AssertCancelSafe(place.leave().wait());
            if with_deadline(left.min(POLL_INTERVAL), leave).await.is_ok() {
                return;
            }
        }
    }
    while !from.is_broken() {
        // The end of a wait, not of the connection.
        let _ = with_deadline(POLL_INTERVAL, AssertCancelSafe(pending::<()>())).await;
    }
}
