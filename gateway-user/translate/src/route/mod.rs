//! Routes of every kind: one pipeline for all of them.
//!
//! The part that is particular to a kind is its implementation of [`Route`]: `http.rs`, `grpc.rs`, `tcp.rs`, `tls.rs`, `udp.rs`.
//! Attaching, judging, pricing, remembering and telling (`attach.rs`, `state.rs`, `price/`, `memo.rs`, `hosts/`) know no other
//! type.

mod grpc;
mod http;
mod state;
mod tcp;
mod tls;
mod udp;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use gateway_api_types::{
    BackendRef, GatewayDefaultScope, HttpBackendRef, HttpHeaderMatch, HttpQueryParamMatch, HttpRouteFilter,
    HttpRouteRetry, HttpRouteTimeouts, Kind, L4RouteRule, ObjectKey, ParentReference, PathMatchType,
    ResourceSet,
};
use gateway_ir::{GrpcMatch, ObjectName, RouteId, RouteKind};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub(crate) use state::{OwnRoute, RouteState, evaluate};

/// A route object, as far as translation depends on it.
pub(crate) trait Route: fmt::Debug + Send + Sync {
    /// The kind.
    fn kind(&self) -> RouteKind;
    /// `metadata`.
    fn metadata(&self) -> &ObjectMeta;
    /// `spec.parentRefs`.
    fn parent_refs(&self) -> &[ParentReference];
    /// `spec.hostnames`.
    fn hostnames(&self) -> &[String];
    /// `spec.useDefaultGateways`.
    fn default_scope(&self) -> Option<&GatewayDefaultScope>;
    /// `spec.rules`.
    fn rules(&self) -> Rules<'_>;
    /// True if any of its rules has a regular expression.
    fn has_expressions(&self) -> bool;

    /// True if it asks for Gateways that it does not name (GEP-3793).
    fn wants_default_gateways(&self) -> bool {
        self.default_scope() == Some(&GatewayDefaultScope::All)
    }

    /// Kind and name.
    fn id(&self) -> RouteId {
        RouteId { kind: self.kind(), object: crate::view::name_of(self.metadata()) }
    }
}

/// The rules of a route, by what they are for.
#[derive(Debug)]
pub(crate) enum Rules<'a> {
    /// HTTP requests: each has one match at least. No rule at all is one that matches everything and has no backend.
    Http(Vec<RuleSpec<'a>>),
    /// Connections.
    L4(L4RuleSpec<'a>),
}

impl<'a> Rules<'a> {
    /// Those for HTTP requests.
    pub(crate) fn http(&self) -> &[RuleSpec<'a>] {
        match self {
            Self::Http(rules) => rules,
            Self::L4(_) => &[],
        }
    }
}

/// The only rule of a route for connections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct L4RuleSpec<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) backends: &'a [BackendRef],
}

impl<'a> L4RuleSpec<'a> {
    /// The schema takes exactly one.
    fn of(rules: &'a [L4RouteRule]) -> Self {
        rules.first().map_or_else(Self::default, |rule| Self {
            name: rule.name.as_deref(),
            backends: &rule.backend_refs,
        })
    }
}

/// One rule for HTTP requests, whatever the kind of its route.
#[derive(Debug)]
pub(crate) struct RuleSpec<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) matches: Vec<MatchSpec<'a>>,
    pub(crate) filters: Cow<'a, [HttpRouteFilter]>,
    pub(crate) backends: Cow<'a, [HttpBackendRef]>,
    pub(crate) timeouts: Option<&'a HttpRouteTimeouts>,
    pub(crate) retry: Option<&'a HttpRouteRetry>,
    pub(crate) has_session_persistence: bool,
}

/// One match.
#[derive(Debug)]
pub(crate) struct MatchSpec<'a> {
    pub(crate) path_type: PathMatchType,
    pub(crate) path: Cow<'a, str>,
    /// The field that the path comes from, below the match.
    pub(crate) path_field: &'static str,
    pub(crate) method: Option<&'static str>,
    pub(crate) headers: Cow<'a, [HttpHeaderMatch]>,
    pub(crate) query: &'a [HttpQueryParamMatch],
    /// Set on matches of gRPC calls.
    pub(crate) grpc: Option<GrpcMatch>,
}

/// A route in a set of resources.
#[derive(Clone, Copy)]
pub(crate) enum RouteRef<'a> {
    Http(&'a Arc<gateway_api_types::HttpRoute>),
    Grpc(&'a Arc<gateway_api_types::GrpcRoute>),
    Tcp(&'a Arc<gateway_api_types::TcpRoute>),
    Tls(&'a Arc<gateway_api_types::TlsRoute>),
    Udp(&'a Arc<gateway_api_types::UdpRoute>),
}

impl<'a> RouteRef<'a> {
    pub(crate) fn get(self) -> &'a dyn Route {
        match self {
            Self::Http(route) => &**route,
            Self::Grpc(route) => &**route,
            Self::Tcp(route) => &**route,
            Self::Tls(route) => &**route,
            Self::Udp(route) => &**route,
        }
    }

    pub(crate) fn share(self) -> Arc<dyn Route> {
        match self {
            Self::Http(route) => Arc::clone(route) as _,
            Self::Grpc(route) => Arc::clone(route) as _,
            Self::Tcp(route) => Arc::clone(route) as _,
            Self::Tls(route) => Arc::clone(route) as _,
            Self::Udp(route) => Arc::clone(route) as _,
        }
    }
}

/// The route of that kind and name, with its key.
pub(crate) fn entry<'a>(resources: &'a ResourceSet, id: &RouteId) -> Option<(&'a ObjectKey, RouteRef<'a>)> {
    let key = ObjectKey::new(&*id.object.namespace, &*id.object.name);
    Some(match id.kind {
        RouteKind::HTTPRoute => {
            resources.http_routes.get_key_value(&key).map(|(key, route)| (key, RouteRef::Http(route)))?
        }
        RouteKind::GRPCRoute => {
            resources.grpc_routes.get_key_value(&key).map(|(key, route)| (key, RouteRef::Grpc(route)))?
        }
        RouteKind::TCPRoute => {
            resources.tcp_routes.get_key_value(&key).map(|(key, route)| (key, RouteRef::Tcp(route)))?
        }
        RouteKind::TLSRoute => {
            resources.tls_routes.get_key_value(&key).map(|(key, route)| (key, RouteRef::Tls(route)))?
        }
        RouteKind::UDPRoute => {
            resources.udp_routes.get_key_value(&key).map(|(key, route)| (key, RouteRef::Udp(route)))?
        }
    })
}

/// The route of that kind and name.
pub(crate) fn find<'a>(resources: &'a ResourceSet, id: &RouteId) -> Option<&'a dyn Route> {
    let key = ObjectKey::new(&*id.object.namespace, &*id.object.name);
    Some(match id.kind {
        RouteKind::HTTPRoute => &**resources.http_routes.get(&key)?,
        RouteKind::GRPCRoute => &**resources.grpc_routes.get(&key)?,
        RouteKind::TCPRoute => &**resources.tcp_routes.get(&key)?,
        RouteKind::TLSRoute => &**resources.tls_routes.get(&key)?,
        RouteKind::UDPRoute => &**resources.udp_routes.get(&key)?,
    })
}

/// The id of the route of that kind and key.
pub(crate) fn id(kind: RouteKind, key: &ObjectKey) -> RouteId {
    RouteId { kind, object: ObjectName::new(&*key.namespace, &*key.name) }
}

/// The kind of object that a kind of route is.
pub fn object_kind(kind: RouteKind) -> Kind {
    match kind {
        RouteKind::HTTPRoute => Kind::HttpRoute,
        RouteKind::GRPCRoute => Kind::GrpcRoute,
        RouteKind::TCPRoute => Kind::TcpRoute,
        RouteKind::TLSRoute => Kind::TlsRoute,
        RouteKind::UDPRoute => Kind::UdpRoute,
    }
}

/// The response of a rule or backendRef that is invalid: 500 (`HTTPRouteRule.backendRefs`), or a gRPC status
/// (`GRPCRouteRule.backendRefs`). Connections have none.
pub(crate) fn failure(kind: RouteKind) -> &'static str {
    match kind {
        RouteKind::HTTPRoute | RouteKind::TCPRoute | RouteKind::TLSRoute | RouteKind::UDPRoute => "500",
        RouteKind::GRPCRoute => "UNAVAILABLE",
    }
}

/// The fate of requests or connections that such a rule or backendRef takes.
pub(crate) fn fate(kind: RouteKind) -> String {
    match kind {
        RouteKind::HTTPRoute | RouteKind::GRPCRoute => {
            format!("requests are answered with {}", failure(kind))
        }
        // `TCPRouteRule.backendRefs`, `TLSRouteRule.backendRefs`.
        RouteKind::TCPRoute | RouteKind::TLSRoute => "connections are reset".to_owned(),
        // `UDPRouteRule.backendRefs`.
        RouteKind::UDPRoute => "datagrams are dropped".to_owned(),
    }
}
