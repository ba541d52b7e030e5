//! Configuration by hand: one bind, one listener, routes of one namespace.

use std::net::SocketAddr;
use std::sync::Arc;

use gateway_ir::{
    Action, AttachedRoutes, BackendProtocol, Bind, BindAddress, Certificate, ClusterKey, Endpoints, Filter,
    HeaderChange, HeaderMod, HttpRoute, HttpRule, Ir, L4Backend, L4Route, L4Rule, Listener, ListenerId,
    ListenerSettings, ListenerTls, MatchHostname, ObjectName, PathMatch, PrivateKey, Retry, Route, RouteId,
    RouteKind, RouteMatch, RuleError, RuleErrorKind, Serve, SharedMap, Timeouts, WeightedBackend,
    WeightedTarget,
};
use gateway_testkit::tls::SelfSigned;
use gateway_tls::Identity;

/// Rules and the addresses behind them, on their way to an [`Ir`].
#[derive(Clone, Default)]
pub struct Config {
    /// Rules of the only route.
    pub rules: Vec<HttpRule>,
    /// Addresses by cluster.
    pub endpoints: Endpoints,
    /// The route's hostname.
    pub hostname: Option<&'static str>,
    /// TLS settings of its listener.
    pub tls: Option<ListenerTls>,
    /// Backends of a route for whole connections, on a TCP listener, instead of the rules.
    pub tcp: Option<Vec<L4Backend>>,
    /// Backends of a route for flows, on a UDP listener, instead of the rules.
    pub udp: Option<Vec<L4Backend>>,
    /// Listeners by hostname instead of the one.
    pub hosts: Vec<(&'static str, ListenerTls)>,
    /// Listeners of protocol TLS beside those.
    pub tls_listeners: Vec<TlsListener>,
    /// The settings of its listeners.
    pub settings: ListenerSettings,
    /// The certificate that backends are shown.
    pub backend_certificate: Option<Arc<Certificate>>,
}

/// A listener of protocol TLS, with a route for every host of it.
#[derive(Clone)]
pub struct TlsListener {
    /// Its hostname, which is its name too, and its route's.
    pub hostname: Option<&'static str>,
    /// One of the two uses of TLS.
    pub serve: Serve,
    /// Its settings.
    pub tls: ListenerTls,
    /// The backends of its route; without any there is no route.
    pub backends: Vec<L4Backend>,
}

/// The cluster `apps/<name>:80`.
pub fn cluster(name: &str) -> ClusterKey {
    ClusterKey::new(ObjectName::new("apps", name), 80)
}

/// A rule that forwards everything below `prefix` to one cluster.
pub fn forward(prefix: &str, to: &str) -> HttpRule {
    rule(prefix, Action::Forward(vec![share(1, to)]))
}

/// A rule for everything below `prefix`.
pub fn rule(prefix: &str, action: Action) -> HttpRule {
    HttpRule {
        name: None,
        matches: vec![RouteMatch { path: PathMatch::Prefix(prefix.into()), ..RouteMatch::default() }],
        filters: Vec::new(),
        action,
        timeouts: Timeouts::default(),
        retry: None,
    }
}

/// One weighted backendRef.
pub fn share(weight: u32, to: &str) -> WeightedBackend {
    WeightedBackend { weight, target: WeightedTarget::Cluster(cluster(to)), filters: Vec::new() }
}

/// A header filter's changes.
pub fn headers(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> HeaderMod {
    let change = |(name, value): &(&str, &str)| HeaderChange { name: (*name).into(), value: (*value).into() };
    HeaderMod {
        set: set.iter().map(change).collect(),
        add: add.iter().map(change).collect(),
        remove: remove.iter().map(|name| (*name).into()).collect(),
    }
}

/// A listener's settings with this certificate.
pub fn tls(identity: &SelfSigned) -> ListenerTls {
    let read = Identity::read(identity.certificate.as_bytes(), identity.key.as_bytes()).unwrap().identity;
    let certificate = Certificate {
        secret: ObjectName::new("ingress", "certificate"),
        names: read.names,
        not_before: read.not_before,
        not_after: read.not_after,
        fingerprint: read.fingerprint,
        chain: read.chain,
        key: PrivateKey(read.key),
        staple: None,
    };
    ListenerTls { certificates: vec![Arc::new(certificate)], ..ListenerTls::default() }
}

impl Config {
    /// Everything to one address.
    pub fn to(address: SocketAddr) -> Self {
        Self::default().rule(forward("/", "app")).endpoints("app", &[address])
    }

    /// Everything to one address that speaks HTTP/2.
    pub fn to_h2(address: SocketAddr) -> Self {
        let key = ClusterKey { protocol: BackendProtocol::Http2, ..cluster("app") };
        let share =
            WeightedBackend { weight: 1, target: WeightedTarget::Cluster(key.clone()), filters: Vec::new() };
        let mut config = Self::default().rule(rule("/", Action::Forward(vec![share])));
        config.endpoints.clusters.insert(key, [address].as_slice().into());
        config
    }

    /// A TCP listener whose connections go to these addresses.
    pub fn to_tcp(addresses: &[SocketAddr]) -> Self {
        Self::to_tcp_over(BackendProtocol::Tcp, addresses)
    }

    /// The same in one of the protocols for whole connections.
    pub fn to_tcp_over(protocol: BackendProtocol, addresses: &[SocketAddr]) -> Self {
        let mut config = Self::default();
        config.add_tcp(1, "app", protocol, addresses);
        config
    }

    /// A UDP listener for these addresses.
    pub fn to_udp(addresses: &[SocketAddr]) -> Self {
        Self::default().udp_share(1, "app", addresses)
    }

    /// Adds a share of a UDP listener's flows.
    pub fn udp_share(mut self, weight: u32, name: &str, addresses: &[SocketAddr]) -> Self {
        let backend = self.l4_backend(weight, name, BackendProtocol::Udp, addresses);
        self.udp.get_or_insert_default().push(backend);
        self
    }

    /// Adds a share that is dropped.
    pub fn udp_failure(mut self, weight: u32, kind: RuleErrorKind) -> Self {
        let failure = RuleError { kind, message: format!("rules[0].backendRefs: {kind}") };
        self.udp.get_or_insert_default().push(L4Backend { weight, target: WeightedTarget::Fail(failure) });
        self
    }

    /// Adds a share of a TCP listener's connections.
    pub fn tcp_share(mut self, weight: u32, name: &str, addresses: &[SocketAddr]) -> Self {
        self.add_tcp(weight, name, BackendProtocol::Tcp, addresses);
        self
    }

    /// Adds a share that is reset.
    pub fn tcp_failure(mut self, weight: u32, kind: RuleErrorKind) -> Self {
        let failure = RuleError { kind, message: format!("rules[0].backendRefs: {kind}") };
        self.tcp.get_or_insert_default().push(L4Backend { weight, target: WeightedTarget::Fail(failure) });
        self
    }

    fn add_tcp(&mut self, weight: u32, name: &str, protocol: BackendProtocol, addresses: &[SocketAddr]) {
        let backend = self.l4_backend(weight, name, protocol, addresses);
        self.tcp.get_or_insert_default().push(backend);
    }

    fn l4_backend(
        &mut self,
        weight: u32,
        name: &str,
        protocol: BackendProtocol,
        addresses: &[SocketAddr],
    ) -> L4Backend {
        let key = ClusterKey { protocol, ..cluster(name) };
        let target = WeightedTarget::Cluster(key.clone());
        self.endpoints.clusters.insert(key, addresses.into());
        L4Backend { weight, target }
    }

    /// Adds a listener that passes TLS for a host through to these addresses.
    pub fn passthrough(self, hostname: &'static str, addresses: &[SocketAddr]) -> Self {
        self.passthrough_over(BackendProtocol::Tcp, hostname, addresses)
    }

    /// The same in one of the protocols for whole connections.
    pub fn passthrough_over(
        mut self,
        protocol: BackendProtocol,
        hostname: &'static str,
        addresses: &[SocketAddr],
    ) -> Self {
        let backends = vec![self.l4_backend(1, hostname, protocol, addresses)];
        let hostname = Some(hostname);
        let (serve, tls) = (Serve::TlsPassthrough, ListenerTls::default());
        self.tls_listeners.push(TlsListener { hostname, serve, tls, backends });
        self
    }

    /// Adds a listener that ends TLS for a host, with what is in it for these addresses.
    pub fn terminate(self, hostname: &'static str, identity: &SelfSigned, addresses: &[SocketAddr]) -> Self {
        self.terminate_over(BackendProtocol::Tcp, hostname, identity, addresses)
    }

    /// The same in one of the protocols for whole connections.
    pub fn terminate_over(
        mut self,
        protocol: BackendProtocol,
        hostname: &'static str,
        identity: &SelfSigned,
        addresses: &[SocketAddr],
    ) -> Self {
        let backends = vec![self.l4_backend(1, hostname, protocol, addresses)];
        let hostname = Some(hostname);
        self.tls_listeners.push(TlsListener {
            hostname,
            serve: Serve::TlsTerminate,
            tls: tls(identity),
            backends,
        });
        self
    }

    /// Adds a share to the route of the last listener of protocol TLS.
    pub fn also(mut self, weight: u32, name: &str, addresses: &[SocketAddr]) -> Self {
        let backend = self.l4_backend(weight, name, BackendProtocol::Tcp, addresses);
        self.tls_listeners.last_mut().unwrap().backends.push(backend);
        self
    }

    /// Adds a broken share to it.
    pub fn also_broken(mut self, weight: u32, kind: RuleErrorKind) -> Self {
        let failure = RuleError { kind, message: format!("rules[0].backendRefs: {kind}") };
        let backend = L4Backend { weight, target: WeightedTarget::Fail(failure) };
        self.tls_listeners.last_mut().unwrap().backends.push(backend);
        self
    }

    /// Adds a rule.
    pub fn rule(mut self, rule: HttpRule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Adds a rule with filters.
    pub fn filtered(self, mut rule: HttpRule, filters: Vec<Filter>) -> Self {
        rule.filters = filters;
        self.rule(rule)
    }

    /// Sets a cluster's addresses.
    pub fn endpoints(mut self, name: &str, addresses: &[SocketAddr]) -> Self {
        self.endpoints.clusters.insert(cluster(name), addresses.into());
        self
    }

    /// Changes the time limits of every rule.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        for rule in &mut self.rules {
            rule.timeouts = timeouts;
        }
        self
    }

    /// Has the requests of every rule tried again.
    pub fn retry(mut self, retry: &Retry) -> Self {
        for rule in &mut self.rules {
            rule.retry = Some(Box::new(retry.clone()));
        }
        self
    }

    /// The tables' source for a listener on `bind`.
    pub fn ir(&self, bind: SocketAddr) -> Ir {
        if let Some(backends) = &self.tcp {
            return self.l4_ir(bind, RouteKind::TCPRoute, "tcp", backends);
        }
        if let Some(backends) = &self.udp {
            return self.l4_ir(bind, RouteKind::UDPRoute, "udp", backends);
        }
        let id = RouteId { kind: RouteKind::HTTPRoute, object: ObjectName::new("apps", "route") };
        let hostname = self.hostname.map(|name| gateway_ir::Hostname::parse(name).unwrap());
        let route = HttpRoute { id: id.clone(), created: None, rules: self.rules.clone() };
        let hostnames: Arc<[_]> = [MatchHostname { effective: hostname.clone(), original: hostname }].into();
        let attached = AttachedRoutes::unit(id.clone(), hostnames);
        let listener = |name: &str, hostname: Option<&str>, tls: Option<ListenerTls>| Listener {
            serve: if tls.is_some() { Serve::Https } else { Serve::Http },
            tls,
            id: ListenerId::of_gateway(ObjectName::new("ingress", "gateway"), name),
            hostname: hostname.map(|name| gateway_ir::Hostname::parse(name).unwrap()),
            settings: self.settings,
            backend_certificate: self.backend_certificate.clone(),
            routes: attached.clone(),
        };
        let mut listeners: Vec<_> = match self.hosts.as_slice() {
            [] if !self.tls_listeners.is_empty() => Vec::new(),
            [] => vec![listener("http", None, self.tls.clone())],
            hosts => hosts.iter().map(|(name, tls)| listener(name, Some(name), Some(tls.clone()))).collect(),
        };
        let mut routes = SharedMap::unit(id, Arc::new(route.into()));
        for one in &self.tls_listeners {
            listeners.push(self.tls_listener(one, &mut routes));
        }
        Ir { binds: vec![Bind { address: BindAddress::Any, port: bind.port(), listeners }], routes }
    }

    fn tls_listener(&self, one: &TlsListener, routes: &mut SharedMap<RouteId, Arc<Route>>) -> Listener {
        let name = one.hostname.unwrap_or("any");
        let hostname = one.hostname.map(|name| gateway_ir::Hostname::parse(name).unwrap());
        let mut attached = AttachedRoutes::new();
        if !one.backends.is_empty() {
            let id = RouteId { kind: RouteKind::TLSRoute, object: ObjectName::new("apps", name) };
            let rule = L4Rule { name: None, backends: one.backends.clone() };
            let route = L4Route { id: id.clone(), created: None, rule };
            routes.insert(id.clone(), Arc::new(route.into()));
            let hostnames = MatchHostname { effective: hostname.clone(), original: hostname.clone() };
            attached.insert(id, [hostnames].into());
        }
        Listener {
            id: ListenerId::of_gateway(ObjectName::new("ingress", "gateway"), name),
            hostname,
            serve: one.serve,
            tls: Some(one.tls.clone()),
            settings: self.settings,
            backend_certificate: self.backend_certificate.clone(),
            routes: attached,
        }
    }

    fn l4_ir(&self, bind: SocketAddr, kind: RouteKind, name: &str, backends: &[L4Backend]) -> Ir {
        let id = RouteId { kind, object: ObjectName::new("apps", name) };
        let rule = L4Rule { name: None, backends: backends.to_vec() };
        let route = L4Route { id: id.clone(), created: None, rule };
        let hostnames: Arc<[_]> = [MatchHostname { effective: None, original: None }].into();
        let listener = Listener {
            id: ListenerId::of_gateway(ObjectName::new("ingress", "gateway"), name),
            hostname: None,
            serve: if kind == RouteKind::UDPRoute { Serve::Udp } else { Serve::Tcp },
            tls: None,
            settings: self.settings,
            backend_certificate: None,
            routes: AttachedRoutes::unit(id.clone(), hostnames),
        };
        Ir {
            binds: vec![Bind { address: BindAddress::Any, port: bind.port(), listeners: vec![listener] }],
            routes: SharedMap::unit(id, Arc::new(route.into())),
        }
    }
}
