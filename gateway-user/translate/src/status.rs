//! Status: what the Gateway API lets us tell users on their objects.

mod nowhere;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;

use gateway_api_types::{
    AddressType, Condition, ConditionStatus, GatewayClassStatus, GatewayStatus, GatewayStatusAddress,
    ListenerSetStatus, ListenerStatus, PolicyStatus, RouteStatus,
};
use gateway_ir::{
    BindAddress, Generation, ListenerId, ObjectName, Placement, RouteId, RouteKind, Serve, SharedMap,
    Transport,
};
use serde::{Serialize, Serializer};

use crate::digest::GatewayDigest;
use crate::frontend;
use crate::gateway::GatewayState;
use crate::listener::ListenerState;
use crate::parent::ParentKey;
use crate::placement;
use crate::read::is_default;
use crate::reason::{self, condition, kind};
use crate::sets;
use crate::settings::{EffectiveSetting, settings_applied};
pub(crate) use nowhere::{nowhere, set_nowhere};

/// An address and a port to be served.
pub(crate) type BindKey = (BindAddress, u16, Transport);

/// The full status of every object that is ours to judge. No condition has a transition time: the status
/// writer knows the clock and what was written before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StatusSet {
    /// GatewayClasses that name our controller, by name.
    #[serde(rename = "gatewayClasses")]
    pub gateway_classes: BTreeMap<String, GatewayClassStatus>,
    /// Gateways of those classes.
    #[serde(serialize_with = "by_name")]
    pub gateways: BTreeMap<ObjectName, GatewayStatus>,
    /// ListenerSets that name one of those.
    #[serde(rename = "listenerSets", skip_serializing_if = "BTreeMap::is_empty", serialize_with = "by_name")]
    pub listener_sets: BTreeMap<ObjectName, ListenerSetStatus>,
    /// Routes with a parent among those; only the entries of our controller. There are many, so copies of the
    /// set share them.
    #[serde(flatten, serialize_with = "by_kind_and_name")]
    pub routes: SharedMap<RouteId, Arc<RouteStatus>>,
    /// BackendTLSPolicies that a Gateway of ours uses; only the entries of our controller.
    #[serde(
        rename = "backendTLSPolicies",
        skip_serializing_if = "BTreeMap::is_empty",
        serialize_with = "by_name"
    )]
    pub backend_tls_policies: BTreeMap<ObjectName, PolicyStatus>,
    /// The generation whose report is in here; `None` before [`StatusSet::with_report`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// Where each served listener is to be reachable: what a report is about.
    #[serde(skip)]
    pub(crate) binds: BTreeMap<ListenerId, Vec<BindKey>>,
    /// The digests that a node reports while it serves the Gateways as they are now.
    #[serde(skip)]
    pub(crate) digests: BTreeMap<ObjectName, GatewayDigest>,
    /// The same of ListenerSets.
    #[serde(skip)]
    pub(crate) set_digests: BTreeMap<ObjectName, GatewayDigest>,
    /// The Gateway of each ListenerSet.
    #[serde(skip)]
    pub set_gateways: Arc<BTreeMap<ObjectName, ObjectName>>,
    /// Routes that name a Gateway that does not exist, nearly one of ours. There is no status of ours on
    /// them.
    #[serde(skip)]
    pub missing_gateways: BTreeMap<RouteId, MissingGateway>,
    /// The nodes of Gateways that are not served on every one.
    #[serde(skip)]
    pub(crate) placement: Arc<Placement>,
    /// The settings of each Gateway as they are in force.
    #[serde(skip)]
    pub settings: Arc<BTreeMap<ObjectName, Vec<EffectiveSetting>>>,
    /// The node of each address that was assigned: of the others none is asked.
    #[serde(skip)]
    pub(crate) owners: BTreeMap<IpAddr, String>,
}

/// A Gateway that a route names and that does not exist, of whatever class, while one of ours has nearly its
/// name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingGateway {
    /// The route's `metadata.generation`.
    pub generation: Option<i64>,
    /// The Gateway that the route names.
    pub wanted: ObjectName,
    /// Field, what is wrong with it, and which one may have been meant.
    pub message: String,
}

impl StatusSet {
    /// Adds a Gateway or set before anything is known of the node: `Programmed` is `Unknown` where it may come true. A
    /// Gateway comes before its sets.
    pub(crate) fn add_parent(&mut self, gateway: &GatewayState<'_>) {
        for listener in gateway.listeners.iter().filter(|listener| gateway.programs(listener)) {
            let transport = listener.serve.map_or_else(Transport::default, Serve::transport);
            let binds =
                gateway.addresses.iter().map(|address| (*address, listener.spec.port, transport)).collect();
            self.binds.insert(listener.id.clone(), binds);
        }
        let listeners = gateway.listeners.iter().map(|listener| listener_status(gateway, listener)).collect();
        match &gateway.key {
            ParentKey::Gateway(_) => self.add_gateway(gateway, listeners),
            ParentKey::ListenerSet(name) => self.add_set(gateway, name, listeners),
        }
    }

    fn add_set(&mut self, set: &GatewayState<'_>, name: &ObjectName, listeners: Vec<ListenerStatus>) {
        let mut status = sets::status::of(set, listeners, WAITING);
        if self.placement.is_nowhere(&set.name) {
            let message = placement::served_nowhere(&self.placement, &set.name);
            set_nowhere(&mut status, message);
        }
        let accepted = find(&status.conditions, kind::ACCEPTED);
        if accepted.is_some_and(|one| one.status == ConditionStatus::True)
            && let Some(gateway) = self.gateways.get_mut(&set.name)
        {
            *gateway.attached_listener_sets.get_or_insert(0) += 1;
        }
        self.listener_sets.insert(name.clone(), status);
    }

    fn add_gateway(&mut self, gateway: &GatewayState<'_>, listeners: Vec<ListenerStatus>) {
        let allowed = gateway.object.spec.allowed_listeners.as_ref();
        let mut status = GatewayStatus {
            addresses: addresses(gateway),
            conditions: Vec::new(),
            listeners,
            // Says nothing where nobody may ask.
            attached_listener_sets: allowed.map(|_| 0),
        };
        status.conditions =
            vec![accepted(gateway, &status), programmed(gateway), resolved_refs(gateway, &status.listeners)];
        let settings = &gateway.settings;
        if settings.has_own || !settings.faults.is_empty() {
            status.conditions.push(settings_applied(&settings.faults, gateway.object.metadata.generation));
        }
        status.conditions.extend(backend_tls(gateway));
        status.conditions.extend(insecure_frontend(gateway));
        status.conditions.extend(default_gateway(gateway));
        if self.placement.is_nowhere(&gateway.name) {
            nowhere(&mut status, placement::served_nowhere(&self.placement, &gateway.name));
        }
        self.gateways.insert(gateway.name.clone(), status);
    }
}

fn accepted(gateway: &GatewayState<'_>, status: &GatewayStatus) -> Condition {
    let generation = gateway.object.metadata.generation;
    match &gateway.refused {
        Some(error) => {
            condition(kind::ACCEPTED, ConditionStatus::False, error.reason, error.to_string(), generation)
        }
        None => accepted_by_listeners(&status.listeners, generation),
    }
}

/// `Accepted` of a Gateway that has nothing wrong with itself: true with one valid listener, with the reason
/// `ListenersNotValid` unless all are.
pub(crate) fn accepted_by_listeners(listeners: &[ListenerStatus], generation: Option<i64>) -> Condition {
    let invalid: Vec<_> = listeners
        .iter()
        .filter_map(|listener| {
            let accepted = find(&listener.conditions, kind::ACCEPTED)?;
            (accepted.status == ConditionStatus::False)
                .then(|| format!("listener {:?}: {}", listener.name, accepted.message))
        })
        .collect();
    let (status, reason, message) = match (invalid.is_empty(), invalid.len() < listeners.len()) {
        (true, _) => (ConditionStatus::True, reason::ACCEPTED, "every listener is valid".to_owned()),
        (false, some) => {
            let status = if some { ConditionStatus::True } else { ConditionStatus::False };
            (status, reason::LISTENERS_NOT_VALID, reason::list(invalid))
        }
    };
    condition(kind::ACCEPTED, status, reason, message, generation)
}

fn programmed(gateway: &GatewayState<'_>) -> Condition {
    let serves = gateway.listeners.iter().any(|listener| gateway.programs(listener));
    let (status, reason, message) = match (&gateway.refused, gateway.unassigned.first()) {
        (Some(error), _) => (ConditionStatus::False, reason::INVALID, error.to_string()),
        (None, Some(first)) => {
            (ConditionStatus::False, first.reason, reason::join_errors(&gateway.unassigned))
        }
        (None, None) if serves => (ConditionStatus::Unknown, reason::PENDING, WAITING.to_owned()),
        (None, None) => (ConditionStatus::False, reason::INVALID, "no listener is valid".to_owned()),
    };
    condition(kind::PROGRAMMED, status, reason, message, gateway.object.metadata.generation)
}

pub(crate) const WAITING: &str = "no node has reported yet";

/// Says of which policies the Gateway makes no use; nothing if there is none.
fn backend_tls(gateway: &GatewayState<'_>) -> Option<Condition> {
    let refused = &gateway.refused_policies;
    (!refused.is_empty()).then(|| {
        condition(
            kind::BACKEND_TLS,
            ConditionStatus::False,
            reason::TOO_MANY_ANCESTORS,
            reason::list(refused),
            gateway.object.metadata.generation,
        )
    })
}

/// Says where clients need no valid certificate though they are asked for one; nothing if nowhere.
fn insecure_frontend(gateway: &GatewayState<'_>) -> Option<Condition> {
    let message = frontend::insecure(gateway.object)?;
    let generation = gateway.object.metadata.generation;
    let (type_, reason) = (kind::INSECURE_FRONTEND_VALIDATION_MODE, reason::CONFIGURATION_CHANGED);
    Some(condition(type_, ConditionStatus::True, reason, message, generation))
}

/// Says that routes get the Gateway without naming it; nothing if they do not.
fn default_gateway(gateway: &GatewayState<'_>) -> Option<Condition> {
    let (type_, reason) = (kind::DEFAULT_GATEWAY, reason::DEFAULT_SCOPE);
    let generation = gateway.object.metadata.generation;
    let message = "Gateway has default scope All";
    is_default(gateway.object).then(|| condition(type_, ConditionStatus::True, reason, message, generation))
}

/// The Gateway's own `ResolvedRefs`, and its summary of its listeners'.
fn resolved_refs(gateway: &GatewayState<'_>, listeners: &[ListenerStatus]) -> Condition {
    let generation = gateway.object.metadata.generation;
    if let Some(error) = &gateway.unresolved {
        return condition(
            kind::RESOLVED_REFS,
            ConditionStatus::False,
            error.reason,
            error.to_string(),
            generation,
        );
    }
    let unresolved: Vec<_> = listeners
        .iter()
        .filter_map(|listener| {
            let resolved = find(&listener.conditions, kind::RESOLVED_REFS)?;
            (resolved.status == ConditionStatus::False)
                .then(|| format!("listener {:?}: {}", listener.name, resolved.message))
        })
        .collect();
    let (status, reason, message) = match unresolved.is_empty() {
        true => (ConditionStatus::True, reason::RESOLVED_REFS, "every reference was found".to_owned()),
        false => (ConditionStatus::False, reason::LISTENERS_NOT_RESOLVED, reason::list(unresolved)),
    };
    condition(kind::RESOLVED_REFS, status, reason, message, generation)
}

fn listener_status(gateway: &GatewayState<'_>, listener: &ListenerState<'_>) -> ListenerStatus {
    let generation = gateway.generation();
    let of = |type_, (status, reason, message): (ConditionStatus, &str, String)| {
        condition(type_, status, reason, message, generation)
    };
    let error = listener.refused.as_ref().or(listener.conflict.as_ref()).or(listener.untrusted.as_ref());
    let accepted = match error {
        Some(error) => (ConditionStatus::False, error.reason, error.to_string()),
        None => (ConditionStatus::True, reason::ACCEPTED, "the listener is valid".to_owned()),
    };
    let conflicted = match &listener.conflict {
        Some(error) => (ConditionStatus::True, error.reason, error.to_string()),
        None => (ConditionStatus::False, reason::NO_CONFLICTS, "no other listener is in its way".to_owned()),
    };
    let resolved = match listener.unresolved.first() {
        Some(error) => (ConditionStatus::False, error.reason, reason::join_errors(&listener.unresolved)),
        None if listener.serve.is_none() => {
            let message = format!("not looked at: protocol {} is not supported", listener.spec.protocol);
            (ConditionStatus::Unknown, reason::PENDING, message)
        }
        None => (ConditionStatus::True, reason::RESOLVED_REFS, "every reference was found".to_owned()),
    };
    let unserved = error.or(gateway.refused.as_ref()).or(listener.unsecured());
    let programmed = match unserved.or(gateway.unassigned.first()) {
        _ if gateway.programs(listener) => (ConditionStatus::Unknown, reason::PENDING, WAITING.to_owned()),
        // Of sets the suite wants the reason of the conflict here too.
        Some(error) if gateway.set.is_some() && listener.conflict.is_some() => {
            (ConditionStatus::False, error.reason, error.to_string())
        }
        Some(error) => (ConditionStatus::False, reason::INVALID, error.to_string()),
        None => (ConditionStatus::False, reason::INVALID, "the Gateway has no usable address".to_owned()),
    };
    ListenerStatus {
        name: listener.spec.name.clone(),
        supported_kinds: listener.kinds.clone(),
        attached_routes: listener.attached_routes,
        conditions: vec![
            of(kind::ACCEPTED, accepted),
            of(kind::CONFLICTED, conflicted),
            of(kind::RESOLVED_REFS, resolved),
            of(kind::PROGRAMMED, programmed),
        ],
    }
}

/// Addresses that were asked for and can be served. A Gateway that asks for none is served on all of the
/// node's, which are not known here.
fn addresses(gateway: &GatewayState<'_>) -> Vec<GatewayStatusAddress> {
    let served = gateway.addresses.iter().filter(|_| gateway.refused.is_none());
    served
        .filter_map(|address| match address {
            BindAddress::Any => None,
            BindAddress::Ip(ip) => Some(GatewayStatusAddress {
                type_: AddressType::IpAddress,
                value: ip.to_string(),
                routability: None,
            }),
        })
        .collect()
}

pub(crate) fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

fn by_name<K: Display, V: Serialize, S: Serializer>(
    map: &BTreeMap<K, V>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(map.iter().map(|(name, status)| (name.to_string(), status)))
}

/// `httpRoutes`, always, and those of other kinds that there are, each by name.
fn by_kind_and_name<S: Serializer>(
    routes: &SharedMap<RouteId, Arc<RouteStatus>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let of = |kind: RouteKind| -> BTreeMap<String, &RouteStatus> {
        let own = routes.iter().filter(|(id, _)| id.kind == kind);
        own.map(|(id, status)| (id.object.to_string(), &**status)).collect()
    };
    let mut fields = BTreeMap::from([("httpRoutes", of(RouteKind::HTTPRoute))]);
    let others = [
        ("grpcRoutes", RouteKind::GRPCRoute),
        ("tcpRoutes", RouteKind::TCPRoute),
        ("tlsRoutes", RouteKind::TLSRoute),
        ("udpRoutes", RouteKind::UDPRoute),
    ];
    let others = others.into_iter().map(|(field, kind)| (field, of(kind)));
    fields.extend(others.filter(|(_, routes)| !routes.is_empty()));
    fields.serialize(serializer)
}
