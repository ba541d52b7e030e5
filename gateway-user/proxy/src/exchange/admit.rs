//! Admission: the bounds on connections and buffers, and the shares of namespaces and listeners under scarcity.

use crate::Reason;
use crate::connection::info::ConnInfo;
use crate::context::{BufferLevel, Counted, Routed, Shared, Shares, WorkerContext};

/// Counts a request that found its rule, unless others go first.
///
/// # Errors
/// Others do.
pub(super) fn admit(info: &ConnInfo, routed: &Routed) -> Result<Counted, Reason> {
    if !info.control.is_over_limit() {
        takes_its_share(&info.context, routed, Shares::gives_way)?;
        return Ok(routed.shared.begin());
    }
    if info.context.shares.goes_first(&routed.shared) {
        info.control.admit();
        return Ok(routed.shared.begin());
    }
    Err(refuse_over_limit(info))
}

/// The reason to tell a client whose request found no rule: beyond the limit of connections it has no place at all.
pub(super) fn without_rule(info: &ConnInfo, reason: Reason) -> Reason {
    if info.control.is_over_limit() { refuse_over_limit(info) } else { reason }
}

/// Counts a connection that found its rule, unless others go first. It would keep its place for hours, so beyond the limit there
/// is none, where places are lent for a response, and the last part below the limit is for those that do not hold the most, be
/// they there or not.
///
/// # Errors
/// As for [`admit`].
pub(crate) fn admit_connection(info: &ConnInfo, routed: &Routed) -> Result<Counted, Reason> {
    if info.control.is_over_limit() {
        return Err(refuse_over_limit(info));
    }
    takes_its_share(&info.context, routed, Shares::leaves_room)?;
    Ok(routed.shared.begin())
}

fn refuse_over_limit(info: &ConnInfo) -> Reason {
    if info.control.refuse() {
        info.context.metrics.borrow_mut().counters.overloaded += 1;
    }
    Reason::OverloadConnections
}

/// Where something is scarce the namespace and the listener with the most requests under way wait; `is_enough` tells who does
/// for places.
fn takes_its_share(
    context: &WorkerContext,
    routed: &Routed,
    is_enough: impl Fn(&Shares, &Shared, usize) -> bool,
) -> Result<(), Reason> {
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
        let is_refused = context.is_crowded() && is_enough(shares, shared, context.inside.get());
        is_refused.then_some(Reason::OverloadShare)
    };
    let Some(reason) = refused.or_else(crowded) else { return Ok(()) };
    let counters = &mut context.metrics.borrow_mut().counters;
    match reason {
        Reason::OverloadMemory => counters.memory_refused += 1,
        _ => counters.share_refused += 1,
    }
    Err(reason)
}
