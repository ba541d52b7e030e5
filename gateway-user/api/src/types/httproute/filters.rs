//! Filters of requests and responses.

use serde::{Deserialize, Serialize};

use crate::types::{ExternalAuthFilter, HttpHeaderFilter, HttpRequestMirrorFilter, LocalObjectReference};

closed_enum! {
    /// The kind of a filter.
    HttpRouteFilterType {
        /// Changes request headers.
        RequestHeaderModifier = "RequestHeaderModifier",
        /// Changes response headers.
        ResponseHeaderModifier = "ResponseHeaderModifier",
        /// Copies requests.
        RequestMirror = "RequestMirror",
        /// Responds with a redirect.
        RequestRedirect = "RequestRedirect",
        /// Changes path or host.
        UrlRewrite = "URLRewrite",
        /// The definition in the named object.
        ExtensionRef = "ExtensionRef",
        /// Cross-origin resource sharing.
        Cors = "CORS",
        /// Asks an authorization service.
        ExternalAuth = "ExternalAuth",
    }
}

closed_enum! {
    /// The way in which a path changes.
    HttpPathModifierType {
        /// Into another one.
        ReplaceFullPath = "ReplaceFullPath",
        /// The part that a `PathPrefix` matched, into another one.
        ReplacePrefixMatch = "ReplacePrefixMatch",
    }
}

closed_enum! {
    /// A scheme to redirect to.
    HttpScheme {
        /// `http`.
        Http = "http",
        /// `https`.
        Https = "https",
    }
}

/// One filter; the field that `type` names is present, the others are not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteFilter {
    /// The kind of filter.
    #[serde(rename = "type")]
    pub type_: HttpRouteFilterType,
    /// For `RequestHeaderModifier`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_header_modifier: Option<HttpHeaderFilter>,
    /// For `ResponseHeaderModifier`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_header_modifier: Option<HttpHeaderFilter>,
    /// For `RequestMirror`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_mirror: Option<HttpRequestMirrorFilter>,
    /// For `RequestRedirect`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_redirect: Option<HttpRequestRedirectFilter>,
    /// For `URLRewrite`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_rewrite: Option<HttpUrlRewriteFilter>,
    /// For `CORS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<HttpCorsFilter>,
    /// For `ExternalAuth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_auth: Option<ExternalAuthFilter>,
    /// For `ExtensionRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension_ref: Option<LocalObjectReference>,
}

/// A change of a path; the field that `type` names is present.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpPathModifier {
    /// The way in which the path changes.
    #[serde(rename = "type")]
    pub type_: HttpPathModifierType,
    /// The new path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace_full_path: Option<String>,
    /// The replacement of the matched prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace_prefix_match: Option<String>,
}

/// A response that sends the client elsewhere. Absent parts stay as the request had them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRequestRedirectFilter {
    /// The new scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<HttpScheme>,
    /// The new host, never a wildcard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The new path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<HttpPathModifier>,
    /// The new port; if absent, the well-known port of `scheme`, or the listener's without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Status of the response: 301, 302, 303, 307 or 308 (RFC 9110 section 15.4); 302 if absent.
    #[serde(default = "found")]
    pub status_code: u16,
}

/// Changes what the backend is asked for; the query stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpUrlRewriteFilter {
    /// The new `Host`, never a wildcard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The new path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<HttpPathModifier>,
}

/// Web pages of other origins that may use the response (Fetch standard, CORS protocol; GEP-1767).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpCorsFilter {
    /// `scheme://host[:port]` with `*` allowed in the host, or `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_origins: Vec<String>,
    /// True if credentials may be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_credentials: Option<bool>,
    /// Methods, or `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_methods: Vec<String>,
    /// Request headers, or `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_headers: Vec<String>,
    /// Response headers that the page may see, or `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose_headers: Vec<String>,
    /// Seconds for which a preflight's response may be kept, at least 1.
    #[serde(default = "five")]
    pub max_age: u32,
}

fn found() -> u16 {
    302
}

fn five() -> u32 {
    5
}
