//! Admission: the bounds on connections and buffers, and the shares of namespaces and listeners under scarcity.

use super::route::MatchedRoute;
use crate::Reason;
use crate::connection::info::ConnInfo;
use crate::context::{BufferLevel, Counted, Routed, WorkerContext};

/// Counts a request that found its rule, unless others go first.
pub(super) fn admit(
    info: &ConnInfo,
    found: Result<MatchedRoute, Reason>,
) -> Result<(MatchedRoute, Counted), Reason> {
    if !info.control.is_over_limit() {
        let found = found?;
        takes_its_share(&info.context, &found.routed)?;
        let counted = found.routed.shared.begin();
        return Ok((found, counted));
    }
    match found {
        Ok(found) if info.context.shares.goes_first(&found.routed.shared) => {
            info.control.admit();
            let counted = found.routed.shared.begin();
            Ok((found, counted))
        }
        _ => {
            if info.control.refuse() {
                info.context.metrics.borrow_mut().counters.overloaded += 1;
            }
            Err(Reason::OverloadConnections)
        }
    }
}

/// Where something is scarce the namespace and the listener with the most requests under way wait.
fn takes_its_share(context: &WorkerContext, routed: &Routed) -> Result<(), Reason> {
    let (shares, shared) = (&context.shares, &routed.shared);
    let refused = match context.buffer_level() {
        BufferLevel::Plenty => None,
        BufferLevel::Short => {
            let lent = context.lent_buffers();
            shares.gives_way(shared, lent).then_some(Reason::OverloadMemory)
        }
        // The rest is for what is under way, and for those that have less of it.
        BufferLevel::Full | BufferLevel::Exhausted => {
            (!shares.goes_first(shared)).then_some(Reason::OverloadMemory)
        }
    };
    let crowded = || {
        let gives_way = context.is_crowded() && shares.gives_way(shared, context.inside.get());
        gives_way.then_some(Reason::OverloadShare)
    };
    let Some(reason) = refused.or_else(crowded) else { return Ok(()) };
    let counters = &mut context.metrics.borrow_mut().counters;
    match reason {
        Reason::OverloadMemory => counters.memory_refused += 1,
        _ => counters.share_refused += 1,
    }
    Err(reason)
}
