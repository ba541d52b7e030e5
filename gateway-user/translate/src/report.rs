//! What a node says about what it serves, and what that makes of the status.

use gateway_api_types::{ConditionStatus, GatewayStatus, ListenerStatus};
use gateway_ir::{BindAddress, Generation, ListenerId, ObjectName};
use serde::{Deserialize, Serialize};

use crate::reason::{self, condition, kind};
use crate::status::{StatusSet, accepted_by_listeners, find};

/// What one node made of a translation: everything is served, but for what it refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// The configuration that is live.
    pub generation: Generation,
    /// Binds that are not served.
    pub refused: Vec<RefusedBind>,
}

/// A bind that a node does not serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedBind {
    /// The bind's address.
    pub address: BindAddress,
    /// The bind's port.
    pub port: u16,
    /// Whose fault it is.
    pub reason: RefusedReason,
    /// Who holds the port, or what is wrong with the address, and what to do.
    pub message: String,
}

/// Why a node does not serve a bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RefusedReason {
    /// The port is reserved, or another program listens on it.
    PortUnavailable,
    /// The address is not one of the node's.
    AddressNotUsable,
}

impl StatusSet {
    /// This status as the node has it: `Programmed` becomes true where it was unknown, and false, with the node's
    /// message, where a bind was refused. A listener all of whose binds are refused for the port is not accepted.
    #[must_use]
    pub fn with_report(&self, report: &NodeReport) -> Self {
        let mut next = self.clone();
        next.generation = Some(report.generation);
        for (name, status) in &mut next.gateways {
            for listener in &mut status.listeners {
                let id = ListenerId { gateway: name.clone(), listener: listener.name.clone() };
                if let Some(binds) = self.binds.get(&id) {
                    apply(listener, binds, report);
                }
            }
            summarise(name, status, self, report);
        }
        next
    }
}

fn refusals<'a>(
    binds: &'a [(BindAddress, u16)],
    report: &'a NodeReport,
) -> impl Iterator<Item = &'a RefusedBind> {
    report.refused.iter().filter(|refused| binds.contains(&(refused.address, refused.port)))
}

fn apply(listener: &mut ListenerStatus, binds: &[(BindAddress, u16)], report: &NodeReport) {
    let refused: Vec<_> = refusals(binds, report).collect();
    let message = reason::join(refused.iter().map(|refused| refused.message.as_str()));
    let generation = find(&listener.conditions, kind::ACCEPTED).and_then(|one| one.observed_generation);
    let mut set = |type_: &str, status, reason: &str, message: &str| {
        let new = condition(type_, status, reason, message, generation);
        match listener.conditions.iter_mut().find(|condition| condition.type_ == type_) {
            Some(old) => *old = new,
            None => listener.conditions.push(new),
        }
    };
    if refused.is_empty() {
        set(kind::PROGRAMMED, ConditionStatus::True, reason::PROGRAMMED, "the listener is served");
        return;
    }
    let everywhere = binds.iter().all(|bind| refused.iter().any(|one| (one.address, one.port) == *bind));
    let port = refused.iter().any(|refused| refused.reason == RefusedReason::PortUnavailable);
    if everywhere && port {
        set(kind::ACCEPTED, ConditionStatus::False, reason::PORT_UNAVAILABLE, &message);
    }
    let reason = if port { reason::PORT_UNAVAILABLE } else { reason::ADDRESS_NOT_USABLE };
    set(kind::PROGRAMMED, ConditionStatus::False, reason, &message);
}

/// The Gateway's own conditions after its listeners': an address that cannot be used comes first, then whether
/// anything is served.
fn summarise(name: &ObjectName, status: &mut GatewayStatus, set: &StatusSet, report: &NodeReport) {
    let binds: Vec<_> =
        set.binds.iter().filter(|(id, _)| id.gateway == *name).flat_map(|(_, binds)| binds.clone()).collect();
    if binds.is_empty() {
        return;
    }
    let unusable: Vec<_> = refusals(&binds, report)
        .filter(|refused| refused.reason == RefusedReason::AddressNotUsable)
        .collect();
    status.addresses.retain(|address| {
        !unusable.iter().any(|refused| match refused.address {
            BindAddress::Ip(ip) => ip.to_string() == address.value,
            BindAddress::Any => false,
        })
    });
    let served = |listener: &ListenerStatus| {
        find(&listener.conditions, kind::PROGRAMMED).is_some_and(|one| one.status == ConditionStatus::True)
    };
    let (programmed, others): (Vec<_>, Vec<_>) = status.listeners.iter().partition(|one| served(one));
    let generation = find(&status.conditions, kind::PROGRAMMED).and_then(|one| one.observed_generation);
    let not_served = || others.iter().map(|one| format!("{:?}", one.name)).collect::<Vec<_>>().join(", ");
    let of =
        |status, reason, message: String| condition(kind::PROGRAMMED, status, reason, message, generation);
    let new = match (unusable.is_empty(), programmed.is_empty(), others.is_empty()) {
        (false, _, _) => {
            let message = reason::join(unusable.iter().map(|refused| refused.message.as_str()));
            of(ConditionStatus::False, reason::ADDRESS_NOT_USABLE, message)
        }
        (true, true, _) => of(ConditionStatus::False, reason::INVALID, "no listener is served".to_owned()),
        (true, false, true) => {
            of(ConditionStatus::True, reason::PROGRAMMED, "every listener is served".to_owned())
        }
        (true, false, false) => of(
            ConditionStatus::True,
            reason::PROGRAMMED,
            format!("served but for listeners {}", not_served()),
        ),
    };
    let accepted = accepted_by_listeners(&status.listeners, generation);
    for condition in &mut status.conditions {
        match condition.type_.as_str() {
            // An address that was asked for and not given stays the reason, whatever the node serves.
            kind::PROGRAMMED if condition.status == ConditionStatus::Unknown => *condition = new.clone(),
            kind::ACCEPTED => *condition = accepted.clone(),
            _ => {}
        }
    }
}
