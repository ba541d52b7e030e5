//! Results of a lookup: the rule that won, or the reason for none.

use std::fmt;
use std::sync::Arc;

use crate::{ListenerInfo, Rule};

/// The rule that won a request.
#[derive(Clone, Copy, Debug)]
pub struct RouteHit<'s> {
    /// The listener that took the request. Clone the `Arc` to keep it longer than the snapshot.
    pub listener: &'s Arc<ListenerInfo>,
    /// The rule. Clone the `Arc` to keep it longer than the snapshot.
    pub rule: &'s Arc<Rule>,
    /// Index of the rule's match that held; see [`Rule::path_pattern`].
    pub match_index: u32,
    /// Number of bytes of the path that a `PathPrefix` matched, its trailing `/` not counted; the whole path
    /// otherwise. Path rewrites need it.
    pub matched_len: usize,
}

impl<'s> RouteHit<'s> {
    /// The path pattern that matched, as the route wrote it: the `http.route` attribute of logs and metrics.
    pub fn path_pattern(&self) -> &'s str {
        self.rule.path_pattern(self.match_index)
    }
}

/// Reasons why no rule took a request; the response is 404 (gateway-api `HTTPRouteRule.matches`). Of several
/// reasons the one that came closest to a match, which is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteMiss {
    /// No listener of this address and port serves the host.
    NoListenerForHost,
    /// The listener has no route for the host.
    NoRouteForHost,
    /// Routes serve the host, but none of their rules the path.
    NoRuleForPath,
    /// Rules match the path, but not the method.
    MethodMismatch,
    /// Rules match path and method, but not the headers.
    HeaderMismatch,
    /// Rules match all but the query parameters.
    QueryMismatch,
}

impl RouteMiss {
    /// Every miss, farthest from a match first.
    pub const ALL: [Self; 6] = [
        Self::NoListenerForHost,
        Self::NoRouteForHost,
        Self::NoRuleForPath,
        Self::MethodMismatch,
        Self::HeaderMismatch,
        Self::QueryMismatch,
    ];

    /// The stable reason code.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoListenerForHost => "no_listener_for_host",
            Self::NoRouteForHost => "no_route_for_host",
            Self::NoRuleForPath => "no_rule_for_path",
            Self::MethodMismatch => "method_mismatch",
            Self::HeaderMismatch => "header_mismatch",
            Self::QueryMismatch => "query_mismatch",
        }
    }
}

impl fmt::Display for RouteMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoListenerForHost => "no listener of this address and port serves the host",
            Self::NoRouteForHost => "no route attached to the listener serves the host",
            Self::NoRuleForPath => "routes serve the host, but none of their rules matches the path",
            Self::MethodMismatch => "rules match the path, but not the method",
            Self::HeaderMismatch => "rules match the path and method, but not the headers",
            Self::QueryMismatch => "rules match the path, method and headers, but not the query parameters",
        })
    }
}
