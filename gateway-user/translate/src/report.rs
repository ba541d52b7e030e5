//! Reports of nodes, and the status that follows from them.

mod sets;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use gateway_api_types::{
    AddressType, Condition, ConditionStatus, GatewayStatus, GatewayStatusAddress, ListenerStatus,
};
use gateway_ir::{BindAddress, Generation, ListenerId, ObjectName, Transport};
use serde::{Deserialize, Serialize};

use crate::digest::GatewayDigest;
use crate::placement;
use crate::reason::{self, condition, kind};
use crate::status::{BindKey, StatusSet, WAITING, accepted_by_listeners, find, nowhere};

/// A node's report on a translation: everything is served but the rejected binds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeReport {
    /// Number of the live configuration; each node counts its own.
    pub generation: Generation,
    /// Every Gateway in it, as [`digests`](crate::digests) gives them.
    pub gateways: BTreeMap<ObjectName, GatewayDigest>,
    /// Every ListenerSet in it, as [`set_digests`](crate::set_digests) gives them.
    pub listener_sets: BTreeMap<ObjectName, GatewayDigest>,
    /// Binds that are not served.
    pub refused: Vec<RejectedBind>,
    /// Addresses at which clients reach the node, which are those of Gateways that are served on every
    /// address.
    pub addresses: Vec<IpAddr>,
}

/// A bind that a node does not serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedBind {
    /// The bind's address.
    pub address: BindAddress,
    /// The bind's port.
    pub port: u16,
    /// The transport of that port.
    #[serde(default, skip_serializing_if = "Transport::is_tcp")]
    pub transport: Transport,
    /// The reason.
    pub reason: RejectionReason,
    /// The holder of the port, or the error of the address, and the fix.
    pub message: String,
}

/// Reason for which a node does not serve a bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RejectionReason {
    /// The port is reserved, or another program listens on it.
    PortUnavailable,
    /// The address is not one of the node's.
    AddressNotUsable,
}

/// Reports by the names of nodes.
type Reports<'a> = BTreeMap<&'a str, &'a NodeReport>;

/// `Gateway.status.addresses` holds at most this many (CRD, `maxItems`).
const ADDRESSES_MAX: usize = 16;

impl RejectedBind {
    fn key(&self) -> BindKey {
        (self.address, self.port, self.transport)
    }
}

impl StatusSet {
    /// This status as one node has it that serves alone: see [`StatusSet::with_reports`].
    #[must_use]
    pub fn with_report(&self, report: &NodeReport) -> Self {
        self.with_report_of("", report)
    }

    /// The same, for the node of this name, by which it is decided what is served there.
    #[must_use]
    pub fn with_report_of(&self, node: &str, report: &NodeReport) -> Self {
        let mut next = self.with(&BTreeMap::from([("", report)]), Some(node));
        next.generation = Some(report.generation);
        next
    }

    /// This status as these nodes have it, by name: `Programmed` becomes true where it was unknown and every
    /// node that serves the Gateway serves it as it is now; false, with the nodes' messages, where a bind was
    /// refused; and stays unknown, with the names of those that are behind, until then. A listener all of
    /// whose binds are refused for the port is not accepted. A node that does not have an address is not one
    /// that serves it, unless no node has it. Nodes that a Gateway is not served on have no say in it; if that is all of
    /// them, it is false.
    #[must_use]
    pub fn with_reports(&self, reports: &BTreeMap<String, NodeReport>) -> Self {
        let reports: Reports<'_> = reports.iter().map(|(node, report)| (node.as_str(), report)).collect();
        self.with(&reports, None)
    }

    /// `own` is the name of the node without a name.
    fn with(&self, all: &Reports<'_>, own: Option<&str>) -> Self {
        let mut next = self.clone();
        for (name, status) in &mut next.gateways {
            let Some(digest) = self.digests.get(name) else { continue };
            let reports = &*self.serving(name, all, own);
            if reports.is_empty() && !all.is_empty() {
                nowhere(status, placement::no_node(&self.placement, name, &those(all, own)));
                continue;
            }
            let current = |report: &NodeReport| report.gateways.get(name) == Some(digest);
            let first = ListenerId::of_gateway(name.clone(), "");
            let binds = self.binds_of(&first);
            match self.refused(&first, &binds, reports, current, &mut status.listeners) {
                Ok(refused) => {
                    summarise(status, &refused);
                    status.addresses.extend(node_addresses(&binds, reports));
                    status.addresses.truncate(ADDRESSES_MAX);
                }
                Err(message) => wait(&mut status.conditions, &mut status.listeners, &message),
            }
        }
        let mut serving: BTreeMap<&ObjectName, Cow<'_, Reports<'_>>> = BTreeMap::new();
        for (name, status) in &mut next.listener_sets {
            let Some(gateway) = self.set_gateways.get(name) else { continue };
            let reports = serving.entry(gateway).or_insert_with(|| self.serving(gateway, all, own));
            self.report_set((name, gateway), status, reports, all, own);
        }
        next.count_sets();
        next
    }

    /// Tells the listeners of an object which binds of theirs are refused, and gives those. `first` is before all of them, and
    /// `current` is true of a report that has the object as it is now.
    ///
    /// # Errors
    /// Nodes that serve it have not applied it yet: the message says which.
    fn refused(
        &self,
        first: &ListenerId,
        binds: &BTreeSet<BindKey>,
        reports: &Reports<'_>,
        current: impl Fn(&NodeReport) -> bool,
        listeners: &mut [ListenerStatus],
    ) -> Result<Vec<RejectedBind>, String> {
        let owners = self.owners_of(binds, reports);
        let is_behind = |node: &&str| !reports.get(*node).is_some_and(|report| current(report));
        let (any, behind): (_, Vec<_>) = match &owners {
            Some(owners) => (!owners.is_empty(), owners.iter().copied().filter(is_behind).collect()),
            None => {
                let behind = reports.iter().filter(|(_, report)| !current(report));
                (!reports.is_empty(), behind.map(|(node, _)| *node).collect())
            }
        };
        if !any || !behind.is_empty() {
            return Err(match behind.as_slice() {
                [] => WAITING.to_owned(),
                [""] => "not applied yet".to_owned(),
                nodes => format!("not applied yet by {}", nodes.join(", ")),
            });
        }
        let of = |address| self.reports_of(address, reports);
        let refused: Vec<_> = binds.iter().filter_map(|bind| together(*bind, &of(bind.0))).collect();
        for listener in listeners {
            let id = ListenerId { listener: listener.name.clone(), ..first.clone() };
            if let Some(binds) = self.binds.get(&id) {
                apply(listener, binds, &refused);
            }
        }
        Ok(refused)
    }

    /// The reports of the nodes that a Gateway is served on.
    fn serving<'r, 'a>(
        &self,
        gateway: &ObjectName,
        all: &'r Reports<'a>,
        own: Option<&str>,
    ) -> Cow<'r, Reports<'a>> {
        if !self.placement.gateways.contains_key(gateway) {
            return Cow::Borrowed(all);
        }
        let serves = |node: &str| self.placement.serves(gateway, own.unwrap_or(node));
        Cow::Owned(
            all.iter().filter(|(node, _)| serves(node)).map(|(node, report)| (*node, *report)).collect(),
        )
    }

    /// Every address and port that is to be served of the object of this listener, which comes before all of it, each once.
    fn binds_of(&self, first: &ListenerId) -> BTreeSet<BindKey> {
        let own = self.binds.range(first..).take_while(|(id, _)| id.is_beside(first));
        own.flat_map(|(_, binds)| binds.iter().copied()).collect()
    }

    /// The owners of the addresses, which alone serve these; `None` if any address has none, so that every node does.
    fn owners_of<'a>(
        &'a self,
        binds: &BTreeSet<BindKey>,
        reports: &Reports<'_>,
    ) -> Option<BTreeSet<&'a str>> {
        let owner = |address: &BindAddress| match address {
            BindAddress::Ip(ip) => self.owners.get(ip).map(String::as_str),
            BindAddress::Any => None,
        };
        let owners: Option<BTreeSet<_>> = binds.iter().map(|(address, ..)| owner(address)).collect();
        // A node that reports for itself alone has no name.
        owners.filter(|_| !reports.contains_key(""))
    }

    /// The reports that count for an address.
    fn reports_of<'a>(&self, address: BindAddress, reports: &Reports<'a>) -> Vec<(&'a str, &'a NodeReport)> {
        let owner = match address {
            BindAddress::Ip(ip) => self.owners.get(&ip),
            BindAddress::Any => None,
        };
        let counts = |node: &str| owner.is_none_or(|owner| owner == node || node.is_empty());
        let all = reports.iter().map(|(node, report)| (*node, *report));
        all.filter(|(node, _)| counts(node)).collect()
    }
}

/// The nodes that report, none of which serves a Gateway, as a message begins to say.
fn those(all: &Reports<'_>, own: Option<&str>) -> String {
    match own {
        Some(node) => format!("node {node:?}, which alone serves, does not have"),
        None => format!("none of the {} nodes that report has", all.len()),
    }
}

/// Says in conditions and listeners what is waited for.
fn wait(conditions: &mut [Condition], listeners: &mut [ListenerStatus], message: &str) {
    let listeners = listeners.iter_mut().flat_map(|listener| &mut listener.conditions);
    let waiting = listeners.chain(conditions).filter(|condition| {
        condition.type_ == kind::PROGRAMMED && condition.status == ConditionStatus::Unknown
    });
    waiting.for_each(|condition| message.clone_into(&mut condition.message));
}

/// The nodes' common verdict on a bind: the address is unusable if none has it; else those that have it
/// count, and a port that is taken on one of them is not served there.
fn together(bind: BindKey, reports: &[(&str, &NodeReport)]) -> Option<RejectedBind> {
    let (address, port, transport) = bind;
    let said = |reason: RejectionReason| {
        reports.iter().filter_map(move |(node, report)| {
            let of = |one: &&RejectedBind| one.key() == bind && one.reason == reason;
            let refused = report.refused.iter().find(of)?;
            Some(match *node {
                "" => refused.message.clone(),
                node => format!("node {node}: {}", refused.message),
            })
        })
    };
    let refuse = |reason, messages: Vec<String>| {
        let message = reason::join(messages.iter().map(String::as_str));
        Some(RejectedBind { address, port, transport, reason, message })
    };
    let elsewhere: Vec<_> = said(RejectionReason::AddressNotUsable).collect();
    if elsewhere.len() == reports.len() {
        return refuse(RejectionReason::AddressNotUsable, elsewhere);
    }
    let taken: Vec<_> = said(RejectionReason::PortUnavailable).collect();
    if taken.is_empty() { None } else { refuse(RejectionReason::PortUnavailable, taken) }
}

fn refusals<'a>(binds: &'a [BindKey], refused: &'a [RejectedBind]) -> impl Iterator<Item = &'a RejectedBind> {
    refused.iter().filter(|refused| binds.contains(&refused.key()))
}

fn apply(listener: &mut ListenerStatus, binds: &[BindKey], refused: &[RejectedBind]) {
    let refused: Vec<_> = refusals(binds, refused).collect();
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
    let everywhere = binds.iter().all(|bind| refused.iter().any(|one| one.key() == *bind));
    let port = refused.iter().any(|refused| refused.reason == RejectionReason::PortUnavailable);
    if everywhere && port {
        set(kind::ACCEPTED, ConditionStatus::False, reason::PORT_UNAVAILABLE, &message);
    }
    let reason = if port { reason::PORT_UNAVAILABLE } else { reason::ADDRESS_NOT_USABLE };
    set(kind::PROGRAMMED, ConditionStatus::False, reason, &message);
}

/// The Gateway's own conditions after its listeners': an address that cannot be used comes first, then
/// whether anything is served.
fn summarise(status: &mut GatewayStatus, refused: &[RejectedBind]) {
    let unusable: Vec<_> =
        refused.iter().filter(|refused| refused.reason == RejectionReason::AddressNotUsable).collect();
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
            // An address that was asked for and not given stays the reason, whatever the nodes serve.
            kind::PROGRAMMED if condition.status == ConditionStatus::Unknown => *condition = new.clone(),
            kind::ACCEPTED => *condition = accepted.clone(),
            _ => {}
        }
    }
}

/// The nodes' addresses, in order and each once, if a listener is served on every address of theirs.
fn node_addresses(binds: &BTreeSet<BindKey>, reports: &Reports<'_>) -> Vec<GatewayStatusAddress> {
    if !binds.iter().any(|(address, ..)| *address == BindAddress::Any) {
        return Vec::new();
    }
    let mut all: Vec<IpAddr> = reports.values().flat_map(|report| report.addresses.iter().copied()).collect();
    all.sort_unstable();
    all.dedup();
    let address = |ip: IpAddr| GatewayStatusAddress {
        type_: AddressType::IpAddress,
        value: ip.to_string(),
        routability: None,
    };
    all.into_iter().map(address).collect()
}
