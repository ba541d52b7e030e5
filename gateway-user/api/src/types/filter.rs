//! Filters that several kinds use: header changes, mirroring (GEP-3171), external authorization (GEP-1494).

use serde::{Deserialize, Serialize};

use super::BackendObjectReference;

closed_enum! {
    /// Protocol towards an authorization service.
    ExternalAuthProtocol {
        /// With an HTTP request.
        Http = "HTTP",
        /// With Envoy's `ext_authz` gRPC service.
        Grpc = "GRPC",
    }
}

/// One header line.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpHeader {
    /// Field name; compares without case.
    pub name: String,
    /// Field value.
    pub value: String,
}

/// Header changes: set, then add, then remove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpHeaderFilter {
    /// Replaces every line of the name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<HttpHeader>,
    /// Adds to the values the name has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<HttpHeader>,
    /// Takes every line of the name away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// A copy of the request to a backend whose response is ignored. At most one of `percent` and `fraction` is
/// present; with neither, every request is copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRequestMirrorFilter {
    /// Backend that gets the copy; its response is ignored.
    pub backend_ref: BackendObjectReference,
    /// Share of the requests in percent, 0 to 100 (GEP-3171).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// Share of the requests (GEP-3171).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<Fraction>,
}

/// `numerator / denominator`, at most 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fraction {
    /// At least 0.
    pub numerator: u32,
    /// At least 1.
    #[serde(default = "one_hundred")]
    pub denominator: u32,
}

/// Asks a service whether a request may pass (GEP-1494).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalAuthFilter {
    /// Protocol of the question.
    pub protocol: ExternalAuthProtocol,
    /// The service to ask.
    pub backend_ref: BackendObjectReference,
    /// For `GRPC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcAuthConfig>,
    /// For `HTTP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpAuthConfig>,
    /// Part of the body that goes along; none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward_body: Option<ForwardBodyConfig>,
}

/// The part of a request that an authorization service over gRPC sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcAuthConfig {
    /// Request headers to send; all if empty.
    #[serde(rename = "allowedHeaders", default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_request_headers: Vec<String>,
}

/// The part of a request that an authorization service over HTTP sees, and the part of its response that is
/// used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpAuthConfig {
    /// Prefix of the path to ask at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Request headers to send beside `Host`, method, path, `Content-Length` and `Authorization`.
    #[serde(rename = "allowedHeaders", default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_request_headers: Vec<String>,
    /// Headers of its response that go to the backend; all but `Authority` and `Host` if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_response_headers: Vec<String>,
}

/// The part of a body that an authorization service sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForwardBodyConfig {
    /// Most bytes to send; a longer body is cut off there. No body is sent if absent or 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u32>,
}

fn one_hundred() -> u32 {
    100
}
