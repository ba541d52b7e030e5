//! The plan after rejections, and the report of it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use gateway_ir::{DiffItem, Endpoints};
use gateway_steer::{Rejection, SteerPlan};
use gateway_translate::{NodeReport, RejectedBind, RejectionReason, digests, set_digests};

use crate::view::Live;

/// The plan but for what is refused.
pub(crate) fn without(plan: &SteerPlan, refused: &[Rejection]) -> SteerPlan {
    let out: BTreeSet<_> = refused.iter().map(|rejection| rejection.bind).collect();
    plan.binds.difference(&out).copied().collect()
}

/// The new endpoints, and those of clusters that only the live generation has.
pub(crate) fn union(live: Option<&Live>, new: &Arc<Endpoints>) -> Arc<Endpoints> {
    let Some(live) = live.filter(|live| live.endpoints != *new) else { return Arc::clone(new) };
    let mut both = Endpoints::clone(&live.endpoints);
    for difference in live.endpoints.clusters.diff(&new.clusters) {
        if let DiffItem::Add(key, addresses) | DiffItem::Update { new: (key, addresses), .. } = difference {
            both.clusters.insert(key.clone(), Arc::clone(addresses));
        }
    }
    for difference in live.endpoints.tls.diff(&new.tls) {
        if let DiffItem::Add(key, settings) | DiffItem::Update { new: (key, settings), .. } = difference {
            both.tls.insert(key.clone(), Arc::clone(settings));
        }
    }
    Arc::new(both)
}

/// This node's report of the live configuration; clients reach the node at these addresses.
pub(crate) fn report(live: Option<&Live>, addresses: &[IpAddr]) -> NodeReport {
    let Some(live) = live else { return NodeReport::default() };
    let refused = live.refused.iter().map(|rejection| RejectedBind {
        address: rejection.bind.address,
        port: rejection.bind.port,
        transport: rejection.bind.transport,
        reason: match rejection.reason {
            gateway_steer::RejectionReason::AddressNotLocal => RejectionReason::AddressNotUsable,
            _ => RejectionReason::PortUnavailable,
        },
        message: rejection.message.clone(),
    });
    NodeReport {
        generation: live.generation,
        gateways: digests(&live.ir),
        listener_sets: set_digests(&live.ir),
        refused: refused.collect(),
        addresses: addresses.to_vec(),
    }
}
