//! One host: which routes are in each other's way on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gateway_ir::{Hostname, ListenerId, RouteId};

use super::contest::{Contest, Contests};
use super::listeners::{Listeners, Place};
use super::ownership::{Owner, oldest};
use super::{HostTotals, Original, Placed};

/// Most notes of one sort that a host has: a host with a thousand routes may have a million pairs.
pub(super) const NOTES_MAX: usize = 16;

/// The notes on one host.
#[derive(Debug, Default)]
pub(super) struct HostVerdict {
    /// The owner, where hosts have owners.
    pub(super) owner: Option<Owner>,
    /// By route and place.
    notes: Vec<HostNote>,
    /// Results for the rules of the routes at a place, by place; shared with all places that have the same
    /// routes.
    contests: BTreeMap<Place, Arc<Contest>>,
    pub(super) totals: HostTotals,
}

/// The notes for one route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct HostNote {
    route: RouteId,
    place: Place,
    note: Note,
}

/// Something about a route on a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Note {
    /// No request for the host reaches the route on its listener, because this one has a more specific
    /// hostname.
    OtherListener(ListenerId),
    /// No request reaches the match, or the rule if `position` is `None`.
    Unreachable { rule: usize, position: Option<usize>, by: RuleName },
    /// The rule takes requests from this one of an older route in another namespace.
    Takes { rule: usize, path: String, from: RuleName },
    /// This rule of a younger route in another namespace takes requests from the rule.
    Loses { rule: usize, path: String, to: RuleName },
    /// The route is of another namespace than this older one on the same host.
    Shares(RouteId),
    /// The route is the oldest, and this younger one is of another namespace.
    SharedBy(RouteId),
    /// The route is the owner's only one on the host; without it the host is this one's.
    LastOfOwner(RouteId),
}

/// A rule of another route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RuleName {
    pub(super) route: RouteId,
    pub(super) rule: usize,
    /// `Exact /login`.
    pub(super) path: String,
}

impl HostVerdict {
    /// `None` if there is nothing to tell. Without an owner every namespace's routes are served.
    pub(super) fn of(
        host: Option<&Hostname>,
        routes: &[Placed],
        listeners: &Listeners,
        owner: Option<Owner>,
        contests: &mut Contests,
    ) -> Option<Self> {
        let mut verdict = Self { owner, ..Self::default() };
        let owner = verdict.owner.clone();
        let may_serve = |placed: &&Placed| owner.as_ref().is_none_or(|owner| owner.has(placed.namespace()));
        let served: Vec<&Placed> = routes.iter().filter(may_serve).collect();
        if served.len() < routes.len() {
            verdict.refusals(routes, &served);
        } else {
            // An owner to whom nobody else's route is refused makes no difference.
            verdict.owner = None;
        }
        let mut by_place: BTreeMap<Place, Vec<&Placed>> = BTreeMap::new();
        served.iter().for_each(|placed| by_place.entry(placed.place).or_default().push(placed));
        for (place, here) in &by_place {
            let instead = listeners.instead_of(*place, host);
            if instead.is_empty() {
                verdict.contest(*place, contests.of(host, here));
                verdict.sharing(host, here);
            } else {
                verdict.elsewhere(here, &instead, &by_place, listeners);
            }
        }
        verdict.totals.shared = verdict.totals.shared.min(1);
        verdict.notes.sort();
        let told = !verdict.notes.is_empty() || !verdict.contests.is_empty();
        let silent = !told && verdict.owner.is_none() && verdict.totals == HostTotals::default();
        (!silent).then_some(verdict)
    }

    /// Findings about a route at a place.
    pub(super) fn notes_of<'a>(&'a self, route: &'a RouteId, place: Place) -> impl Iterator<Item = &'a Note> {
        let key = (route, place);
        let from = self.notes.partition_point(|one| (&one.route, one.place) < key);
        let here = self.notes.iter().skip(from).take_while(move |one| (&one.route, one.place) == key);
        let contest = self.contests.get(&place).into_iter().flat_map(|contest| contest.notes_of(route));
        here.map(|one| &one.note).chain(contest)
    }

    /// The routes that there is something to tell of.
    pub(super) fn routes(&self) -> impl Iterator<Item = &RouteId> {
        let contests = self.contests.values().flat_map(|contest| contest.routes());
        self.notes.iter().map(|one| &one.route).chain(contests)
    }

    /// Routes that the host is refused to, and what becomes of it without the owner's.
    fn refusals(&mut self, routes: &[Placed], served: &[&Placed]) {
        let Some(owner) = self.owner.clone() else { return };
        let refused = || routes.iter().filter(|placed| !owner.has(placed.namespace()));
        self.totals.refused_routes = refused().map(|placed| placed.route.id()).collect::<BTreeSet<_>>().len();
        let heir = oldest(refused().filter(|placed| placed.original != Original::Unnamed));
        let routes: BTreeSet<_> = served.iter().map(|placed| placed.route.id()).collect();
        if let (Some(_), Some(heir), 1, Some(last)) = (&owner.by, heir, routes.len(), served.first()) {
            self.add(last, Note::LastOfOwner(heir.route.id().clone()));
        }
    }

    /// Rules of routes of one listener that requests reach.
    fn contest(&mut self, place: Place, contest: Option<Arc<Contest>>) {
        if let Some(contest) = contest {
            self.totals.unreachable_rules += contest.unreachable_rules;
            self.totals.taking_rules += contest.taking_rules;
            self.contests.insert(place, contest);
        }
    }

    /// Of each further namespace the oldest route is told of the oldest of all. A host that nobody names is
    /// shared by nature.
    fn sharing(&mut self, host: Option<&Hostname>, here: &[&Placed]) {
        let mut oldest_of: BTreeMap<&str, &Placed> = BTreeMap::new();
        for placed in here {
            let known = oldest_of.entry(placed.namespace()).or_insert(placed);
            if placed.is_older(known) {
                *known = placed;
            }
        }
        if oldest_of.len() < 2 || host.is_none() {
            return;
        }
        self.totals.shared += 1;
        let mut by_age: Vec<&Placed> = oldest_of.into_values().collect();
        by_age.sort_by(
            |a, b| if a.is_older(b) { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater },
        );
        let Some((first, others)) = by_age.split_first() else { return };
        if let Some(second) = others.first() {
            self.add(first, Note::SharedBy(second.route.id().clone()));
        }
        for other in others.iter().take(NOTES_MAX) {
            self.add(other, Note::Shares(first.route.id().clone()));
        }
    }

    /// Routes of a listener whose requests for the host go to others.
    fn elsewhere(
        &mut self,
        here: &[&Placed],
        instead: &[Place],
        by_place: &BTreeMap<Place, Vec<&Placed>>,
        listeners: &Listeners,
    ) {
        let is_there = |placed: &Placed, place: &Place| {
            let there = by_place.get(place).map(Vec::as_slice).unwrap_or_default();
            there.binary_search_by(|other| other.route.id().cmp(placed.route.id())).is_ok()
        };
        let Some(listener) = instead.first().and_then(|place| listeners.id(*place)) else { return };
        let mut told = 0;
        for placed in here.iter().filter(|placed| !instead.iter().any(|place| is_there(placed, place))) {
            self.totals.unreachable_rules += placed.route.http_rules().len();
            told += 1;
            if told <= NOTES_MAX {
                self.add(placed, Note::OtherListener(listener.clone()));
            }
        }
    }

    fn add(&mut self, placed: &Placed, note: Note) {
        let route = placed.route.id().clone();
        self.notes.push(HostNote { route, place: placed.place, note });
    }
}
