//! The Gateway API's order of precedence between matches, as one comparison.
//!
//! The clauses, in the order of the text (gateway-api v1.7.0, `HTTPRouteSpec.hostnames` and
//! `HTTPRouteRule.matches`):
//!
//! 1. the host that matches: a full name before a wildcard, then more characters;
//! 2. the same of the hostname that the route itself wrote (`GatewayRouteHostnameIntersectionPrecedence`);
//! 3. the path: `Exact`, then `RegularExpression` by length of the expression (the specification leaves its
//!    place to the implementation), then `PathPrefix` by number of characters;
//! 4. a method; 5. the number of headers; 6. the number of query parameters;
//! 7. the oldest route; 8. the first in alphabetical order of `namespace/name`; 9. the first rule, the
//!    first match.
//!
//! Those of `GRPCRouteRule.matches` are the number of characters in the service, then in the method, then the
//! number of headers. They come out of the same comparison: service and method are an `Exact` path, a service
//! alone is a `PathPrefix`, and a method alone is a condition beside the prefix `/`, which goes before
//! headers. Where rules of both kinds are on one host, being a gRPC request counts as a method and a header
//! (decision 257).

use std::cmp::{Ordering, Reverse};

use gateway_grammar::path::normalize_route_prefix;

use crate::{Hostname, PathMatch, Route, RouteId, RouteMatch};

/// Specificity of a host pattern. The lesser one is the more specific.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostRank {
    /// A full name, by its number of characters.
    Exact(Reverse<usize>),
    /// A wildcard, by its number of characters.
    Wildcard(Reverse<usize>),
    /// No hostname at all.
    Any,
}

/// Specificity of a path condition. The lesser one is the more specific.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathRank {
    /// The whole path.
    Exact,
    /// An expression, by its number of characters.
    Regex(Reverse<usize>),
    /// A prefix, by its number of characters but for a trailing `/`, with escapes normalised as those of
    /// requests are.
    Prefix(Reverse<usize>),
}

/// All that decides between one match of a rule and another.
#[derive(Clone, Copy, Debug)]
pub struct Rank<'a> {
    /// The host pattern that requests are matched with.
    pub effective: HostRank,
    /// The host pattern that the route wrote.
    pub original: HostRank,
    /// The path condition.
    pub path: PathRank,
    /// True if there is a method condition.
    pub method: bool,
    /// The number of characters of a gRPC method without a service.
    pub grpc_method: usize,
    /// The number of header conditions; a gRPC content type is one.
    pub headers: usize,
    /// The number of query parameter conditions.
    pub query: usize,
    /// The route's `creationTimestamp` in seconds since 1970; a route without one is younger than all
    /// that have one.
    pub created: Option<i64>,
    /// The route.
    pub route: &'a RouteId,
    /// The rule's position in its route.
    pub rule: usize,
    /// The match's position in its rule.
    pub position: usize,
}

impl HostRank {
    /// The rank of a hostname, `None` being every host.
    pub fn of(hostname: Option<&Hostname>) -> Self {
        match hostname {
            Some(Hostname::Exact(name)) => Self::Exact(Reverse(name.chars().count())),
            Some(Hostname::Wildcard(suffix)) => Self::Wildcard(Reverse(suffix.chars().count())),
            None => Self::Any,
        }
    }
}

impl PathRank {
    /// The rank of a path condition.
    pub fn of(path: &PathMatch) -> Self {
        match path {
            PathMatch::Exact(_) => Self::Exact,
            PathMatch::Regex(text) => Self::Regex(Reverse(text.chars().count())),
            PathMatch::Prefix(text) => Self::Prefix(Reverse(normalize_route_prefix(text).chars().count())),
        }
    }
}

/// Number of `names` that count: of several equal ones only the first does (`HTTPHeaderMatch.name`).
fn distinct<'a>(names: impl Iterator<Item = &'a str> + Clone, same: impl Fn(&str, &str) -> bool) -> usize {
    let earlier = names.clone();
    names.enumerate().filter(|(at, name)| !earlier.clone().take(*at).any(|other| same(other, name))).count()
}

impl<'a> Rank<'a> {
    /// The rank of one match of a route's rule on one host.
    pub fn new(
        effective: Option<&Hostname>,
        original: Option<&Hostname>,
        route: (&'a RouteId, Option<i64>),
        (rule, position): (usize, usize),
        matching: &RouteMatch,
    ) -> Self {
        let (route, created) = route;
        let grpc_method = matching.grpc.as_ref().and_then(|grpc| grpc.method.as_deref());
        Self {
            effective: HostRank::of(effective),
            original: HostRank::of(original),
            path: PathRank::of(&matching.path),
            method: matching.method.is_some() || matching.grpc.is_some(),
            grpc_method: grpc_method.map_or(0, |method| method.chars().count()),
            headers: usize::from(matching.grpc.is_some())
                + distinct(
                    matching.headers.iter().map(|header| header.name.as_str()),
                    str::eq_ignore_ascii_case,
                ),
            query: distinct(matching.query.iter().map(|param| param.name.as_str()), str::eq),
            created,
            route,
            rule,
            position,
        }
    }
}

/// Compares the ages of two routes; [`Ordering::Less`] means that `a` is the older one. Of routes of one age the first in
/// alphabetical order of `namespace/name` counts as older; a route without a time is younger than all that have one.
pub fn by_age(a: &Route, b: &Route) -> Ordering {
    (a.created().is_none(), a.created())
        .cmp(&(b.created().is_none(), b.created()))
        .then_with(|| a.id().object.alphabetical(&b.id().object))
}

/// One clause of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clause {
    /// The host pattern that requests are matched with.
    Host,
    /// The host pattern that the route wrote.
    WrittenHost,
    /// The path condition.
    Path,
    /// A method, before none.
    Method,
    /// A gRPC method without a service, by its number of characters.
    GrpcMethod,
    /// The number of header conditions.
    Headers,
    /// The number of query parameter conditions.
    Query,
    /// The age of the routes.
    Age,
    /// The alphabetical order of the routes' names, then of their kinds.
    Name,
    /// The position of the rules, then of the matches.
    Position,
}

impl Clause {
    /// Every clause, the first to decide first.
    pub const ALL: [Self; 10] = [
        Self::Host,
        Self::WrittenHost,
        Self::Path,
        Self::Method,
        Self::GrpcMethod,
        Self::Headers,
        Self::Query,
        Self::Age,
        Self::Name,
        Self::Position,
    ];

    /// Compares two matches by this clause alone.
    fn compare(self, a: &Rank<'_>, b: &Rank<'_>) -> Ordering {
        match self {
            Self::Host => a.effective.cmp(&b.effective),
            Self::WrittenHost => a.original.cmp(&b.original),
            Self::Path => a.path.cmp(&b.path),
            Self::Method => b.method.cmp(&a.method),
            Self::GrpcMethod => b.grpc_method.cmp(&a.grpc_method),
            Self::Headers => b.headers.cmp(&a.headers),
            Self::Query => b.query.cmp(&a.query),
            Self::Age => (a.created.is_none(), a.created).cmp(&(b.created.is_none(), b.created)),
            Self::Name => {
                a.route.object.alphabetical(&b.route.object).then_with(|| a.route.kind.cmp(&b.route.kind))
            }
            Self::Position => (a.rule, a.position).cmp(&(b.rule, b.position)),
        }
    }
}

/// Compares two matches; [`Ordering::Less`] means that `a` goes before `b`.
pub fn precedence(a: &Rank<'_>, b: &Rank<'_>) -> Ordering {
    Clause::ALL.iter().fold(Ordering::Equal, |order, clause| order.then_with(|| clause.compare(a, b)))
}

/// The clause by which one of two matches goes before the other; `None` for a match and itself.
pub fn deciding(a: &Rank<'_>, b: &Rank<'_>) -> Option<Clause> {
    Clause::ALL.into_iter().find(|clause| clause.compare(a, b).is_ne())
}
