//! Routes for connections and flows: nothing is looked into, so there is one rule and it has nothing but backends.

use serde::{Deserialize, Serialize};

use crate::{RouteId, WeightedTarget};

/// One TCPRoute, TLSRoute or UDPRoute. The hostnames of a TLSRoute are with the listeners that it is attached to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct L4Route {
    /// The object it came from.
    pub id: RouteId,
    /// `metadata.creationTimestamp` in seconds since 1970, as in [`HttpRoute::created`](crate::HttpRoute::created). Of the
    /// routes of a listener, or of one host of it, only the oldest gets connections, or flows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<i64>,
    /// Its only rule.
    pub rule: L4Rule,
}

/// The rule of such a route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct L4Rule {
    /// `spec.rules[0].name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The destinations of connections or flows, in proportion to their weights. With none, or weights that sum to zero, every
    /// connection is reset and every datagram dropped (gateway-api `TCPRouteRule.backendRefs`, `TLSRouteRule.backendRefs`,
    /// `UDPRouteRule.backendRefs`).
    pub backends: Vec<L4Backend>,
}

/// One `backendRef` and its share of connections or flows. The share of a broken reference is reset, or dropped.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct L4Backend {
    /// Relative share, 0 to 1,000,000.
    pub weight: u32,
    /// The destination of this share.
    pub target: WeightedTarget,
}
