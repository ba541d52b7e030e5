//! Builders of small Irs and requests.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this module")]

pub mod random;
pub mod rival;

use std::net::SocketAddr;
use std::sync::Arc;

use gateway_ir::{
    Action, Bind, BindAddress, ClusterKey, HeaderMatch, Hostname, HttpRoute, HttpRule, Ir, Listener,
    ListenerId, ListenerSettings, MatchHostname, ObjectName, PathMatch, QueryMatch, RouteId, RouteKind,
    RouteMatch, Serve, StringMatch, Timeouts, WeightedBackend, WeightedTarget,
};
use gateway_snapshot::{FieldList, RequestView};

/// A request with everything owned.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    pub host: String,
    pub path: String,
    pub query: Option<String>,
    pub headers: Vec<(String, String)>,
}

impl Request {
    pub fn get(host: &str, path: &str) -> Self {
        Self { method: "GET".into(), host: host.into(), path: path.into(), ..Self::default() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn query(mut self, query: &str) -> Self {
        self.query = Some(query.into());
        self
    }

    /// Hands the borrowed form to `with`.
    pub fn view<T>(&self, with: impl FnOnce(&RequestView<'_>) -> T) -> T {
        let fields = FieldList(&self.headers);
        with(&RequestView {
            method: self.method.as_bytes(),
            host: self.host.as_bytes(),
            path: self.path.as_bytes(),
            query: self.query.as_deref().map(str::as_bytes),
            fields: &fields,
        })
    }
}

pub fn local() -> SocketAddr {
    "127.0.0.1:80".parse().unwrap()
}

pub fn host(text: &str) -> Option<Hostname> {
    (!text.is_empty()).then(|| Hostname::parse(text).unwrap())
}

pub fn route_id(namespace: &str, name: &str) -> RouteId {
    RouteId { kind: RouteKind::HTTPRoute, object: ObjectName::new(namespace, name) }
}

pub fn exact(path: &str) -> RouteMatch {
    RouteMatch { path: PathMatch::Exact(path.into()), ..RouteMatch::default() }
}

pub fn prefix(path: &str) -> RouteMatch {
    RouteMatch { path: PathMatch::Prefix(path.into()), ..RouteMatch::default() }
}

pub fn regex(path: &str) -> RouteMatch {
    RouteMatch { path: PathMatch::Regex(path.into()), ..RouteMatch::default() }
}

/// Further conditions on a match.
pub trait With: Sized {
    fn method(self, method: &str) -> Self;
    fn with_header(self, name: &str, value: &str) -> Self;
    fn with_query(self, name: &str, value: &str) -> Self;
}

impl With for RouteMatch {
    fn method(mut self, method: &str) -> Self {
        self.method = Some(method.into());
        self
    }

    fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push(HeaderMatch { name: name.into(), value: StringMatch::Exact(value.into()) });
        self
    }

    fn with_query(mut self, name: &str, value: &str) -> Self {
        self.query.push(QueryMatch { name: name.into(), value: StringMatch::Exact(value.into()) });
        self
    }
}

/// A rule that forwards to a cluster.
pub fn rule(matches: Vec<RouteMatch>) -> HttpRule {
    let service = ObjectName::new("backends", "echo");
    let backend = WeightedBackend {
        weight: 1,
        target: WeightedTarget::Cluster(ClusterKey::new(service, 8000)),
        filters: Vec::new(),
    };
    HttpRule {
        name: None,
        matches,
        filters: Vec::new(),
        action: Action::Forward(vec![backend]),
        timeouts: Timeouts::default(),
        retry: None,
    }
}

pub fn route(name: &str, created: Option<i64>, rules: Vec<HttpRule>) -> HttpRoute {
    HttpRoute { id: route_id("team1", name), created, rules }
}

/// Port 80 on every address with one listener for `hostname`, and these routes on these hostnames attached to
/// it.
pub fn gateway(hostname: &str, routes: Vec<(&[&str], HttpRoute)>) -> Ir {
    let mut ir = Ir::default();
    let listener = listener("http", hostname, &routes);
    ir.binds.push(bind(BindAddress::Any, 80, vec![listener]));
    for (_, route) in routes {
        ir.routes.insert(route.id.clone(), Arc::new(route.into()));
    }
    ir
}

pub fn bind(address: BindAddress, port: u16, listeners: Vec<Listener>) -> Bind {
    Bind { address, port, listeners }
}

/// A listener with the routes whose hostnames meet its own.
pub fn listener(name: &str, hostname: &str, routes: &[(&[&str], HttpRoute)]) -> Listener {
    let hostname = host(hostname);
    let attached = routes
        .iter()
        .map(|(hosts, route)| {
            let hostnames = hosts.iter().filter_map(|text| attach(hostname.as_ref(), host(text)));
            (route.id.clone(), hostnames.collect::<Arc<[_]>>())
        })
        .filter(|(_, hostnames)| !hostnames.is_empty());
    let routes = attached.collect();
    let id = ListenerId::of_gateway(ObjectName::new("ingress", "shared"), name);
    Listener {
        id,
        hostname,
        serve: Serve::Http,
        tls: None,
        backend_certificate: None,
        settings: ListenerSettings::default(),
        routes,
    }
}

pub fn attach(listener: Option<&Hostname>, original: Option<Hostname>) -> Option<MatchHostname> {
    let effective = match (listener, &original) {
        (Some(listener), Some(original)) => Some(listener.intersect(original)?.clone()),
        (one, other) => one.or(other.as_ref()).cloned(),
    };
    Some(MatchHostname { effective, original })
}
