//! The listener and the rule of a connection that begins with a ClientHello, against the words of the Gateway API.

mod support;

use std::cmp::Reverse;
use std::sync::Arc;

use gateway_ir::{
    BackendProtocol, BindAddress, ClusterKey, Generation, Hostname, Ir, L4Backend, L4Route, L4Rule, Listener,
    ListenerId, ListenerSettings, ListenerTls, ObjectName, RouteId, RouteKind, Serve, WeightedTarget,
};
use gateway_snapshot::{Snapshot, compile, compile_with, explain_tls};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use support::{attach, bind, host, local};

/// Patterns of listeners and routes; the empty one is none.
const PATTERNS: [&str; 8] = ["", "*.com", "*.a.com", "*.b.a.com", "a.com", "b.a.com", "c.b.a.com", "x.org"];
const NAMES: [&str; 9] =
    ["a.com", "b.a.com", "c.b.a.com", "d.b.a.com", "d.a.com", "d.com", "x.org", "com", "y.x.org"];

/// A route: the listeners that it is on, its hostnames, and its age.
#[derive(Clone, Debug)]
struct Spec {
    created: Option<i64>,
    hostnames: Vec<&'static str>,
    on: Vec<usize>,
}

/// Listeners by the index of their pattern, and routes by name.
#[derive(Clone, Debug)]
struct World {
    listeners: Vec<(usize, Serve, bool)>,
    routes: Vec<(String, Spec)>,
}

fn spec() -> impl Strategy<Value = Spec> {
    let hostnames = subsequence(PATTERNS[1..].to_vec(), 0..4);
    (option::of(0..3_i64), hostnames, subsequence((0..PATTERNS.len()).collect::<Vec<_>>(), 1..5))
        .prop_map(|(created, hostnames, on)| Spec { created, hostnames, on })
}

fn world() -> impl Strategy<Value = World> {
    let uses = select(vec![Serve::TlsPassthrough, Serve::TlsTerminate, Serve::Https]);
    let listeners =
        (subsequence((0..PATTERNS.len()).collect::<Vec<_>>(), 1..6), vec(uses, 8), option::of(0..6_usize));
    let routes = btree_map("[a-c]", spec(), 0..4);
    (listeners, routes).prop_map(|((patterns, uses, marked), routes)| World {
        listeners: (0..)
            .zip(patterns)
            .zip(uses)
            .map(|((at, pattern), serve)| (pattern, serve, marked == Some(at)))
            .collect(),
        routes: routes.into_iter().collect(),
    })
}

impl World {
    fn ir(&self) -> Ir {
        let id = |name: &str| RouteId { kind: RouteKind::TLSRoute, object: ObjectName::new("apps", name) };
        let listeners = self.listeners.iter().map(|(pattern, serve, marked)| {
            let hostname = host(PATTERNS[*pattern]);
            let routes =
                self.routes.iter().filter(|(_, spec)| spec.on.contains(pattern)).map(|(name, spec)| {
                    let named = spec.hostnames.iter().map(|text| host(text));
                    let none = spec.hostnames.is_empty().then_some(None);
                    let all = named.chain(none).filter_map(|original| attach(hostname.as_ref(), original));
                    (id(name), all.collect::<Arc<[_]>>())
                });
            Listener {
                id: ListenerId::of_gateway(ObjectName::new("ingress", "shared"), PATTERNS[*pattern]),
                routes: routes.filter(|(_, hostnames)| !hostnames.is_empty()).collect(),
                hostname,
                serve: *serve,
                tls: Some(ListenerTls { is_default: *marked, ..ListenerTls::default() }),
                settings: ListenerSettings::default(),
                backend_certificate: None,
            }
        });
        let routes = self.routes.iter().map(|(name, spec)| {
            let service = ClusterKey::new(ObjectName::new("apps", name.as_str()), 443);
            let target = WeightedTarget::Cluster(ClusterKey { protocol: BackendProtocol::Tcp, ..service });
            let rule = L4Rule { name: None, backends: vec![L4Backend { weight: 1, target }] };
            let route = L4Route { id: id(name), created: spec.created, rule };
            (id(name), Arc::new(route.into()))
        });
        Ir { binds: vec![bind(BindAddress::Any, 80, listeners.collect())], routes: routes.collect() }
    }

    /// The listener and the route for a name, by reading the specification: of the patterns that cover the name a whole one
    /// goes first, then the longest; of several routes with one host the one that wrote the most specific hostname, then the
    /// oldest, then the first by name.
    fn oracle(&self, name: Option<&str>) -> Option<(&'static str, Option<String>)> {
        let marked = self.listeners.iter().find(|(.., marked)| *marked).filter(|_| name.is_none());
        let by_name = || {
            let covering = self.listeners.iter().filter(|(pattern, ..)| covers(PATTERNS[*pattern], name));
            covering.min_by_key(|(pattern, ..)| rank(PATTERNS[*pattern]))
        };
        let (pattern, serve, _) = marked.or_else(by_name)?;
        let own = PATTERNS[*pattern];
        if *serve == Serve::Https {
            return Some((own, None));
        }
        // Without a name it is for the only host there is.
        let name = name.or(Some(own).filter(|own| !own.is_empty() && !own.starts_with('*')));
        let on = self.routes.iter().filter(|(_, spec)| spec.on.contains(pattern));
        let hosts = on.flat_map(|(route, spec)| {
            let named = spec.hostnames.iter().copied();
            let all = named.chain(spec.hostnames.is_empty().then_some(""));
            all.filter_map(move |original| Some((meet(own, original)?, original, spec.created, route)))
        });
        let best = hosts.filter(|(effective, ..)| covers(effective, name)).min_by_key(
            |(effective, original, created, route)| {
                (rank(effective), rank(original), created.is_none(), *created, (*route).clone())
            },
        );
        Some((own, best.map(|(.., route)| route.clone())))
    }
}

fn covers(pattern: &str, name: Option<&str>) -> bool {
    match (pattern, name) {
        ("", _) => true,
        (_, None) => false,
        (pattern, Some(name)) => Hostname::parse(pattern).unwrap().matches(name),
    }
}

/// The narrower of two patterns, if they meet.
fn meet(listener: &'static str, route: &'static str) -> Option<&'static str> {
    match (listener, route) {
        ("", other) | (other, "") => Some(other),
        (a, b) => {
            let (a_host, b_host) = (Hostname::parse(a).unwrap(), Hostname::parse(b).unwrap());
            let both = a_host.intersect(&b_host)?;
            Some(if *both == a_host { a } else { b })
        }
    }
}

fn rank(pattern: &str) -> (bool, bool, Reverse<usize>) {
    (pattern.is_empty(), pattern.starts_with('*'), Reverse(pattern.len()))
}

fn found(snapshot: &Snapshot, name: Option<&str>) -> Option<(String, Option<String>)> {
    let selected = snapshot.bind(local()).unwrap().select(name)?;
    let route = selected.rule.map(|rule| rule.route.id.object.name.to_string());
    Some((selected.listener.id.listener.clone(), route))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_connection_goes_where_the_specification_says(before in world(), after in world()) {
        let previous = compile(&before.ir(), Generation(1));
        let fresh = compile(&after.ir(), Generation(2));
        let taken_over = compile_with(&after.ir(), Generation(2), Some(&previous));
        for name in NAMES.into_iter().map(Some).chain([None]) {
            for (world, snapshot) in [(&before, &previous), (&after, &fresh), (&after, &taken_over)] {
                let want = world.oracle(name).map(|(listener, route)| (listener.to_owned(), route));
                prop_assert_eq!(found(snapshot, name), want, "{:?} in {:?}", name, world);
            }
        }
    }
}

#[test]
fn an_edited_route_changes_its_own_hosts_alone() {
    let route = |created, hostnames: &[&'static str]| Spec {
        created: Some(created),
        hostnames: hostnames.to_vec(),
        on: vec![0],
    };
    let mut world = World {
        listeners: vec![(0, Serve::TlsPassthrough, false)],
        routes: vec![("a".into(), route(1, &["a.com"])), ("b".into(), route(2, &["x.org", "a.com"]))],
    };
    let first = compile(&world.ir(), Generation(1));
    let rule = |snapshot: &Snapshot, name| {
        Arc::clone(snapshot.bind(local()).unwrap().select(Some(name)).unwrap().rule.unwrap())
    };
    world.routes[0].1.created = Some(3);
    let second = compile_with(&world.ir(), Generation(2), Some(&first));
    assert_eq!(found(&first, Some("a.com")), Some((String::new(), Some("a".into()))));
    assert_eq!(found(&second, Some("a.com")), Some((String::new(), Some("b".into()))), "it is older now");
    assert!(Arc::ptr_eq(&rule(&first, "x.org"), &rule(&second, "x.org")));
    world.routes.pop();
    let third = compile_with(&world.ir(), Generation(3), Some(&second));
    assert_eq!(found(&third, Some("x.org")), Some((String::new(), None)));
    assert_eq!(found(&third, Some("a.com")), Some((String::new(), Some("a".into()))));
}

#[test]
fn an_explanation_agrees_with_the_lookup() {
    let route = Spec { created: None, hostnames: vec!["b.a.com"], on: vec![2] };
    let mut world =
        World { listeners: vec![(2, Serve::TlsPassthrough, false)], routes: vec![("one".into(), route)] };
    let said = |world: &World, host: &str| {
        let explanation = explain_tls(&compile(&world.ir(), Generation(1)), local(), host);
        (explanation.hit.is_some(), explanation.steps.last().unwrap().clone())
    };
    let (is_hit, last) = said(&world, "b.a.com");
    assert!(is_hit && last == "TLSRoute apps/one rules[0] takes the connection", "{last}");
    for (host, part) in [
        ("d.a.com", "no_route_for_host"),
        (
            "x.org",
            "no_listener_for_host: no listener here takes server name \"x.org\", and connections are reset",
        ),
        ("10.0.0.1", "no_listener_for_host: no listener here takes no server name"),
    ] {
        let (is_hit, last) = said(&world, host);
        assert!(!is_hit && last.contains(part), "{host}: {last}");
    }
    world.listeners.push((7, Serve::Https, false));
    assert!(said(&world, "x.org").1.contains("ask with METHOD https://"));
    assert!(said(&world, "d.com").1.contains("handshake fails, unrecognized_name"));
}
