//! Tables that were compiled after others, with what those had, against tables that were compiled from
//! scratch.

mod support;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_ir::{
    Action as IrAction, ClusterKey, Generation, HttpRoute, HttpRule, Ir, ObjectName, RouteId,
    WeightedBackend, WeightedTarget,
};
use gateway_snapshot::rewrite::Scheme;
use gateway_snapshot::{Action, Destination, Rule, Snapshot, WorkerRegexes, compile, compile_with, explain};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use proptest::test_runner::TestRunner;
use support::random::{HOSTNAMES, from_tables, ir, requests, routes, rules};
use support::rival::outcome_of;
use support::{Request, gateway, prefix, route, rule};

/// Worlds, edits of each, and requests after each edit: 28,800 comparisons.
const WORLDS: u32 = 300;
const EDITS: usize = 12;
const REQUESTS: usize = 8;

/// The parts that an Ir is made from.
#[derive(Clone, Debug)]
struct World {
    routes: BTreeMap<RouteId, (Vec<&'static str>, Arc<HttpRoute>)>,
    any: Vec<&'static str>,
    own: Option<Vec<&'static str>>,
}

#[derive(Clone, Debug)]
enum Edit {
    /// Replaces or adds routes.
    Put(Vec<(Vec<&'static str>, HttpRoute)>),
    Remove(Index),
    /// Replaces one rule of a route.
    Rule(Index, Index, HttpRule),
    /// Changes a route's age and nothing else.
    Created(Index, Option<i64>),
    /// Attaches a route elsewhere.
    Hosts(Index, Vec<&'static str>),
    Any(Vec<&'static str>),
    Own(Option<Vec<&'static str>>),
    /// Every route is equal to what it was, in other memory.
    Reread,
}

fn clusters() -> impl Strategy<Value = Vec<WeightedBackend>> {
    let backend = |weights: std::ops::Range<u32>| {
        (select(&["a", "b", "c", "d", "e"][..]), weights).prop_map(|(name, weight)| {
            let key = ClusterKey::new(ObjectName::new("backends", name), 80);
            WeightedBackend { weight, target: WeightedTarget::Cluster(key), filters: Vec::new() }
        })
    };
    (backend(1..3), option::of(backend(0..3)))
        .prop_map(|(one, other)| [Some(one), other].into_iter().flatten().collect())
}

/// Routes as the oracle has them, with backends that come and go.
fn routed() -> impl Strategy<Value = Vec<(Vec<&'static str>, HttpRoute)>> {
    (routes(), vec(clusters(), 8)).prop_map(|(mut routes, clusters)| {
        let mut clusters = clusters.into_iter().cycle();
        for rule in routes.iter_mut().flat_map(|(_, route)| &mut route.rules) {
            rule.action = IrAction::Forward(clusters.next().expect("it never ends"));
        }
        routes
    })
}

fn edit() -> impl Strategy<Value = Edit> {
    let hosts = || prop_oneof![Just(vec![""]), subsequence(HOSTNAMES.to_vec(), 1..4)];
    let rule = (rules(), clusters()).prop_map(|(mut rules, clusters)| {
        let mut rule = rules.remove(0);
        rule.action = IrAction::Forward(clusters);
        rule
    });
    prop_oneof![
        2 => routed().prop_map(|mut routes| { routes.truncate(2); Edit::Put(routes) }),
        1 => any::<Index>().prop_map(Edit::Remove),
        3 => (any::<Index>(), any::<Index>(), rule).prop_map(|(at, which, rule)| Edit::Rule(at, which, rule)),
        2 => (any::<Index>(), option::of(1..3_i64)).prop_map(|(at, created)| Edit::Created(at, created)),
        1 => (any::<Index>(), hosts()).prop_map(|(at, hosts)| Edit::Hosts(at, hosts)),
        1 => hosts().prop_map(Edit::Any),
        1 => option::of(hosts()).prop_map(Edit::Own),
        1 => Just(Edit::Reread),
    ]
}

impl World {
    fn ir(&self) -> Ir {
        let routes: Vec<_> = self.routes.values().cloned().collect();
        ir(&self.any, self.own.as_deref(), &routes)
    }

    fn apply(&mut self, edit: &Edit) {
        let ids: Vec<_> = self.routes.keys().cloned().collect();
        let pick = |at: &Index| (!ids.is_empty()).then(|| at.get(&ids).clone());
        match edit {
            Edit::Put(routes) => {
                let routes = routes.iter().cloned();
                let new = routes.map(|(hosts, route)| (route.id.clone(), (hosts, Arc::new(route))));
                self.routes.extend(new);
            }
            Edit::Remove(at) => {
                pick(at).and_then(|id| self.routes.remove(&id));
            }
            Edit::Rule(at, which, rule) => {
                if let Some((_, route)) = pick(at).and_then(|id| self.routes.get_mut(&id)) {
                    let which = which.index(route.rules.len());
                    Arc::make_mut(route).rules[which] = rule.clone();
                }
            }
            Edit::Created(at, created) => {
                if let Some((_, route)) = pick(at).and_then(|id| self.routes.get_mut(&id)) {
                    Arc::make_mut(route).created = *created;
                }
            }
            Edit::Hosts(at, hosts) => {
                if let Some((old, _)) = pick(at).and_then(|id| self.routes.get_mut(&id)) {
                    old.clone_from(hosts);
                }
            }
            Edit::Any(hosts) => self.any.clone_from(hosts),
            Edit::Own(hosts) => self.own.clone_from(hosts),
            Edit::Reread => {
                self.routes.values_mut().for_each(|(_, route)| *route = Arc::new((**route).clone()));
            }
        }
    }
}

/// Where a rule's requests go, by name.
fn backends(snapshot: &Snapshot, rule: &Rule) -> Vec<(u64, Option<ClusterKey>)> {
    let Action::Forward(picker) = &rule.action else { return Vec::new() };
    let key = |destination: &Destination| match destination {
        Destination::Cluster(id) => snapshot.cluster(*id).cloned(),
        Destination::Fail(_) => None,
    };
    picker.targets().map(|(weight, target)| (weight, key(&target.destination))).collect()
}

fn hit(snapshot: &Snapshot, local: std::net::SocketAddr, request: &Request) -> Option<Arc<Rule>> {
    let bind = snapshot.bind(local)?;
    let mut regexes = WorkerRegexes::new(snapshot);
    request.view(|view| bind.route(view, &mut regexes).ok().map(|hit| Arc::clone(hit.rule)))
}

#[test]
fn edit_after_edit_requests_get_the_answer_of_tables_from_scratch() {
    let config = ProptestConfig { cases: WORLDS, failure_persistence: None, ..ProptestConfig::default() };
    let hosts = || subsequence(HOSTNAMES.to_vec(), 1..4);
    let world = (routed(), hosts(), option::of(hosts())).prop_map(|(routes, any, own)| {
        let mut world = World { routes: BTreeMap::new(), any, own };
        world.apply(&Edit::Put(routes));
        world
    });
    let steps = (world, vec((edit(), vec(requests(), REQUESTS)), EDITS));
    // Hits, hits of rules that were taken over, and snapshots with numbers out of order.
    let (hits, taken_over, renumbered) = (Cell::new(0), Cell::new(0), Cell::new(0));
    TestRunner::new(config)
        .run(&steps, |(mut world, steps)| {
            let mut previous = compile(&world.ir(), Generation(1));
            // Those of a worker that has not gone on to the new generation yet must do as well.
            let mut late = WorkerRegexes::new(&previous);
            for ((edit, requests), generation) in steps.iter().zip(2..) {
                let before = world.clone();
                world.apply(edit);
                let ir = world.ir();
                let next = compile_with(&ir, Generation(generation), Some(&previous));
                let scratch = compile(&ir, Generation(generation));
                let mut regexes = WorkerRegexes::new(&next);
                renumbered.set(renumbered.get() + usize::from(!next.clusters().is_sorted()));
                for (local, request) in requests {
                    let (want, _) = outcome_of(&ir, *local, request);
                    prop_assert_eq!(&from_tables(&next, &mut regexes, *local, request), &want);
                    prop_assert_eq!(&from_tables(&next, &mut late, *local, request), &want);
                    let words = |snapshot| request.view(|view| explain(snapshot, *local, Scheme::Http, view));
                    prop_assert_eq!(words(&next), words(&scratch));
                    let (Some(new), Some(fresh)) =
                        (hit(&next, *local, request), hit(&scratch, *local, request))
                    else {
                        continue;
                    };
                    hits.set(hits.get() + 1);
                    prop_assert_eq!(backends(&next, &new), backends(&scratch, &fresh));
                    let old = hit(&previous, *local, request)
                        .filter(|old| (&old.route, old.index) == (&new.route, new.index));
                    let of = |world: &World| {
                        world
                            .routes
                            .get(&new.route.id)
                            .and_then(|(_, route)| route.rules.get(new.index as usize).cloned())
                    };
                    if let Some(old) = old.filter(|_| of(&before) == of(&world)) {
                        taken_over.set(taken_over.get() + 1);
                        prop_assert!(Arc::ptr_eq(&old, &new), "{:?} was compiled again", new);
                    }
                }
                late = regexes;
                previous = next;
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    let seen = (hits.get(), taken_over.get(), renumbered.get());
    // Drawn anew each time: floors far below what any run has had.
    assert!(seen.0 > 3_000 && seen.1 > 2_000 && seen.2 > 100, "{seen:?}");
}

#[test]
fn when_most_clusters_are_gone_the_rest_are_numbered_anew() {
    let many = |count: usize| {
        let rules = (0..count).map(|number| {
            let key = ClusterKey::new(ObjectName::new("backends", format!("s{number:03}")), 80);
            let target = WeightedTarget::Cluster(key);
            let backend = WeightedBackend { weight: 1, target, filters: Vec::new() };
            HttpRule { action: IrAction::Forward(vec![backend]), ..rule(vec![prefix(&format!("/{number}"))]) }
        });
        gateway("", vec![(&[""], route("r", None, rules.collect()))])
    };
    let large = compile(&many(400), Generation(1));
    let half = compile_with(&many(200), Generation(2), Some(&large));
    assert_eq!(half.clusters().len(), 400, "numbers stay");
    let few = compile_with(&many(150), Generation(3), Some(&half));
    assert_eq!(few.clusters().len(), 150);
}
