//! Conditions that a request must meet. Matching of paths, headers and query parameters is case-sensitive but
//! for the names of headers.

use serde::{Deserialize, Serialize};

closed_enum! {
    /// Comparison of a path.
    PathMatchType {
        /// As a whole, with case.
        Exact = "Exact",
        /// By whole elements between slashes, with case.
        PathPrefix = "PathPrefix",
        /// By a regular expression of the implementation's kind.
        RegularExpression = "RegularExpression",
    }
}

closed_enum! {
    /// Comparison of a header, query parameter or gRPC method.
    MatchType {
        /// As a whole, with case.
        Exact = "Exact",
        /// By a regular expression of the implementation's kind.
        RegularExpression = "RegularExpression",
    }
}

closed_enum! {
    /// A method that a rule can ask for.
    HttpMethod {
        /// RFC 9110 section 9.3.1.
        Get = "GET",
        /// RFC 9110 section 9.3.2.
        Head = "HEAD",
        /// RFC 9110 section 9.3.3.
        Post = "POST",
        /// RFC 9110 section 9.3.4.
        Put = "PUT",
        /// RFC 9110 section 9.3.5.
        Delete = "DELETE",
        /// RFC 9110 section 9.3.6.
        Connect = "CONNECT",
        /// RFC 9110 section 9.3.7.
        Options = "OPTIONS",
        /// RFC 9110 section 9.3.8.
        Trace = "TRACE",
        /// RFC 5789.
        Patch = "PATCH",
    }
}

/// All of these must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteMatch {
    /// The path; every path if absent.
    #[serde(default)]
    pub path: HttpPathMatch,
    /// Headers, each name once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HttpHeaderMatch>,
    /// Query parameters, each name once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query_params: Vec<HttpQueryParamMatch>,
    /// The method; every method if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<HttpMethod>,
}

/// A path to compare with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpPathMatch {
    /// The comparison; `PathPrefix` if absent.
    #[serde(rename = "type", default = "path_prefix")]
    pub type_: PathMatchType,
    /// The path or expression to compare with, at most 1024 characters; `/` if absent.
    #[serde(default = "root_path")]
    pub value: String,
}

/// A header to compare with; names compare without case. Several lines of one name count as their values
/// joined by commas (RFC 9110 section 5.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpHeaderMatch {
    /// The comparison; `Exact` if absent.
    #[serde(rename = "type", default = "exact")]
    pub type_: MatchType,
    /// The field name (RFC 9110 section 5.1).
    pub name: String,
    /// The field value or expression to compare with.
    pub value: String,
}

/// A query parameter to compare with; names compare with case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpQueryParamMatch {
    /// The comparison; `Exact` if absent.
    #[serde(rename = "type", default = "exact")]
    pub type_: MatchType,
    /// The parameter's name.
    pub name: String,
    /// The parameter's value or the expression to compare with.
    pub value: String,
}

impl Default for HttpPathMatch {
    fn default() -> Self {
        Self { type_: path_prefix(), value: root_path() }
    }
}

fn path_prefix() -> PathMatchType {
    PathMatchType::PathPrefix
}

fn root_path() -> String {
    "/".to_owned()
}

pub(crate) fn exact() -> MatchType {
    MatchType::Exact
}
