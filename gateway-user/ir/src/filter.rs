//! Filters of a rule.

use serde::{Deserialize, Serialize};

use crate::{ClusterKey, Cors, Mirror};

/// One step of a rule's filter chain, in the order in which they run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Filter {
    /// `RequestHeaderModifier`.
    RequestHeaders(HeaderMod),
    /// `ResponseHeaderModifier`.
    ResponseHeaders(HeaderMod),
    /// `URLRewrite`.
    UrlRewrite {
        /// The new `Host`, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<HostRewrite>,
        /// The new path, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<PathRewrite>,
    },
    /// `CORS`.
    Cors(Cors),
    /// `RequestMirror`.
    Mirror(Mirror),
}

impl Filter {
    /// The cluster that gets copies of requests.
    pub fn copies_to(&self) -> Option<&ClusterKey> {
        match self {
            Self::Mirror(mirror) => Some(&mirror.cluster),
            _ => None,
        }
    }
}

/// Header changes, applied as set, then add, then remove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeaderMod {
    /// Fields that replace every line of their name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<HeaderChange>,
    /// Fields that are appended as a line of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<HeaderChange>,
    /// Field names, in lower case, whose lines go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// One header line.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeaderChange {
    /// Field name as written; it compares without case.
    pub name: String,
    /// Field value as written.
    pub value: String,
}

/// The `Host` that the backend sees instead of the client's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HostRewrite(
    /// A precise hostname, never a wildcard.
    pub String,
);

/// A new path. The query is kept, unless there is a `?` in the replacement: then what follows it is the new
/// query.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PathRewrite {
    /// `ReplaceFullPath`.
    Full(String),
    /// `ReplacePrefixMatch`: the part that the rule's `PathPrefix` matched gives way to this.
    Prefix(String),
}

/// `RequestRedirect`: a local reply. A part that is `None` stays as the request had it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Redirect {
    /// `http` or `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// A precise hostname.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The new path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathRewrite>,
    /// The port in `Location`. With none: the scheme's well-known port if the redirect names a scheme, else
    /// the listener's port (gateway-api `HTTPRequestRedirectFilter.port`); ports 80 for http and 443 for
    /// https are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}
