//! Types that policies share (GEP-713).

use serde::{Deserialize, Serialize};

use super::{Condition, ParentReference};

/// The target of a policy, in the policy's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalPolicyTargetReference {
    /// API group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The object's name.
    pub name: String,
}

/// The target of a policy, maybe only a section of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalPolicyTargetReferenceWithSectionName {
    /// API group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// Listener name (Gateway), rule name (route) or port name (Service); the whole object if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
}

/// Reported state of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// One entry per ancestor and controller, at most 16.
    pub ancestors: Vec<PolicyAncestorStatus>,
}

/// The status of a policy at one ancestor, normally a Gateway, by one controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyAncestorStatus {
    /// The ancestor.
    pub ancestor_ref: ParentReference,
    /// The controller that wrote it.
    pub controller_name: String,
    /// `Accepted`, `ResolvedRefs`.
    pub conditions: Vec<Condition>,
}
