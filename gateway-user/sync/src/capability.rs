//! Capabilities: what a data plane must know to serve an item as it is meant.
//!
//! An item that needs what a node does not know must not be served without it: a node that skips a filter that checks
//! logins has opened a route. So items name their needs, and nodes say 500 or refuse (see [`crate::replica`]).

use gateway_ir::{
    Action, BackendProtocol, ClusterKey, Filter, HttpRule, Listener, PathMatch, Route, RouteKind, RouteMatch,
    Serve, StringMatch, TlsVersion, WeightedTarget,
};

/// Filters of header fields.
pub const HEADER_FILTERS: &str = "header-filters";
/// Filters that rewrite host and path.
pub const URL_REWRITE: &str = "url-rewrite";
/// Filters that share responses with pages of other origins.
pub const CORS: &str = "cors";
/// Filters that copy requests.
pub const MIRRORS: &str = "mirrors";
/// Redirects.
pub const REDIRECT: &str = "redirect";
/// Filters of one backendRef.
pub const BACKEND_FILTERS: &str = "backend-filters";
/// Regular expressions.
pub const REGULAR_EXPRESSIONS: &str = "regular-expressions";
/// Matches of gRPC services and methods.
pub const GRPC_MATCHES: &str = "grpc-matches";
/// Time limits of rules.
pub const TIMEOUTS: &str = "timeouts";
/// Further attempts of requests that fail.
pub const RETRIES: &str = "retries";
/// HTTP/2 to backends.
pub const HTTP2_BACKENDS: &str = "http2-backends";
/// TLS to backends.
pub const BACKEND_TLS: &str = "backend-tls";
/// TLS that ends at the listener.
pub const TLS_TERMINATE: &str = "tls-terminate";
/// Checks of clients' certificates at a listener.
pub const CLIENT_CERTIFICATES: &str = "client-certificates";
/// A choice of cipher suites.
pub const CIPHER_SUITES: &str = "cipher-suites";
/// A lowest version of TLS.
pub const TLS_MIN_VERSION: &str = "tls-min-version";

/// Routes and listeners for whole TCP connections.
pub const TCP: &str = "tcp";
/// Routes and listeners for whole connections over TLS, by server name.
pub const TLS_ROUTES: &str = "tls-routes";
/// Routes and listeners for flows of UDP datagrams.
pub const UDP: &str = "udp";
/// Headers of the PROXY protocol to backends of connections.
pub const PROXY_HEADERS: &str = "proxy-headers";

/// Every capability of this version.
pub const KNOWN: &[&str] = &[
    HEADER_FILTERS,
    URL_REWRITE,
    CORS,
    MIRRORS,
    REDIRECT,
    BACKEND_FILTERS,
    REGULAR_EXPRESSIONS,
    GRPC_MATCHES,
    TIMEOUTS,
    RETRIES,
    HTTP2_BACKENDS,
    BACKEND_TLS,
    TLS_TERMINATE,
    TLS_MIN_VERSION,
    CLIENT_CERTIFICATES,
    CIPHER_SUITES,
    TCP,
    TLS_ROUTES,
    UDP,
    PROXY_HEADERS,
];

/// Names of capabilities, each once, in order.
pub type Needs = Vec<&'static str>;

/// The needs of a rule's matches: without them nobody can tell which requests the rule is for.
pub fn of_matches(rule: &HttpRule) -> Needs {
    let is_regex = |value: &StringMatch| matches!(value, StringMatch::Regex(_));
    let any = |test: &dyn Fn(&RouteMatch) -> bool| rule.matches.iter().any(test);
    let expressions = any(&|one| {
        matches!(one.path, PathMatch::Regex(_))
            || one.headers.iter().any(|header| is_regex(&header.value))
            || one.query.iter().any(|parameter| is_regex(&parameter.value))
    });
    let grpc = any(&|one| one.grpc.is_some());
    sorted([(expressions, REGULAR_EXPRESSIONS), (grpc, GRPC_MATCHES)])
}

/// The needs of everything else in a rule.
pub fn of_action(rule: &HttpRule) -> Needs {
    let backends = match &rule.action {
        Action::Forward(backends) => &backends[..],
        Action::Redirect(_) | Action::Fail(_) => &[],
    };
    let of_backends = || backends.iter().flat_map(|backend| &backend.filters);
    let filters = || rule.filters.iter().chain(of_backends());
    let has = |test: fn(&Filter) -> bool| filters().any(test);
    let any_cluster = |test: fn(&ClusterKey) -> bool| {
        backends.iter().any(|backend| match &backend.target {
            WeightedTarget::Cluster(cluster) => test(cluster),
            WeightedTarget::Fail(_) => false,
        })
    };
    sorted([
        (has(|one| matches!(one, Filter::RequestHeaders(_) | Filter::ResponseHeaders(_))), HEADER_FILTERS),
        (has(|one| matches!(one, Filter::UrlRewrite { .. })), URL_REWRITE),
        (has(|one| matches!(one, Filter::Cors(_))), CORS),
        (has(|one| matches!(one, Filter::Mirror(_))), MIRRORS),
        (matches!(rule.action, Action::Redirect(_)), REDIRECT),
        (of_backends().next().is_some(), BACKEND_FILTERS),
        (any_cluster(|key| key.protocol == BackendProtocol::Http2), HTTP2_BACKENDS),
        (any_cluster(|key| key.tls), BACKEND_TLS),
        (rule.timeouts != gateway_ir::Timeouts::default(), TIMEOUTS),
        (rule.retry.is_some(), RETRIES),
    ])
}

/// The needs of a listener.
pub fn of_listener(listener: &Listener) -> Needs {
    let min = listener.tls.as_ref().is_some_and(|tls| tls.min_version != TlsVersion::default());
    let checks = listener.tls.as_ref().is_some_and(|tls| tls.clients.is_some());
    let suites = listener.tls.as_ref().is_some_and(|tls| !tls.cipher_suites.is_empty());
    let serve = listener.serve;
    sorted([
        (checks, CLIENT_CERTIFICATES),
        (suites, CIPHER_SUITES),
        (serve.terminates_tls(), TLS_TERMINATE),
        (min, TLS_MIN_VERSION),
        (serve == Serve::Tcp, TCP),
        (matches!(serve, Serve::TlsTerminate | Serve::TlsPassthrough), TLS_ROUTES),
        (serve == Serve::Udp, UDP),
    ])
}

/// The needs of a route as a whole. Of a route for HTTP requests each rule has its own.
pub fn of_route(route: &Route) -> Needs {
    match route {
        Route::Http(_) => Needs::new(),
        Route::L4(own) => {
            let kind = match own.id.kind {
                RouteKind::TLSRoute => TLS_ROUTES,
                RouteKind::UDPRoute => UDP,
                RouteKind::HTTPRoute | RouteKind::GRPCRoute | RouteKind::TCPRoute => TCP,
            };
            let mut needs: Needs = route.clusters().flat_map(of_cluster).chain([kind]).collect();
            needs.sort_unstable();
            needs.dedup();
            needs
        }
    }
}

/// The needs of a cluster.
pub fn of_cluster(key: &ClusterKey) -> Needs {
    let names_client = matches!(key.protocol, BackendProtocol::TcpProxyV1 | BackendProtocol::TcpProxyV2);
    sorted([
        (key.protocol == BackendProtocol::Http2, HTTP2_BACKENDS),
        (key.protocol.is_tcp(), TCP),
        (key.protocol == BackendProtocol::Udp, UDP),
        (names_client, PROXY_HEADERS),
        (key.tls, BACKEND_TLS),
    ])
}

fn sorted<const N: usize>(needs: [(bool, &'static str); N]) -> Needs {
    let mut needs: Needs =
        needs.into_iter().filter_map(|(is_needed, name)| is_needed.then_some(name)).collect();
    needs.sort_unstable();
    needs
}

/// The capabilities that a data plane has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities(Vec<String>);

impl Default for Capabilities {
    fn default() -> Self {
        Self(KNOWN.iter().map(|name| (*name).to_owned()).collect())
    }
}

impl Capabilities {
    /// All of this version but these.
    pub fn without(names: &[String]) -> Self {
        let rest = KNOWN.iter().filter(|name| !names.iter().any(|out| out == *name));
        Self(rest.map(|name| (*name).to_owned()).collect())
    }

    /// Their names.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// The first of `needs` that is not among them.
    pub fn missing<'a>(&self, needs: &'a [String]) -> Option<&'a str> {
        needs.iter().find(|need| !self.0.contains(need)).map(String::as_str)
    }
}
