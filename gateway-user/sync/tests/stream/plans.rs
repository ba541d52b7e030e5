//! States that a controller may have, at random.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use gateway_ir::{
    Action, BackendProtocol, BackendTls, Bind, BindAddress, Certificate, ClientValidation,
    ClientValidationMode, ClusterKey, Endpoints, Filter, HeaderChange, HeaderMod, Hostname, HttpRoute,
    HttpRule, Ir, L4Backend, L4Route, L4Rule, LabelRequirement, Listener, ListenerId, ListenerSettings,
    ListenerTls, MatchHostname, NodeSelector, ObjectName, PathMatch, Placement, PrivateKey, Redirect, Retry,
    Route, RouteId, RouteKind, RouteMatch, Serve, Setting, SubjectAltName, Timeouts, TlsVersion, TrustBundle,
    TrustSource, WeightedBackend, WeightedTarget,
};
use gateway_sync::item::{Desired, Owner};
use gateway_tls::TicketSecret;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

/// A state in a form that edits are simple in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// Ports with listeners' numbers: their hosts and certificates follow from them.
    pub(crate) ports: BTreeMap<u16, Vec<(u8, bool)>>,
    /// Routes: their version, and ports that they are on.
    pub(crate) routes: BTreeMap<u8, (u8, Vec<u16>)>,
    /// Clusters: endpoints.
    pub(crate) clusters: BTreeMap<u8, Vec<u8>>,
    /// Certificates: their version.
    pub(crate) certificates: BTreeMap<u8, u8>,
    /// Addresses of the pool.
    pub(crate) addresses: BTreeMap<u8, u8>,
    /// Gateways that are not served everywhere: the tier of their nodes, or that they have none of this tier.
    pub(crate) placed: BTreeMap<u8, (u8, bool)>,
    /// Nodes that are known: their tier.
    pub(crate) tiers: BTreeMap<u8, u8>,
}

/// Number of Gateways that listeners are of.
pub(crate) const GATEWAYS: u8 = 3;

pub(crate) fn plans() -> impl Strategy<Value = Plan> {
    let ports = btree_map(
        prop_oneof![Just(80), Just(443), Just(8080), Just(8443)],
        btree_set(0..6u8, 0..4).prop_flat_map(|numbers| {
            let len = numbers.len();
            (Just(numbers), vec(any::<bool>(), len))
                .prop_map(|(numbers, wildcards)| numbers.into_iter().zip(wildcards).collect::<Vec<_>>())
        }),
        0..4,
    );
    let on = vec(prop_oneof![Just(80u16), Just(443), Just(8080), Just(8443)], 0..3);
    let routes = btree_map(0..20u8, (0..9u8, on), 0..12);
    let clusters = btree_map(0..8u8, vec(any::<u8>(), 0..4), 0..8);
    let certificates = btree_map(0..3u8, 0..3u8, 0..3);
    let addresses = btree_map(0..4u8, 0..3u8, 0..4);
    (ports, routes, clusters, certificates, addresses).prop_map(
        |(ports, routes, clusters, certificates, addresses)| Plan {
            ports,
            routes,
            clusters,
            certificates,
            addresses,
            ..Plan::default()
        },
    )
}

fn name(text: impl ToString) -> ObjectName {
    ObjectName::new("edge", text.to_string())
}

fn host(number: u8, wildcard: bool) -> Hostname {
    let text = if wildcard { format!("*.h{number}.example.com") } else { format!("h{number}.example.com") };
    Hostname::parse(&text).unwrap()
}

fn rule(route: u8, version: u8) -> HttpRule {
    let cluster = ClusterKey {
        service: name(version % 8),
        port: 80,
        protocol: if version == 5 { BackendProtocol::Http2 } else { BackendProtocol::Http1 },
        tls: route.is_multiple_of(3),
    };
    let backend =
        WeightedBackend { weight: 1, target: WeightedTarget::Cluster(cluster), filters: Vec::new() };
    let add = vec![HeaderChange { name: "x-version".to_owned(), value: version.to_string() }];
    let path = if version == 6 {
        PathMatch::Regex("/[a-z]+".to_owned())
    } else {
        PathMatch::Prefix(format!("/{route}"))
    };
    HttpRule {
        name: (version == 1).then(|| "one".to_owned()),
        matches: vec![RouteMatch { path, ..RouteMatch::default() }],
        filters: match version {
            2 => vec![Filter::RequestHeaders(HeaderMod { add, ..HeaderMod::default() })],
            3 => vec![Filter::UrlRewrite { host: None, path: None }],
            _ => Vec::new(),
        },
        action: match version {
            4 => Action::Redirect(Redirect {
                scheme: None,
                hostname: None,
                path: None,
                port: None,
                status: 301,
            }),
            _ => Action::Forward(vec![backend]),
        },
        timeouts: Timeouts { request_ms: (version == 7).then_some(500), ..Timeouts::default() },
        retry: (version == 8).then(|| Box::new(Retry { codes: vec![503], attempts: 2, backoff_ms: 25 })),
    }
}

fn certificate(number: u8, version: u8) -> Arc<Certificate> {
    Arc::new(Certificate {
        secret: name(number),
        names: vec![format!("h{number}.example.com")],
        not_before: i64::from(version),
        not_after: 2_000_000_000,
        fingerprint: format!("{number:02x}{version:02x}"),
        chain: vec![chain(number, version), vec![1]],
        key: PrivateKey(vec![version, 0, 200]),
        staple: None,
    })
}

/// The kind of a route, by its number.
fn kind(route: u8) -> RouteKind {
    RouteKind::ALL[usize::from(route) % RouteKind::ALL.len()]
}

fn l4_rule(route: u8, version: u8) -> L4Rule {
    let protocol = match version % 3 {
        0 => BackendProtocol::Tcp,
        1 => BackendProtocol::TcpProxyV1,
        _ => BackendProtocol::TcpProxyV2,
    };
    let target = WeightedTarget::Cluster(ClusterKey { protocol, ..ClusterKey::new(name(route), 80) });
    L4Rule { name: None, backends: vec![L4Backend { weight: u32::from(version), target }] }
}

fn bundle(source: TrustSource, number: usize) -> Arc<TrustBundle> {
    Arc::new(TrustBundle { source, certificates: vec![format!("authority {number}").into_bytes()] })
}

/// Settings that differ with `number`, and authorities of which many have the same.
fn backend_tls(number: usize) -> Arc<BackendTls> {
    Arc::new(BackendTls {
        policy: name("policy"),
        hostname: "backend.example.com".into(),
        subject_alt_names: vec![
            SubjectAltName::Hostname(format!("{number}.example.com")),
            SubjectAltName::Uri("spiffe://example.com/a".to_owned()),
        ],
        trust: match number {
            0 => Vec::new(),
            1 => vec![bundle(TrustSource::System, 0)],
            2 => vec![bundle(TrustSource::ClusterTrustBundle("x.example:y:z".into()), 1)],
            _ => vec![bundle(TrustSource::ConfigMap(name("ca")), 1), bundle(TrustSource::System, 0)],
        },
        fault: (number == 0).then(|| "none".into()),
        refused_gateways: if number == 3 { vec![gateway(1)] } else { Vec::new() },
    })
}

/// Bytes that no other certificate has.
pub(crate) fn chain(number: u8, version: u8) -> Vec<u8> {
    format!("chain {number} in version {version}").into_bytes()
}

pub(crate) fn node(number: u8) -> String {
    format!("node-{number}")
}

/// The Gateway of a listener.
fn gateway(listener: u8) -> ObjectName {
    name(format!("gw{}", listener % GATEWAYS))
}

impl Plan {
    /// The state that it says, with nothing shared with other states.
    pub(crate) fn desired(&self) -> Desired {
        let routes: BTreeMap<RouteId, Arc<Route>> = self
            .routes
            .iter()
            .filter(|(_, (_, on))| self.is_on(on))
            .map(|(route, (version, _))| {
                let id = RouteId { kind: kind(*route), object: name(route) };
                let created = Some(i64::from(*route));
                let whole = match id.kind {
                    RouteKind::HTTPRoute | RouteKind::GRPCRoute => {
                        let rules = vec![rule(*route, *version), rule(*route, 0)];
                        HttpRoute { id: id.clone(), created, rules }.into()
                    }
                    RouteKind::TCPRoute | RouteKind::TLSRoute | RouteKind::UDPRoute => {
                        L4Route { id: id.clone(), created, rule: l4_rule(*route, *version) }.into()
                    }
                };
                (id, Arc::new(whole))
            })
            .collect();
        let binds = self.ports.iter().filter(|(_, listeners)| !listeners.is_empty());
        let binds = binds.map(|(port, listeners)| self.bind(*port, listeners)).collect();
        let clusters = self.clusters.iter().map(|(cluster, endpoints)| {
            let endpoints = endpoints.iter().map(|last| SocketAddr::from(([10, 0, *cluster, *last], 8080)));
            let endpoints: Arc<[_]> = endpoints.collect();
            (ClusterKey { tls: cluster % 2 == 0, ..ClusterKey::new(name(cluster), 80) }, endpoints)
        });
        let clusters: BTreeMap<_, _> = clusters.collect();
        let secured = clusters.iter().filter(|(key, _)| key.tls);
        let tls = secured.map(|(key, endpoints)| (key.clone(), backend_tls(endpoints.len())));
        let owner = |number: &u8| Owner { gateway: gateway(0), node: node(*number) };
        let listeners = self.ports.values().flatten().map(|(number, _)| gateway(*number));
        let ends_tls = listeners.clone();
        Desired {
            ir: Arc::new(Ir { binds, routes: routes.into() }),
            endpoints: Arc::new(Endpoints { tls: tls.collect(), clusters: clusters.into() }),
            gateways: Arc::new(listeners.map(|name| (name, self.ports.len().to_string())).collect()),
            addresses: Arc::new(
                self.addresses.iter().map(|(last, node)| ([192, 0, 2, *last].into(), owner(node))).collect(),
            ),
            tickets: Arc::new(ends_tls.map(|name| (name, self.secrets())).collect()),
            placement: Arc::new(self.placement()),
        }
    }

    /// Secrets that differ whenever a port comes or goes.
    fn secrets(&self) -> Vec<TicketSecret> {
        let of = |port: &u16| TicketSecret { made: u64::from(*port), bytes: [7; 32] };
        self.ports.keys().map(of).collect()
    }

    fn placement(&self) -> Placement {
        let selector = |(tier, is_in): &(u8, bool)| {
            let (key, values) = ("tier".to_owned(), vec![tier.to_string()]);
            let one =
                if *is_in { LabelRequirement::In(key, values) } else { LabelRequirement::NotIn(key, values) };
            NodeSelector { requirements: vec![one] }
        };
        let gateways = self.placed.iter().map(|(number, tier)| (gateway(*number), selector(tier))).collect();
        let labels = |tier: &u8| BTreeMap::from([("tier".to_owned(), tier.to_string())]);
        let nodes: Vec<_> = self.tiers.iter().map(|(number, tier)| (node(*number), labels(tier))).collect();
        Placement::new(gateways, nodes.iter().map(|(name, labels)| (name.as_str(), labels)))
    }

    fn is_on(&self, on: &[u16]) -> bool {
        on.iter().any(|port| self.ports.get(port).is_some_and(|listeners| !listeners.is_empty()))
    }

    /// Those of a Gateway that has some.
    fn settings(&self, number: u8) -> ListenerSettings {
        let mut settings = ListenerSettings::default();
        settings.set(Setting::ClientIdleTimeout, (number % GATEWAYS == 1).then_some(self.ports.len() as u64));
        settings
    }

    fn bind(&self, port: u16, listeners: &[(u8, bool)]) -> Bind {
        let is_tls = port % 1000 == 443;
        let mut listeners: Vec<Listener> = listeners
            .iter()
            .map(|(number, wildcard)| {
                let certificates: Vec<_> = self
                    .certificates
                    // Two listeners, of different Gateways, have one.
                    .get(&(number / 2))
                    .map(|version| certificate(number / 2, *version))
                    .into_iter()
                    .collect();
                let tls = ListenerTls {
                    certificates,
                    min_version: if *wildcard { TlsVersion::Tls13 } else { TlsVersion::Tls12 },
                    clients: wildcard.then(|| ClientValidation {
                        trust: vec![bundle(TrustSource::ConfigMap(name("ca")), 1)],
                        mode: ClientValidationMode::AllowInsecureFallback,
                    }),
                    forward_client_cert: *wildcard,
                    cipher_suites: wildcard.then(|| "TLS_AES_128_GCM_SHA256".into()).into_iter().collect(),
                    is_default: false,
                };
                let on = self.routes.iter().filter(|(_, (_, on))| on.contains(&port));
                let routes = on.map(|(route, _)| {
                    let id = RouteId { kind: kind(*route), object: name(route) };
                    let effective = Some(host(*number, *wildcard));
                    let hostnames: Arc<[_]> = [MatchHostname { effective, original: None }].into();
                    (id, hostnames)
                });
                let routes = routes.collect();
                Listener {
                    id: ListenerId::of_gateway(gateway(*number), format!("l{number}")),
                    hostname: Some(host(*number, *wildcard)),
                    serve: match (is_tls, number % 3) {
                        (false, _) => Serve::Http,
                        (true, 0) => Serve::Https,
                        (true, 1) => Serve::TlsTerminate,
                        (true, _) => Serve::TlsPassthrough,
                    },
                    tls: is_tls.then_some(tls),
                    settings: self.settings(*number),
                    backend_certificate: wildcard.then(|| certificate(200, 0)),
                    routes,
                }
            })
            .collect();
        listeners.sort_by(|a, b| (&a.hostname, &a.id).cmp(&(&b.hostname, &b.id)));
        Bind { address: BindAddress::Any, port, listeners }
    }
}
