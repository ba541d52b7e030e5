//! What a rule asks of a request. Values are kept as written; compile turns them into tables and patterns.

use serde::{Deserialize, Serialize};

/// One `HTTPRouteMatch`: every part of it must hold.
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
}

impl Default for RouteMatch {
    fn default() -> Self {
        Self { path: PathMatch::Prefix("/".into()), method: None, headers: Vec::new(), query: Vec::new() }
    }
}

/// A condition on the path, which never includes the query.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PathMatch {
    /// The whole path, case-sensitive.
    Exact(String),
    /// Whole path elements: `/a/b` and `/a/b/` are one prefix, which covers `/a/b`, `/a/b/` and `/a/b/c`, not `/a/bc`.
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
}

/// A condition on one header field; several lines of the field count as one value joined by `,` (RFC 9110 section 5.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeaderMatch {
    /// Field name in lower case.
    pub name: String,
    /// What its value must be.
    pub value: StringMatch,
}

/// A condition on one query parameter; of a repeated parameter the first value counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QueryMatch {
    /// Parameter name after percent-decoding, case-sensitive.
    pub name: String,
    /// What its value, percent-decoded, must be.
    pub value: StringMatch,
}

/// The most memory, in bytes, that one compiled expression may take; a larger one makes its rule invalid.
pub const REGEX_SIZE_LIMIT: usize = 1 << 20;

/// The two texts that must both compile, with the crate `regex`, its `bytes` module and [`REGEX_SIZE_LIMIT`], for a
/// user's expression to be valid: the first is the expression by itself, the second is what values are matched with.
///
/// The second must match the whole value, which is why it is anchored. The first is needed because `a)|(b` breaks
/// out of the anchored group and would match any part of a value. Both leave Unicode classes off: `\d`, `\w` and `.`
/// mean ASCII and single bytes, as in the RE2 and PCRE expressions that users bring along, and paths and field
/// values are bytes.
pub fn regex_texts(expression: &str) -> (String, String) {
    (format!("(?-u){expression}"), format!("^(?-u:{expression})$"))
}
