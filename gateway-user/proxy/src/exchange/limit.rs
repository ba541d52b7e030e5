//! The time limits of a rule.

use std::time::{Duration, Instant};

use crate::Reason;
use crate::context::{Routed, WorkerContext};

/// The shorter of the two limits that a rule may set (GEP-1742).
pub(super) struct Limit {
    pub(super) left: Duration,
    /// Why the exchange ends when it passes.
    pub(super) reason: Reason,
}

impl Limit {
    /// For a request that began at `began`; `None` without a limit.
    pub(super) fn of(routed: &Routed, context: &WorkerContext, began: Instant) -> Option<Self> {
        let timeouts = routed.rule.timeouts;
        let own = context.config.timeouts.request;
        let request = timeouts.request_ms.map_or(own, Duration::from_millis);
        let backend = timeouts.backend_request_ms.map(Duration::from_millis).unwrap_or_default();
        let request = (!request.is_zero())
            .then(|| Self { left: request.saturating_sub(began.elapsed()), reason: Reason::RequestTimeout });
        let backend =
            (!backend.is_zero()).then_some(Self { left: backend, reason: Reason::BackendRequestTimeout });
        match (request, backend) {
            (Some(request), Some(backend)) if backend.left < request.left => Some(backend),
            (None, backend) => backend,
            (request, _) => request,
        }
    }
}
