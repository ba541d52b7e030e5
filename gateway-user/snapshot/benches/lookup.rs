//! Lookups in tables of 10 to 100,000 routes, beside a scan of the same routes.
//!
//! `cargo bench -p gateway-snapshot`. Two requests are timed for each size: `same` asks for one route over
//! and over, so its cost is that of the lookup; `spread` asks for a different route each time, so the
//! processor's caches count.
#![allow(missing_docs, reason = "criterion_group! makes a public function")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gateway_ir::{
    Action, Bind, BindAddress, ClusterKey, Generation, Hostname, HttpRoute, HttpRule, Ir, Listener,
    ListenerId, ListenerSettings, MatchHostname, ObjectName, PathMatch, Route, RouteId, RouteKind,
    RouteMatch, Serve, Timeouts, WeightedBackend, WeightedTarget,
};
use gateway_snapshot::{FieldList, RequestView, WorkerRegexes, compile};

const SIZES: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];

/// How routes differ from each other.
#[derive(Clone, Copy)]
enum Shape {
    /// One host, a path prefix each.
    Paths,
    /// A host each, all with the prefix `/`.
    Hosts,
}

impl Shape {
    fn host(self, number: usize) -> String {
        match self {
            Self::Paths => "shop.example.com".into(),
            Self::Hosts => format!("tenant-{number}.example.com"),
        }
    }

    fn prefix(self, number: usize) -> String {
        match self {
            Self::Paths => format!("/api/service-{number}"),
            Self::Hosts => "/".into(),
        }
    }

    fn path(self, number: usize) -> String {
        format!("{}/items/42", self.prefix(number).trim_end_matches('/'))
    }
}

fn route(shape: Shape, number: usize) -> HttpRoute {
    let object = ObjectName::new("team", format!("route-{number}"));
    let key = ClusterKey::new(ObjectName::new("team", format!("service-{}", number % 100)), 80);
    let backend = WeightedBackend { weight: 1, target: WeightedTarget::Cluster(key), filters: vec![] };
    let path = PathMatch::Prefix(shape.prefix(number));
    let rule = HttpRule {
        name: None,
        matches: vec![RouteMatch { path, ..RouteMatch::default() }],
        filters: vec![],
        action: Action::Forward(vec![backend]),
        timeouts: Timeouts::default(),
        retry: None,
    };
    HttpRoute { id: RouteId { kind: RouteKind::HTTPRoute, object }, created: None, rules: vec![rule] }
}

fn ir(shape: Shape, size: usize) -> Ir {
    let routes: BTreeMap<_, (_, Arc<Route>)> = (0..size)
        .map(|number| {
            let route = route(shape, number);
            (route.id.clone(), (shape.host(number), Arc::new(route.into())))
        })
        .collect();
    let attached = routes.iter().map(|(id, (host, _))| {
        let hostname = Hostname::parse(host).ok();
        let hostnames: Arc<[_]> = [MatchHostname { effective: hostname.clone(), original: hostname }].into();
        (id.clone(), hostnames)
    });
    let id = ListenerId::of_gateway(ObjectName::new("ingress", "shared"), "http");
    let listener = Listener {
        id,
        hostname: None,
        serve: Serve::Http,
        tls: None,
        backend_certificate: None,
        settings: ListenerSettings::default(),
        routes: attached.collect(),
    };
    let bind = Bind { address: BindAddress::Any, port: 80, listeners: vec![listener] };
    let routes = routes.into_iter().map(|(id, (_, route))| (id, route)).collect();
    Ir { binds: vec![bind], routes }
}

/// The rival: every route in turn, the longest prefix kept.
fn scan<'a>(ir: &'a Ir, host: &str, path: &str) -> Option<(&'a RouteId, usize)> {
    let mut best = None;
    for (id, hostnames) in &ir.binds[0].listeners[0].routes {
        let covers = |name: &MatchHostname| name.effective.as_ref().is_none_or(|name| name.matches(host));
        if !hostnames.iter().any(covers) {
            continue;
        }
        for matching in ir.routes[id].http_rules().iter().flat_map(|rule| &rule.matches) {
            let PathMatch::Prefix(prefix) = &matching.path else { continue };
            let rest = path.strip_prefix(prefix.trim_end_matches('/'));
            let holds = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            if holds && best.is_none_or(|(_, length)| prefix.len() > length) {
                best = Some((id, prefix.len()));
            }
        }
    }
    best
}

fn lookups(criterion: &mut Criterion) {
    for (name, shape) in [("paths", Shape::Paths), ("hosts", Shape::Hosts)] {
        let mut group = criterion.benchmark_group(name);
        for size in SIZES {
            let ir = ir(shape, size);
            let snapshot = compile(&ir, Generation(1));
            let mut regexes = WorkerRegexes::new(&snapshot);
            let local = SocketAddr::from(([127, 0, 0, 1], 80));
            // A step that shares no factor with the sizes visits every route.
            let wanted: Vec<_> = (0..size.min(4_096)).map(|step| (step * 7_919 + size / 2) % size).collect();
            let targets: Vec<_> =
                wanted.iter().map(|number| (shape.host(*number), shape.path(*number))).collect();
            let mut look_up = |(host, path): &(String, String)| {
                let fields = FieldList::<&str, &str>(&[]);
                let (host, path) = (host.as_bytes(), path.as_bytes());
                let view = RequestView { method: b"GET", host, path, query: None, fields: &fields };
                let bind = snapshot.bind(black_box(local)).expect("port 80 is served");
                bind.route(black_box(&view), &mut regexes).expect("every target has a route").matched_len
            };
            group.bench_function(BenchmarkId::new("same", size), |bencher| {
                bencher.iter(|| look_up(&targets[0]))
            });
            let mut turn = targets.iter().cycle();
            group.bench_function(BenchmarkId::new("spread", size), |bencher| {
                bencher.iter(|| turn.next().map(&mut look_up));
            });
            if size <= 10_000 {
                let (host, path) = &targets[0];
                group.bench_function(BenchmarkId::new("scan", size), |bencher| {
                    bencher.iter(|| scan(black_box(&ir), host, path));
                });
            }
        }
        group.finish();
    }
}

fn compiling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(10);
    for size in [1_000, 10_000, 100_000] {
        let ir = ir(Shape::Paths, size);
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| compile(black_box(&ir), Generation(1)));
        });
    }
    group.finish();
}

criterion_group!(benches, lookups, compiling);
criterion_main!(benches);
