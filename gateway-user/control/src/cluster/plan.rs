//! From the status that is wanted and what the server was seen to hold to what must be written. Pure.

use std::collections::{BTreeMap, BTreeSet};

use gateway_api_types::{
    Condition, ConditionStatus, GatewayStatus, Kind, Object, ObjectKey, PolicyStatus, RouteStatus,
};
use gateway_ir::{ObjectName, RouteId, RouteKind};
use gateway_translate::condition_type::INFRASTRUCTURE;
use gateway_translate::{NodeReport, StatusSet, object_kind};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::ObservedObjects;
use super::change::{self, Change, ObservedRoute};
use super::infrastructure::{InfrastructureFault, InfrastructureFaults};

/// Inputs of a plan.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The status before any node had a say.
    pub translated: &'a StatusSet,
    /// Reports of the nodes, by name.
    pub reports: &'a BTreeMap<String, NodeReport>,
    /// Controller name of our entries in the status of routes.
    pub controller: &'a str,
    /// Gateways and ListenerSets whose nodes have had time enough to apply them.
    pub overdue: &'a BTreeSet<(Kind, ObjectName)>,
    /// Gateways that have not what their infrastructure asks for.
    pub infrastructure: &'a InfrastructureFaults,
    /// The time for what changes now.
    pub now: Timestamp,
}

/// Changes to write.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Every write that is needed, classes first, then Gateways, ListenerSets, routes, then policies.
    pub changes: Vec<Change>,
    /// Gateways and ListenerSets that not every node that serves them has applied.
    pub waiting: BTreeSet<(Kind, ObjectName)>,
}

/// Plans every write. Nothing is planned for an object that has been edited since: its own translation is on
/// its way.
pub fn plan(inputs: Inputs<'_>, seen: &dyn ObservedObjects) -> Plan {
    let wanted = inputs.translated.with_reports(inputs.reports);
    let mut changes = Vec::new();
    let mut waiting = BTreeSet::new();
    for (name, status) in &wanted.gateway_classes {
        if let Some(Object::GatewayClass(class)) =
            seen.object(Kind::GatewayClass, &ObjectKey::new("", &**name))
            && is_of(&class.metadata, status.conditions.first().and_then(|one| one.observed_generation))
        {
            changes.extend(change::gateway_class(&class, status, inputs.now));
        }
    }
    for (name, status) in &wanted.gateways {
        let faulty = inputs.infrastructure.get(name).map(|fault| with_fault(status, fault));
        let status = faulty.as_ref().unwrap_or(status);
        if change::is_waiting(&status.conditions) {
            waiting.insert((Kind::Gateway, name.clone()));
        }
        if let Some(Object::Gateway(gateway)) = seen.object(Kind::Gateway, &key(name))
            && is_of(&gateway.metadata, status.conditions.first().and_then(|one| one.observed_generation))
        {
            let patient = !inputs.overdue.contains(&(Kind::Gateway, name.clone()));
            changes.extend(change::gateway(&gateway, status, patient, inputs.now));
        }
    }
    for (name, status) in &wanted.listener_sets {
        if change::is_waiting(&status.conditions) {
            waiting.insert((Kind::ListenerSet, name.clone()));
        }
        if let Some(Object::ListenerSet(set)) = seen.object(Kind::ListenerSet, &key(name))
            && is_of(&set.metadata, status.conditions.first().and_then(|one| one.observed_generation))
        {
            let patient = !inputs.overdue.contains(&(Kind::ListenerSet, name.clone()));
            changes.extend(change::listener_set(&set, status, patient, inputs.now));
        }
    }
    changes.extend(routes(inputs, &wanted, seen));
    changes.extend(policies(inputs, &wanted, seen));
    Plan { changes, waiting }
}

/// The status of a Gateway that has not what its infrastructure asks for.
fn with_fault(status: &GatewayStatus, fault: &InfrastructureFault) -> GatewayStatus {
    let mut status = status.clone();
    let observed_generation = status.conditions.first().and_then(|one| one.observed_generation);
    status.conditions.push(Condition {
        type_: INFRASTRUCTURE.to_owned(),
        status: ConditionStatus::False,
        reason: fault.reason.to_owned(),
        message: fault.message.clone(),
        observed_generation,
        last_transition_time: None,
    });
    status
}

fn routes(inputs: Inputs<'_>, wanted: &StatusSet, seen: &dyn ObservedObjects) -> Vec<Change> {
    let nothing = RouteStatus::default();
    let mut changes = Vec::new();
    let keys = |kind| seen.keys(object_kind(kind)).into_iter().map(move |key| (kind, key));
    for (kind, key) in RouteKind::ALL.into_iter().flat_map(keys) {
        let Some(object) = seen.object(object_kind(kind), &key) else { continue };
        let Some(route) = ObservedRoute::of(&object) else { continue };
        let id = RouteId { kind, object: ObjectName::new(&*key.namespace, &*key.name) };
        let status = wanted.routes.get(&id).map(|status| &**status);
        let generation = status.and_then(|status| {
            status.parents.first()?.conditions.first().and_then(|one| one.observed_generation)
        });
        if status.is_none() && !change::has_entry(route.status, inputs.controller)
            || !is_of(route.metadata, generation)
        {
            continue;
        }
        let status = status.unwrap_or(&nothing);
        changes.extend(change::route(route, status, inputs.controller, inputs.now));
    }
    changes
}

fn policies(inputs: Inputs<'_>, wanted: &StatusSet, seen: &dyn ObservedObjects) -> Vec<Change> {
    let nothing = PolicyStatus::default();
    let mut changes = Vec::new();
    for key in seen.keys(Kind::BackendTlsPolicy) {
        let Some(Object::BackendTlsPolicy(policy)) = seen.object(Kind::BackendTlsPolicy, &key) else {
            continue;
        };
        let status = wanted.backend_tls_policies.get(&ObjectName::new(&*key.namespace, &*key.name));
        let generation = status.and_then(|status| {
            status.ancestors.first()?.conditions.first().and_then(|one| one.observed_generation)
        });
        if is_of(&policy.metadata, generation) {
            let status = status.unwrap_or(&nothing);
            changes.extend(change::backend_tls_policy(&policy, status, inputs.controller, inputs.now));
        }
    }
    changes
}

/// True if a status that was decided for this generation is of the object as it was seen.
fn is_of(metadata: &ObjectMeta, decided_for: Option<i64>) -> bool {
    decided_for.is_none() || metadata.generation.is_none() || decided_for == metadata.generation
}

fn key(name: &ObjectName) -> ObjectKey {
    ObjectKey::new(&*name.namespace, &*name.name)
}
