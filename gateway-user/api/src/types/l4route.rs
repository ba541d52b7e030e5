//! TLSRoute, TCPRoute and UDPRoute: connections (or flows) go to backends by weight.

use serde::{Deserialize, Serialize};

use super::{BackendRef, GatewayDefaultScope, ParentReference, RouteStatus};

resource! {
    /// TLS connections, by server name.
    TlsRoute, "TLSRoute", "tlsroutes", gateway / "v1", namespaced,
    spec: TlsRouteSpec, status: RouteStatus
}

resource! {
    /// TCP connections.
    TcpRoute, "TCPRoute", "tcproutes", gateway / "v1", namespaced,
    spec: L4RouteSpec, status: RouteStatus
}

resource! {
    /// UDP flows.
    UdpRoute, "UDPRoute", "udproutes", gateway / "v1", namespaced,
    spec: L4RouteSpec, status: RouteStatus
}

/// Wanted state of a TLSRoute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsRouteSpec {
    /// The parents to attach to, at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentReference>,
    /// Server names (RFC 6066 section 3), maybe with `*.` in front. v1 requires one; v1alpha2 does not.
    #[serde(default)]
    pub hostnames: Vec<String>,
    /// Exactly one rule.
    pub rules: Vec<L4RouteRule>,
    /// True if to attach to default Gateways as well (GEP-3793).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_default_gateways: Option<GatewayDefaultScope>,
}

/// Wanted state of a TCPRoute or UDPRoute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L4RouteSpec {
    /// The parents to attach to, at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentReference>,
    /// Exactly one rule.
    pub rules: Vec<L4RouteRule>,
    /// True if to attach to default Gateways as well (GEP-3793).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_default_gateways: Option<GatewayDefaultScope>,
}

/// The destinations of connections or flows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L4RouteRule {
    /// Unique within the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Backends, by weight, 1 to 16.
    pub backend_refs: Vec<BackendRef>,
}
