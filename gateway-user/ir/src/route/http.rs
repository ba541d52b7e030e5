//! Routes for HTTP requests: rules of matches, filters and an action.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ClusterKey, Filter, Redirect, Retry, RouteId, RouteMatch};

/// One HTTPRoute or GRPCRoute, as rules for HTTP requests, independent of the listeners it is attached to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HttpRoute {
    /// The object it came from.
    pub id: RouteId,
    /// `metadata.creationTimestamp` in seconds since 1970; the older route wins a tie. Files have none:
    /// `None` counts as younger than every timestamp, so that names decide among files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<i64>,
    /// `spec.rules` in their order.
    pub rules: Vec<HttpRule>,
}

/// One rule of a route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HttpRule {
    /// `spec.rules[].name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Alternatives, any of which selects the rule. Empty only if none of what the rule wrote could be
    /// understood (say, a broken pattern): then nothing selects it, and it is here so that later rules keep
    /// their number.
    pub matches: Vec<RouteMatch>,
    /// Filters of the whole rule, in the order they run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// The action.
    pub action: Action,
    /// Time limits that the route sets.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Further attempts of requests that fail; `None` for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Box<Retry>>,
}

impl HttpRule {
    /// Its filters, then those of its backends.
    pub fn all_filters(&self) -> impl Iterator<Item = &Filter> {
        let backends = match &self.action {
            Action::Forward(backends) => backends.as_slice(),
            Action::Redirect(_) | Action::Fail(_) => &[],
        };
        self.filters.iter().chain(backends.iter().flat_map(|backend| &backend.filters))
    }
}

/// The action of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Send it to one of these, in proportion to their weights. An empty list or weights that sum to zero
    /// respond 500 (gateway-api `HTTPRouteRule.backendRefs`).
    Forward(Vec<WeightedBackend>),
    /// Respond with a redirect.
    Redirect(Redirect),
    /// Respond 500: the rule is broken, and only the rule.
    Fail(RuleError),
}

/// One `backendRef` and its share.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WeightedBackend {
    /// Relative share, 0 to 1,000,000.
    pub weight: u32,
    /// The destination of this share.
    pub target: WeightedTarget,
    /// Filters of this backendRef alone; they run after the rule's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
}

/// The destination of a backendRef's share of requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WeightedTarget {
    /// The endpoints of this cluster; with none of them ready: 503.
    Cluster(ClusterKey),
    /// The reference is broken: this share responds 500.
    Fail(RuleError),
}

/// The reason why a rule or backendRef responds 500; the text reaches the access log, never the client.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RuleError {
    /// The stable kind, for reason codes.
    pub kind: RuleErrorKind,
    /// Object, field and fix, as in the status condition.
    pub message: String,
}

/// The kinds of broken configuration that reach requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RuleErrorKind {
    /// A backendRef crosses namespaces with no ReferenceGrant.
    RefNotPermitted,
    /// A backendRef names an object or port that does not exist.
    BackendNotFound,
    /// The rule has no backendRef, or only such with weight 0.
    NoBackend,
    /// A backendRef names a kind that is not supported.
    InvalidKind,
    /// A backendRef names a Service that must be spoken to in a protocol that is not supported.
    UnsupportedProtocol,
    /// The rule uses a filter or value that is invalid or not supported.
    InvalidRule,
    /// The rule needs what this node's version does not know, and its controller's does.
    UnknownCapability,
}

impl fmt::Display for RuleErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RefNotPermitted => "ref_not_permitted",
            Self::BackendNotFound => "backend_not_found",
            Self::NoBackend => "no_backend",
            Self::InvalidKind => "invalid_kind",
            Self::UnsupportedProtocol => "unsupported_protocol",
            Self::InvalidRule => "invalid_rule",
            Self::UnknownCapability => "unknown_capability",
        })
    }
}

/// `HTTPRouteTimeouts`, in milliseconds; `None` leaves the process's own limit, `Some(0)` turns it off
/// (GEP-1742).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Timeouts {
    /// Milliseconds from the request's head to the end of the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_ms: Option<u64>,
    /// Milliseconds from sending to one backend to the end of its response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_request_ms: Option<u64>,
}
