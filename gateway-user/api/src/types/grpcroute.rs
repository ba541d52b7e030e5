//! GRPCRoute: rules for gRPC calls (GEP-1016).

use serde::{Deserialize, Serialize};

use super::{
    FilteredBackendRef, GatewayDefaultScope, HttpHeaderFilter, HttpRequestMirrorFilter, LocalObjectReference,
    MatchType, ParentReference, RouteStatus, SessionPersistence, exact,
};

resource! {
    /// Rules for gRPC calls.
    GrpcRoute, "GRPCRoute", "grpcroutes", gateway / "v1", namespaced,
    spec: GrpcRouteSpec, status: RouteStatus
}

/// A backend of a gRPC route.
pub type GrpcBackendRef = FilteredBackendRef<GrpcRouteFilter>;

closed_enum! {
    /// The kind of a filter.
    GrpcRouteFilterType {
        /// Changes request headers.
        RequestHeaderModifier = "RequestHeaderModifier",
        /// Changes response headers.
        ResponseHeaderModifier = "ResponseHeaderModifier",
        /// Copies calls.
        RequestMirror = "RequestMirror",
        /// The definition in the named object.
        ExtensionRef = "ExtensionRef",
    }
}

/// Wanted state of a GRPCRoute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRouteSpec {
    /// The parents to attach to, at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentReference>,
    /// Hosts that the rules are for, each maybe with `*.` in front; every host of the listener if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// The rules, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<GrpcRouteRule>,
    /// True if to attach to default Gateways as well (GEP-3793).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_default_gateways: Option<GatewayDefaultScope>,
}

/// Calls that match go through the filters to one of the backends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRouteRule {
    /// Unique within the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Any of these must match; every call if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<GrpcRouteMatch>,
    /// The changes, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<GrpcRouteFilter>,
    /// Destinations, by weight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backend_refs: Vec<GrpcBackendRef>,
    /// Keeps sessions on one endpoint; deprecated for the one of XBackend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<SessionPersistence>,
}

/// All of these must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRouteMatch {
    /// Service and method; every one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<GrpcMethodMatch>,
    /// Headers, each name once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<GrpcHeaderMatch>,
}

/// A service, a method, or both.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcMethodMatch {
    /// The comparison; `Exact` if absent.
    #[serde(rename = "type", default = "exact")]
    pub type_: MatchType,
    /// The service with its package, such as `foo.bar.Baz`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

/// A header to compare with; names compare without case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcHeaderMatch {
    /// The comparison; `Exact` if absent.
    #[serde(rename = "type", default = "exact")]
    pub type_: MatchType,
    /// The metadata key, which is a field name.
    pub name: String,
    /// The value or expression to compare with.
    pub value: String,
}

/// One filter; the field that `type` names is present, the others are not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRouteFilter {
    /// The kind of filter.
    #[serde(rename = "type")]
    pub type_: GrpcRouteFilterType,
    /// For `RequestHeaderModifier`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_header_modifier: Option<HttpHeaderFilter>,
    /// For `ResponseHeaderModifier`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_header_modifier: Option<HttpHeaderFilter>,
    /// For `RequestMirror`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_mirror: Option<HttpRequestMirrorFilter>,
    /// For `ExtensionRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension_ref: Option<LocalObjectReference>,
}
