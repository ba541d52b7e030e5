//! Conditions of a rule. Values are kept as written; compile turns them into tables and patterns.

use serde::{Deserialize, Serialize};

/// One `HTTPRouteMatch` or `GRPCRouteMatch`: every part of it must hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RouteMatch {
    /// The path condition; `PathPrefix /` where the route names none.
    pub path: PathMatch,
    /// The method token, case-sensitive (RFC 9110 section 9.1); `None` matches all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Header conditions, one per name: of several with one name only the first counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderMatch>,
    /// Query parameter conditions, one per name: of several with one name only the first counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<QueryMatch>,
    /// Set on matches of a GRPCRoute, which hold for gRPC requests alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcMatch>,
}

/// A condition on the request being one of gRPC: `POST` with a content type of `application/grpc`
/// (gRPC over HTTP/2, "Requests").
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GrpcMatch {
    /// The method, case-sensitive, of whatever service: the second of the path's two elements. Set only where
    /// the match names no service, for otherwise the path condition has both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

impl Default for RouteMatch {
    fn default() -> Self {
        Self {
            path: PathMatch::Prefix("/".into()),
            method: None,
            headers: Vec::new(),
            query: Vec::new(),
            grpc: None,
        }
    }
}

/// A condition on the path, which never includes the query.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PathMatch {
    /// The whole path, case-sensitive.
    Exact(String),
    /// Whole path elements: `/a/b` and `/a/b/` are one prefix, which covers `/a/b`, `/a/b/` and `/a/b/c`, not
    /// `/a/bc`.
    Prefix(String),
    /// A regular expression that must match the whole path.
    Regex(String),
}

/// A condition on a header or parameter value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StringMatch {
    /// The whole value, case-sensitive.
    Exact(String),
    /// A regular expression that must match the whole value.
    Regex(String),
    /// Any value. It stands for an expression that cannot be used, in a rule that responds 500: the requests
    /// that it can have been meant for get that, and no others do.
    Present,
}

/// A condition on one header field; several lines of the field count as one value joined by `,` (RFC 9110
/// section 5.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeaderMatch {
    /// Field name in lower case.
    pub name: String,
    /// The test of its value.
    pub value: StringMatch,
}

/// A condition on one query parameter; of a repeated parameter the first value counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QueryMatch {
    /// Parameter name after percent-decoding, case-sensitive.
    pub name: String,
    /// The test of its value, percent-decoded.
    pub value: StringMatch,
}
