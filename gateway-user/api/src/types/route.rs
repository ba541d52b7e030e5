//! The status that every route kind shares.

use serde::{Deserialize, Serialize};

use super::{Condition, ParentReference};

/// Reported state of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteStatus {
    /// One entry per parent and controller; a controller touches only its own.
    pub parents: Vec<RouteParentStatus>,
}

/// The status of a route at one parent, by one controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteParentStatus {
    /// The parentRef of the spec that this is about.
    pub parent_ref: ParentReference,
    /// The controller that wrote it.
    pub controller_name: String,
    /// `Accepted`, `ResolvedRefs`, `PartiallyInvalid`.
    pub conditions: Vec<Condition>,
}
