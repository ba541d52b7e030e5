//! HTTPRoute: rules for HTTP requests, with the changes on their way.

mod filters;
mod matches;

pub use filters::*;
pub use matches::*;

use serde::{Deserialize, Serialize};

use super::{FilteredBackendRef, GatewayDefaultScope, ParentReference, RouteStatus, SessionPersistence};

resource! {
    /// Rules for HTTP requests.
    HttpRoute, "HTTPRoute", "httproutes", gateway / "v1", namespaced,
    spec: HttpRouteSpec, status: RouteStatus
}

/// A backend of an HTTP route.
pub type HttpBackendRef = FilteredBackendRef<HttpRouteFilter>;

/// Wanted state of an HTTPRoute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteSpec {
    /// The parents to attach to, at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentReference>,
    /// Hosts that the rules are for, each maybe with `*.` in front; every host of the listener if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// The rules, at most 16; one that matches every path if absent.
    #[serde(default = "any_path_rule")]
    pub rules: Vec<HttpRouteRule>,
    /// True if to attach to default Gateways as well (GEP-3793).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_default_gateways: Option<GatewayDefaultScope>,
}

/// Requests that match go through the filters to one of the backends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteRule {
    /// Name of the rule, unique within the route (GEP-995).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Any of these must match; every path if absent.
    #[serde(default = "any_path_matches")]
    pub matches: Vec<HttpRouteMatch>,
    /// The changes, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<HttpRouteFilter>,
    /// Destinations, by weight; with none and no filter that responds, the response is 500.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backend_refs: Vec<HttpBackendRef>,
    /// Limits on the time of a request (GEP-1742).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<HttpRouteTimeouts>,
    /// Conditions for another try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<HttpRouteRetry>,
    /// Keeps sessions on one endpoint; deprecated for the one of XBackend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<SessionPersistence>,
}

/// Limits on the time of a request (GEP-1742), as GEP-2257 durations; `0s` is without limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteTimeouts {
    /// From the request's first byte to the response's last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// One try at one backend; at most `request`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_request: Option<String>,
}

/// Conditions for another try at a backend (GEP-1731).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteRetry {
    /// Status codes that are worth another try, 400 to 599.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<u16>,
    /// Number of further tries; 0 turns retries off.
    #[serde(default = "one_attempt")]
    pub attempts: u32,
    /// Least time between two tries (GEP-2257 duration).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<String>,
}

impl Default for HttpRouteRule {
    fn default() -> Self {
        Self {
            name: None,
            matches: any_path_matches(),
            filters: Vec::new(),
            backend_refs: Vec::new(),
            timeouts: None,
            retry: None,
            session_persistence: None,
        }
    }
}

fn any_path_rule() -> Vec<HttpRouteRule> {
    vec![HttpRouteRule::default()]
}

fn any_path_matches() -> Vec<HttpRouteMatch> {
    vec![HttpRouteMatch::default()]
}

fn one_attempt() -> u32 {
    1
}
