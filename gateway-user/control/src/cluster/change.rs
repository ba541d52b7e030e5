//! Kind by kind: the operations that bring a status on the server to the one that is wanted. All of it is
//! pure.

use gateway_api_types::{
    BackendTlsPolicy, Condition, ConditionStatus, Gateway, GatewayClass, GatewayClassStatus, GatewayStatus,
    Kind, ListenerSet, ListenerSetStatus, ListenerStatus, Object, ObjectKey, PolicyStatus, RouteStatus,
};
use gateway_translate::condition_type::{
    BACKEND_TLS, DEFAULT_GATEWAY, INFRASTRUCTURE, INSECURE_FRONTEND_VALIDATION_MODE, PROGRAMMED,
    SETTINGS_APPLIED,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use super::entries::entries;
use super::op::{Op, Ops, Transition, json};

/// The condition types that the Gateway API gives to the controller, per place, those of earlier versions
/// included. Any other type is somebody else's, but for our own.
const OF_CLASS: &[&str] = &["Accepted", "SupportedVersion", SETTINGS_APPLIED];
const OF_GATEWAY: &[&str] = &[
    PROGRAMMED,
    "Accepted",
    "ResolvedRefs",
    "Scheduled",
    "Ready",
    SETTINGS_APPLIED,
    BACKEND_TLS,
    DEFAULT_GATEWAY,
    INFRASTRUCTURE,
    INSECURE_FRONTEND_VALIDATION_MODE,
];
const OF_SET: &[&str] = &[PROGRAMMED, "Accepted"];
const OF_LISTENER: &[&str] =
    &[PROGRAMMED, "Accepted", "ResolvedRefs", "Conflicted", "OverlappingTLSConfig", "Detached", "Ready"];

/// A status that is to be written: operations on one version of one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The object's kind.
    pub kind: Kind,
    /// The object's name.
    pub key: ObjectKey,
    /// The version that the operations are for: with any other they mean nothing.
    pub resource_version: String,
    /// Tells this object from a later one of the same name.
    pub uid: String,
    /// True if nothing of ours was seen in its status.
    pub is_first: bool,
    /// `metadata.creationTimestamp` in seconds since 1970.
    pub created: Option<i64>,
    /// Operations on it; never empty.
    pub ops: Vec<Op>,
    /// Transitions for Events.
    pub transitions: Vec<Transition>,
}

/// The change of a GatewayClass, if it needs one.
pub fn gateway_class(seen: &GatewayClass, wanted: &GatewayClassStatus, now: Timestamp) -> Option<Change> {
    let mut ops = Ops::new(now);
    let Some(status) = &seen.status else {
        let conditions = ops.stamp(None, &[], &wanted.conditions);
        ops.add(
            "/status",
            GatewayClassStatus { conditions, supported_features: wanted.supported_features.clone() },
        );
        return finish(Kind::GatewayClass, &seen.metadata, true, ops);
    };
    ops.conditions("/status/conditions", None, &status.conditions, &wanted.conditions, OF_CLASS);
    if status.supported_features != wanted.supported_features {
        ops.add("/status/supportedFeatures", &wanted.supported_features);
    }
    finish(Kind::GatewayClass, &seen.metadata, false, ops)
}

/// The change of a Gateway, if it needs one. With `patient`, what is said of an earlier generation to be
/// programmed stays, with that generation's number, while nodes are applying this one.
pub fn gateway(seen: &Gateway, wanted: &GatewayStatus, patient: bool, now: Timestamp) -> Option<Change> {
    let mut ops = Ops::new(now);
    let Some(status) = &seen.status else {
        let mut all = wanted.clone();
        all.conditions = ops.stamp(None, &[], &all.conditions);
        for listener in &mut all.listeners {
            listener.conditions = ops.stamp(Some(&listener.name), &[], &listener.conditions);
        }
        let listeners: Vec<_> = all.listeners.iter().map(entry).collect();
        let mut whole =
            json!({"addresses": all.addresses, "conditions": all.conditions, "listeners": listeners});
        if let (Some(count), Some(fields)) = (all.attached_listener_sets, whole.as_object_mut()) {
            fields.insert("attachedListenerSets".to_owned(), json!(count));
        }
        ops.add("/status", whole);
        return finish(Kind::Gateway, &seen.metadata, true, ops);
    };
    let held = patient && is_waiting(&wanted.conditions);
    let conditions =
        if held { hold(&status.conditions, &wanted.conditions) } else { wanted.conditions.clone() };
    ops.conditions("/status/conditions", None, &status.conditions, &conditions, OF_GATEWAY);
    // Which addresses are served is known once every node has said so: one that is behind, however long,
    // takes away none.
    let known =
        !is_waiting(&wanted.conditions) && !wanted.listeners.iter().any(|one| is_waiting(&one.conditions));
    if status.addresses != wanted.addresses && known {
        ops.add("/status/addresses", &wanted.addresses);
    }
    // Without a field that lets sets in, nothing is counted, and zero is what a count of before becomes.
    let count = wanted.attached_listener_sets.or(status.attached_listener_sets.map(|_| 0));
    if status.attached_listener_sets != count {
        ops.add("/status/attachedListenerSets", count);
    }
    listeners(&mut ops, &status.listeners, &wanted.listeners, held);
    finish(Kind::Gateway, &seen.metadata, false, ops)
}

/// The change of a ListenerSet, if it needs one; `patient` as for a [`gateway`].
pub fn listener_set(
    seen: &ListenerSet,
    wanted: &ListenerSetStatus,
    patient: bool,
    now: Timestamp,
) -> Option<Change> {
    let mut ops = Ops::new(now);
    let Some(status) = &seen.status else {
        let conditions = ops.stamp(None, &[], &wanted.conditions);
        let stamped = wanted.listeners.iter().map(|listener| {
            let conditions = ops.stamp(Some(&listener.name), &[], &listener.conditions);
            entry(&ListenerStatus { conditions, ..listener.clone() })
        });
        let listeners: Vec<_> = stamped.collect();
        ops.add("/status", json!({"conditions": conditions, "listeners": listeners}));
        return finish(Kind::ListenerSet, &seen.metadata, true, ops);
    };
    let held = patient && is_waiting(&wanted.conditions);
    let conditions =
        if held { hold(&status.conditions, &wanted.conditions) } else { wanted.conditions.clone() };
    ops.conditions("/status/conditions", None, &status.conditions, &conditions, OF_SET);
    listeners(&mut ops, &status.listeners, &wanted.listeners, held);
    // A status is there from the start: the definition's default says that nobody has looked at the set.
    let is_first = status.conditions.iter().all(|one| one.reason == "Pending");
    finish(Kind::ListenerSet, &seen.metadata, is_first, ops)
}

/// A route of any kind as it was seen.
#[derive(Clone, Copy, Debug)]
pub struct ObservedRoute<'a> {
    /// The kind.
    pub kind: Kind,
    /// Its metadata.
    pub metadata: &'a ObjectMeta,
    /// Its status.
    pub status: Option<&'a RouteStatus>,
}

impl<'a> ObservedRoute<'a> {
    /// `None` for an object that is no route with a status of ours.
    pub fn of(object: &'a Object) -> Option<Self> {
        let (metadata, status) = match object {
            Object::HttpRoute(route) => (&route.metadata, route.status.as_ref()),
            Object::GrpcRoute(route) => (&route.metadata, route.status.as_ref()),
            Object::TcpRoute(route) => (&route.metadata, route.status.as_ref()),
            Object::TlsRoute(route) => (&route.metadata, route.status.as_ref()),
            Object::UdpRoute(route) => (&route.metadata, route.status.as_ref()),
            _ => return None,
        };
        Some(Self { kind: object.kind(), metadata, status })
    }
}

/// The change of a route, if it needs one: of the entries of this controller alone.
pub fn route(
    seen: ObservedRoute<'_>,
    wanted: &RouteStatus,
    controller: &str,
    now: Timestamp,
) -> Option<Change> {
    let known = seen.status.map(|status| status.parents.as_slice());
    let ops = entries(known, &wanted.parents, controller, now);
    finish(seen.kind, seen.metadata, !has_entry(seen.status, controller), ops)
}

/// The change of a BackendTLSPolicy, if it needs one: of the entries of this controller alone.
pub fn backend_tls_policy(
    seen: &BackendTlsPolicy,
    wanted: &PolicyStatus,
    controller: &str,
    now: Timestamp,
) -> Option<Change> {
    let known = seen.status.as_ref().map(|status| status.ancestors.as_slice());
    let ops = entries(known, &wanted.ancestors, controller, now);
    let has_entry = known.is_some_and(|all| all.iter().any(|one| one.controller_name == controller));
    finish(Kind::BackendTlsPolicy, &seen.metadata, !has_entry, ops)
}

/// True if a route's status has an entry of this controller.
pub fn has_entry(status: Option<&RouteStatus>, controller: &str) -> bool {
    status.is_some_and(|status| status.parents.iter().any(|parent| parent.controller_name == controller))
}

fn listeners(ops: &mut Ops, seen: &[ListenerStatus], wanted: &[ListenerStatus], held: bool) {
    const LIST: &str = "/status/listeners";
    let place = |name: &str| seen.iter().position(|listener| listener.name == name);
    let mut new = Vec::new();
    for listener in wanted {
        let Some((index, old)) = place(&listener.name).and_then(|index| Some((index, seen.get(index)?)))
        else {
            let conditions = ops.stamp(Some(&listener.name), &[], &listener.conditions);
            new.push(entry(&ListenerStatus { conditions, ..listener.clone() }));
            continue;
        };
        let path = format!("{LIST}/{index}");
        if old.supported_kinds != listener.supported_kinds {
            ops.add(format!("{path}/supportedKinds"), &listener.supported_kinds);
        }
        if old.attached_routes != listener.attached_routes {
            ops.add(format!("{path}/attachedRoutes"), listener.attached_routes);
        }
        let held = held && is_waiting(&listener.conditions);
        let conditions =
            if held { hold(&old.conditions, &listener.conditions) } else { listener.conditions.clone() };
        let path = format!("{path}/conditions");
        ops.conditions(&path, Some(&listener.name), &old.conditions, &conditions, OF_LISTENER);
    }
    let gone = seen.iter().enumerate().filter(|(_, old)| !wanted.iter().any(|new| new.name == old.name));
    ops.remove_all(LIST, gone.map(|(index, _)| index).collect());
    if seen.is_empty() && !new.is_empty() {
        ops.add(LIST, new);
    } else {
        new.into_iter().for_each(|listener| ops.add(format!("{LIST}/-"), listener));
    }
}

/// A listener as CRDs before 1.5 want it: with its kinds, even if there are none.
fn entry(listener: &ListenerStatus) -> serde_json::Value {
    let mut value = json(listener);
    if let Some(fields) = value.as_object_mut() {
        fields.entry("supportedKinds").or_insert_with(|| json!([]));
    }
    value
}

/// True if nodes have yet to apply what these conditions are about.
pub(super) fn is_waiting(wanted: &[Condition]) -> bool {
    wanted.iter().any(|one| one.type_ == PROGRAMMED && one.status == ConditionStatus::Unknown)
}

/// The wanted conditions, but `Programmed` as it was seen, if that was true.
fn hold(seen: &[Condition], wanted: &[Condition]) -> Vec<Condition> {
    let before = seen.iter().find(|one| one.type_ == PROGRAMMED && one.status == ConditionStatus::True);
    let kept = |one: &Condition| match before {
        Some(before) if one.type_ == PROGRAMMED => before.clone(),
        _ => one.clone(),
    };
    wanted.iter().map(kept).collect()
}

fn finish(kind: Kind, metadata: &ObjectMeta, is_first: bool, ops: Ops) -> Option<Change> {
    let Ops { ops, transitions, .. } = ops;
    let resource_version = metadata.resource_version.clone().unwrap_or_default();
    let uid = metadata.uid.clone().unwrap_or_default();
    (!ops.is_empty()).then(|| Change {
        kind,
        key: ObjectKey::of(metadata),
        resource_version,
        uid,
        is_first,
        created: metadata.creation_timestamp.as_ref().map(|time| time.0.as_second()),
        ops,
        transitions,
    })
}
