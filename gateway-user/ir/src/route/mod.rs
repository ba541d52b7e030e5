//! Routes of every kind, independent of the listeners that they are attached to.

mod http;
mod l4;

use serde::Serialize;

use crate::{ClusterKey, Filter, RouteId};

pub use http::{
    Action, HttpRoute, HttpRule, RuleError, RuleErrorKind, Timeouts, WeightedBackend, WeightedTarget,
};
pub use l4::{L4Backend, L4Route, L4Rule};

/// One route object, by what its rules are for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Route {
    /// Rules for HTTP requests: of an HTTPRoute or GRPCRoute.
    Http(HttpRoute),
    /// A rule for connections or flows: of a TCPRoute, TLSRoute or UDPRoute.
    L4(L4Route),
}

impl Route {
    /// The object it came from.
    pub fn id(&self) -> &RouteId {
        match self {
            Self::Http(route) => &route.id,
            Self::L4(route) => &route.id,
        }
    }

    /// The same, to be changed.
    pub fn id_mut(&mut self) -> &mut RouteId {
        match self {
            Self::Http(route) => &mut route.id,
            Self::L4(route) => &mut route.id,
        }
    }

    /// `metadata.creationTimestamp` in seconds since 1970, as in [`HttpRoute::created`].
    pub fn created(&self) -> Option<i64> {
        match self {
            Self::Http(route) => route.created,
            Self::L4(route) => route.created,
        }
    }

    /// Its rules for HTTP requests; none for a route of another kind.
    pub fn http_rules(&self) -> &[HttpRule] {
        match self {
            Self::Http(route) => &route.rules,
            Self::L4(_) => &[],
        }
    }

    /// The destination of every backendRef, in order, with the indices of rule and backend.
    pub fn targets(&self) -> impl Iterator<Item = (usize, usize, &WeightedTarget)> {
        let http = self.http_rules().iter().enumerate().flat_map(|(rule, one)| {
            let backends = match &one.action {
                Action::Forward(backends) => backends.as_slice(),
                Action::Redirect(_) | Action::Fail(_) => &[],
            };
            backends.iter().enumerate().map(move |(backend, one)| (rule, backend, &one.target))
        });
        let l4 = match self {
            Self::Http(_) => &[],
            Self::L4(route) => route.rule.backends.as_slice(),
        };
        http.chain(l4.iter().enumerate().map(|(backend, one)| (0, backend, &one.target)))
    }

    /// The cluster of every backendRef that has one, in order, then those of mirrors.
    pub fn clusters(&self) -> impl Iterator<Item = &ClusterKey> {
        let mirrors =
            self.http_rules().iter().flat_map(|rule| rule.all_filters()).filter_map(Filter::copies_to);
        self.targets().filter_map(|(.., target)| target.cluster()).chain(mirrors)
    }
}

impl WeightedTarget {
    /// The cluster, if the reference is not broken.
    pub fn cluster(&self) -> Option<&ClusterKey> {
        match self {
            Self::Cluster(key) => Some(key),
            Self::Fail(_) => None,
        }
    }
}

impl From<HttpRoute> for Route {
    fn from(route: HttpRoute) -> Self {
        Self::Http(route)
    }
}

impl From<L4Route> for Route {
    fn from(route: L4Route) -> Self {
        Self::L4(route)
    }
}
