//! ListenerSet: more listeners for a Gateway, owned by somebody else (GEP-1713).

use serde::{Deserialize, Serialize};

use super::{Condition, Listener, ListenerStatus, gateway_group, gateway_kind};

resource! {
    /// Listeners that join a Gateway.
    ListenerSet, "ListenerSet", "listenersets", gateway / "v1", namespaced,
    spec: ListenerSetSpec, status: ListenerSetStatus
}

/// Wanted state of a ListenerSet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerSetSpec {
    /// The Gateway to join; it must allow that (`allowedListeners`).
    pub parent_ref: ParentGatewayReference,
    /// The listeners, at most 64; names are unique within the set.
    pub listeners: Vec<Listener>,
}

/// The Gateway that a ListenerSet joins.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentGatewayReference {
    /// API group.
    #[serde(default = "gateway_group")]
    pub group: String,
    /// `Gateway`.
    #[serde(default = "gateway_kind")]
    pub kind: String,
    /// The Gateway's name.
    pub name: String,
    /// Its namespace; the set's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl ParentGatewayReference {
    /// True if it names a `Gateway` of the Gateway API.
    pub fn is_gateway(&self) -> bool {
        self.group == crate::GATEWAY_GROUP && self.kind == "Gateway"
    }
}

/// Reported state of a ListenerSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerSetStatus {
    /// `Accepted`, `Programmed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Its listeners.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<ListenerStatus>,
}
