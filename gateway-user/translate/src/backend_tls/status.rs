//! Conditions of BackendTLSPolicies.

use std::collections::BTreeSet;

use gateway_api_types::{
    Condition, ConditionStatus, GATEWAY_GROUP, LocalPolicyTargetReferenceWithSectionName, ObjectKey,
    ParentReference, PolicyAncestorStatus, PolicyStatus,
};
use gateway_ir::ObjectName;

use super::policy::PolicyState;
use super::targets::Target;
use crate::reason::{self, condition, kind};
use crate::suggest::{self, SearchBudget};
use crate::view::View;

/// Targets of a policy as the routes of one Gateway meet them.
#[derive(Clone, Debug, Default)]
pub(super) struct Reached {
    /// Those that older policies have, in words.
    pub(super) conflicts: BTreeSet<String>,
    /// Those that do not exist.
    pub(super) missing: BTreeSet<String>,
}

/// The entries of a policy, one for each Gateway.
pub(super) fn of(
    state: &PolicyState<'_>,
    ancestors: &[(ObjectName, Reached)],
    controller: &str,
) -> PolicyStatus {
    let entry = |(gateway, reached): &(ObjectName, Reached)| PolicyAncestorStatus {
        ancestor_ref: ParentReference {
            group: GATEWAY_GROUP.to_owned(),
            kind: "Gateway".to_owned(),
            namespace: Some(gateway.namespace.to_string()),
            name: gateway.name.to_string(),
            section_name: None,
            port: None,
        },
        controller_name: controller.to_owned(),
        conditions: vec![accepted(state, reached), resolved_refs(state)],
    };
    PolicyStatus { ancestors: ancestors.iter().map(entry).collect() }
}

fn accepted(state: &PolicyState<'_>, reached: &Reached) -> Condition {
    let (status, reason, message) = match (&state.refused, reached) {
        (_, Reached { conflicts, .. }) if !conflicts.is_empty() => {
            (ConditionStatus::False, reason::CONFLICTED, reason::list(conflicts))
        }
        (Some(error), _) => (ConditionStatus::False, error.reason, error.to_string()),
        (None, Reached { missing, .. }) if !missing.is_empty() => {
            (ConditionStatus::False, reason::TARGET_NOT_FOUND, reason::list(missing))
        }
        (None, _) => (ConditionStatus::True, reason::ACCEPTED, "backends are spoken to over TLS".to_owned()),
    };
    condition(kind::ACCEPTED, status, reason, message, state.object.metadata.generation)
}

fn resolved_refs(state: &PolicyState<'_>) -> Condition {
    let (status, reason, message) = match state.unresolved.first() {
        Some(error) => (ConditionStatus::False, error.reason, reason::join_errors(&state.unresolved)),
        None => (ConditionStatus::True, reason::RESOLVED_REFS, "every reference was found".to_owned()),
    };
    condition(kind::RESOLVED_REFS, status, reason, message, state.object.metadata.generation)
}

/// Says that another policy has this target.
pub(super) fn gives_way(first: &Target<'_>, target: &LocalPolicyTargetReferenceWithSectionName) -> String {
    let section = target.section_name.as_deref().map(|name| format!(", port {name:?}")).unwrap_or_default();
    format!(
        "Service {:?}{section} has BackendTLSPolicy \"{}\" already, which comes first (the older one, of one age by \
         name); this one has no effect there; edit that one, or delete one of them",
        target.name, first.policy
    )
}

/// The part of a target that does not exist, if so.
pub(super) fn missing(view: &View<'_>, service: &ObjectKey, target: &Target<'_>) -> Option<String> {
    let Some(found) = view.service(&service.namespace, &service.name) else {
        return Some(format!("no Service \"{service}\"; the policy has no effect there"));
    };
    let section = target.section?;
    let ports = found.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let names = || ports.iter().filter_map(|port| port.name.as_deref());
    if names().any(|name| name == section) {
        return None;
    }
    let hint = suggest::did_you_mean(section, names(), &SearchBudget::default());
    let known: Vec<_> = names().collect();
    let known = if known.is_empty() {
        "its port has no name".to_owned()
    } else {
        format!("it has {}", known.join(", "))
    };
    Some(format!(
        "Service \"{service}\" has no port named {section:?}, {known}; the policy has no effect there{hint}"
    ))
}
