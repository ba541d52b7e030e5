//! The time limits of a request: those of its rule, and the deadline of a gRPC call.

use std::time::{Duration, Instant};

use gateway_http::grpc;
use gateway_http::head::RequestParts;

use crate::Reason;
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
        let timeouts = routed.rule.timeouts;
        let request = routed.settings.request_limit(timeouts.request_ms.map(Duration::from_millis));
        let backend = timeouts.backend_request_ms.map(Duration::from_millis).unwrap_or_default();
        let since = |limit: Duration| limit.saturating_sub(began.elapsed());
        let request =
            (!request.is_zero()).then(|| Self { left: since(request), reason: Reason::RequestTimeout });
        let backend =
            (!backend.is_zero()).then_some(Self { left: backend, reason: Reason::BackendRequestTimeout });
        let deadline = deadline.map(|deadline| Self { left: since(deadline), reason: Reason::GrpcTimeout });
        // Of equal ones the first.
        [request, backend, deadline].into_iter().flatten().min_by_key(|limit| limit.left)
    }
}

/// The deadline of a gRPC call: its `grpc-timeout`, from the request's head on. One that is not well-formed is none
/// here; what the backend makes of it is the backend's affair. `None` as well for one that is further off than any
/// process runs.
pub(super) fn deadline(request: &RequestParts<'_>) -> Option<Duration> {
    let deadline = request.fields.get(b"grpc-timeout").and_then(grpc::parse_timeout);
    deadline.filter(|deadline| *deadline <= MAX_DEADLINE)
}
