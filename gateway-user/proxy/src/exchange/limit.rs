//! The time limits of a request: those of its rule, and the deadline of a gRPC call.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use gateway_http::grpc;
use gateway_http::head::RequestParts;

use crate::Reason;
use crate::clock::within;
use crate::context::Routed;

/// A year.
const MAX_DEADLINE: Duration = Duration::from_secs(365 * 86_400);

/// The shortest of the two limits that a rule may set (GEP-1742), and of the client's own.
pub(super) struct Limit {
    pub(super) left: Duration,
    /// Why the exchange ends when it passes.
    pub(super) reason: Reason,
}

impl Limit {
    /// For a request that began at `began` with this deadline; `None` without a limit.
    pub(super) fn of(routed: &Routed, began: Instant, deadline: Option<Duration>) -> Option<Self> {
        let [request, deadline] = Self::of_client(routed, began, deadline);
        // Of equal ones the first.
        [request, Self::of_attempt(routed), deadline].into_iter().flatten().min_by_key(|limit| limit.left)
    }

    /// The same for all attempts together, of which each has [`of_attempt`](Self::of_attempt).
    pub(super) fn of_attempts(routed: &Routed, began: Instant, deadline: Option<Duration>) -> Option<Self> {
        Self::of_client(routed, began, deadline).into_iter().flatten().min_by_key(|limit| limit.left)
    }

    /// The limit of one attempt, which begins now.
    pub(super) fn of_attempt(routed: &Routed) -> Option<Self> {
        let backend = routed.rule.timeouts.backend_request_ms.map(Duration::from_millis).unwrap_or_default();
        (!backend.is_zero()).then_some(Self { left: backend, reason: Reason::BackendRequestTimeout })
    }

    /// The time that is left of the limits that run from the request's head on.
    #[inline(always)] // Most requests pass through here.
    fn of_client(routed: &Routed, began: Instant, deadline: Option<Duration>) -> [Option<Self>; 2] {
        let limit = routed.settings.request_limit(routed.rule.timeouts.request_ms.map(Duration::from_millis));
        let since = |limit: Duration| limit.saturating_sub(began.elapsed());
        let request = (!limit.is_zero()).then(|| Self { left: since(limit), reason: Reason::RequestTimeout });
        let deadline = deadline.map(|deadline| Self { left: since(deadline), reason: Reason::GrpcTimeout });
        [request, deadline]
    }

    /// Does some work within the limit, if there is one.
    ///
    /// # Errors
    /// The work's, or the limit's.
    pub(super) async fn hold<T>(
        limit: Option<Self>,
        mut work: Pin<&mut impl Future<Output = Result<T, Reason>>>,
    ) -> Result<T, Reason> {
        let Some(Self { left, reason }) = limit else { return work.await };
        let end = Instant::now().checked_add(left);
        // Dropping attempts drops no operation: those belong to the connections.
        match within(left, work.as_mut()).await {
            // Past the deadline the timeout is reported, not the error that it caused.
            Some(Err(_)) if end.is_some_and(|end| Instant::now() >= end) => Err(reason),
            Some(result) => result,
            None => Err(reason),
        }
    }
}

/// The deadline of a gRPC call: its `grpc-timeout`, from the request's head on. One that is not well-formed is none
/// here; what the backend makes of it is the backend's affair. `None` as well for one that is further off than any
/// process runs.
pub(super) fn deadline(request: &RequestParts<'_>) -> Option<Duration> {
    let deadline = request.fields.get(b"grpc-timeout").and_then(grpc::parse_timeout);
    deadline.filter(|deadline| *deadline <= MAX_DEADLINE)
}
