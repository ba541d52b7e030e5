//! Reports of matches that are in each other's way, against the slow rival: a match that is called
//! unreachable takes no request, and every request that it fits fits the match that is named for it too.

mod support;

use std::cell::Cell;
use std::collections::BTreeMap;

use gateway_ir::order::HostRank;
use gateway_ir::overlap::{HostRoute, MatchIndex, Overlaps, overlaps};
use gateway_ir::{BindAddress, Hostname, Ir, Listener, Route, RouteMatch};
use proptest::collection::vec;
use proptest::prelude::*;
use support::Request;
use support::random::{irs, requests};
use support::rival::{Outcome, holds, outcome_of};

const IRS: u32 = 1_000;
const REQUESTS: usize = 24;

/// A host of a listener, its routes, and what is said of them.
struct OnHost<'a> {
    routes: Vec<HostRoute<'a>>,
    said: Overlaps,
}

type Host<'a> = Option<&'a Hostname>;

fn hosts<'a>(ir: &'a Ir, listener: &'a Listener) -> BTreeMap<Host<'a>, OnHost<'a>> {
    let mut hosts: BTreeMap<Host<'a>, Vec<HostRoute<'a>>> = BTreeMap::new();
    for (id, hostnames) in &listener.routes {
        let route = &*ir.routes[id];
        // Of several originals with one effective hostname the most specific counts.
        let mut best: BTreeMap<Host<'_>, Host<'_>> = BTreeMap::new();
        for name in hostnames.iter() {
            let original = best.entry(name.effective.as_ref()).or_insert(name.original.as_ref());
            *original = (*original).min_by_rank(name.original.as_ref());
        }
        for (effective, original) in best {
            hosts.entry(effective).or_default().push(HostRoute { route, original });
        }
    }
    hosts.into_iter().map(|(host, routes)| (host, OnHost { said: overlaps(&routes), routes })).collect()
}

trait ByRank {
    fn min_by_rank(self, other: Self) -> Self;
}

impl ByRank for Host<'_> {
    fn min_by_rank(self, other: Self) -> Self {
        if HostRank::of(other) < HostRank::of(self) { other } else { self }
    }
}

impl OnHost<'_> {
    fn matching(&self, at: MatchIndex) -> &RouteMatch {
        &self.route(at).http_rules()[at.rule].matches[at.position]
    }

    fn route(&self, at: MatchIndex) -> &Route {
        self.routes[at.route].route
    }

    fn fits(&self, at: MatchIndex, request: &Request) -> bool {
        holds(self.matching(at), request).is_ok()
    }

    /// True if the rival gives a request that reached this host to this match.
    fn takes(&self, at: MatchIndex, outcome: &Outcome) -> bool {
        matches!(outcome, Outcome::Hit { route, rule, position, .. }
            if route == self.route(at).id() && (*rule, *position) == (at.rule, at.position))
    }
}

/// How often something that was said could have been wrong.
#[derive(Debug, Default)]
struct Checked {
    unreachable: Cell<usize>,
    taken: Cell<usize>,
    hits: Cell<usize>,
}

fn check(
    on_host: &OnHost<'_>,
    request: &Request,
    outcome: Option<&Outcome>,
    checked: &Checked,
) -> Result<(), TestCaseError> {
    let count = |cell: &Cell<usize>| cell.set(cell.get() + 1);
    for one in &on_host.said.unreachable {
        if on_host.fits(one.loser, request) {
            count(&checked.unreachable);
            prop_assert!(
                on_host.fits(one.winner, request),
                "{:?} is not beaten by {:?}",
                one.loser,
                one.winner
            );
        }
        if let Some(outcome) = outcome {
            prop_assert!(!on_host.takes(one.loser, outcome), "{:?} is reached by {request:?}", one.loser);
        }
    }
    for one in &on_host.said.taken {
        let (younger, older) = (on_host.route(one.winner), on_host.route(one.loser));
        prop_assert_ne!(&younger.id().object.namespace, &older.id().object.namespace);
        if on_host.fits(one.winner, request) && on_host.fits(one.loser, request) {
            count(&checked.taken);
            if let Some(outcome) = outcome {
                prop_assert!(!on_host.takes(one.loser, outcome), "{:?} is not taken from", one.loser);
            }
        }
    }
    Ok(())
}

#[test]
fn what_is_said_of_overlapping_matches_holds_for_every_request() {
    let config = ProptestConfig { cases: IRS, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let checked = Checked::default();
    runner
        .run(&(irs(), vec(requests(), REQUESTS)), |(ir, requests)| {
            let listeners: Vec<_> = ir.binds.iter().flat_map(|bind| &bind.listeners).collect();
            let hosts: Vec<_> = listeners.iter().map(|listener| (listener, hosts(&ir, listener))).collect();
            for (local, request) in &requests {
                let (found, _) = outcome_of(&ir, *local, request);
                // Two binds have listeners of the same names; an address of its own wins.
                let on =
                    |address| ir.binds.iter().find(|one| one.port == local.port() && one.address == address);
                let bind = on(BindAddress::Ip(local.ip())).or_else(|| on(BindAddress::Any));
                // The host that the hit is of: the most specific one of its route.
                let hit = match (&found, bind) {
                    (Outcome::Hit { listener, route, .. }, Some(bind)) => {
                        checked.hits.set(checked.hits.get() + 1);
                        let of = bind.listeners.iter().find(|one| one.id == *listener).unwrap();
                        let names = &of.routes[route];
                        let covering = names.iter().map(|name| name.effective.as_ref());
                        let covering =
                            covering.filter(|name| name.is_none_or(|name| name.matches(&request.host)));
                        Some((of, covering.min_by_key(|name| HostRank::of(*name)).unwrap()))
                    }
                    _ => None,
                };
                for (listener, on_hosts) in &hosts {
                    for (host, on_host) in on_hosts {
                        let reached =
                            hit.is_some_and(|(of, name)| std::ptr::eq(of, **listener) && name == *host);
                        check(on_host, request, reached.then_some(&found), &checked)?;
                    }
                }
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    // Far below what chance draws, which is some thousands of each.
    let enough = checked.unreachable.get() > 300 && checked.taken.get() > 300 && checked.hits.get() > 300;
    assert!(enough, "{checked:?}");
}
