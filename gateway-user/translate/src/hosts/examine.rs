//! One host: which routes are in each other's way on it.

use std::collections::{BTreeMap, BTreeSet};

use gateway_ir::overlap::{HostRoute, MatchIndex, Overlap, overlaps};
use gateway_ir::{Hostname, ListenerId, ObjectName, PathMatch};

use super::listeners::{Listeners, Place};
use super::ownership::{Owner, oldest};
use super::{HostTotals, Original, Placed};

/// How many notes of one sort a host has at most: a host with a thousand routes may have a million pairs.
const NOTES_MAX: usize = 16;

/// What there is to tell of one host.
#[derive(Debug, Default)]
pub(super) struct HostVerdict {
    /// Whose it is, where hosts have owners.
    pub(super) owner: Option<Owner>,
    /// By route and place.
    pub(super) notes: Vec<HostNote>,
    pub(super) totals: HostTotals,
}

/// What there is to tell one route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HostNote {
    pub(super) route: ObjectName,
    pub(super) place: Place,
    pub(super) note: Note,
}

/// Something about a route on a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Note {
    /// No request for the host reaches the route on its listener, because this one has a more specific hostname.
    OtherListener(ListenerId),
    /// No request reaches the match, or the rule if `position` is `None`.
    Unreachable { rule: usize, position: Option<usize>, by: RuleName },
    /// The rule takes requests from this one of an older route in another namespace.
    Takes { rule: usize, path: String, from: RuleName },
    /// This rule of a younger route in another namespace takes requests from the rule.
    Loses { rule: usize, path: String, to: RuleName },
    /// The route is of another namespace than this older one on the same host.
    Shares(ObjectName),
    /// The route is the oldest, and this younger one is of another namespace.
    SharedBy(ObjectName),
    /// The route is the owner's only one on the host; without it the host is this one's.
    LastOfOwner(ObjectName),
}

/// A rule of another route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RuleName {
    pub(super) route: ObjectName,
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
                verdict.contest(host, here);
                verdict.sharing(host, here);
            } else {
                verdict.elsewhere(here, &instead, &by_place, listeners);
            }
        }
        verdict.totals.shared = verdict.totals.shared.min(1);
        verdict.notes.sort();
        let silent =
            verdict.notes.is_empty() && verdict.owner.is_none() && verdict.totals == HostTotals::default();
        (!silent).then_some(verdict)
    }

    /// Routes that the host is refused to, and what becomes of it without the owner's.
    fn refusals(&mut self, routes: &[Placed], served: &[&Placed]) {
        let Some(owner) = self.owner.clone() else { return };
        let refused = || routes.iter().filter(|placed| !owner.has(placed.namespace()));
        self.totals.refused_routes = refused().map(|placed| &placed.route.id).collect::<BTreeSet<_>>().len();
        let heir = oldest(refused().filter(|placed| placed.original != Original::Unnamed));
        let routes: BTreeSet<_> = served.iter().map(|placed| &placed.route.id).collect();
        if let (Some(_), Some(heir), 1, Some(last)) = (&owner.by, heir, routes.len(), served.first()) {
            self.add(last, Note::LastOfOwner(heir.route.id.object.clone()));
        }
    }

    /// Routes of one listener that requests reach.
    fn contest(&mut self, host: Option<&Hostname>, here: &[&Placed]) {
        if let [only] = here
            && only.route.rules.iter().map(|rule| rule.matches.len()).sum::<usize>() < 2
        {
            return;
        }
        let asked: Vec<_> = here.iter().map(|placed| placed.asked(host)).collect();
        let found = overlaps(&asked);
        self.unreachable(here, &found.unreachable);
        self.taken(here, &found.taken);
    }

    fn unreachable(&mut self, here: &[&Placed], found: &[Overlap]) {
        // By rule: its matches that no request reaches.
        let mut rules: BTreeMap<(usize, usize), Vec<&Overlap>> = BTreeMap::new();
        for one in found {
            rules.entry((one.loser.route, one.loser.rule)).or_default().push(one);
        }
        self.totals.unreachable_rules += rules.len();
        for ((route, rule), all) in rules.into_iter().take(NOTES_MAX) {
            let (Some(placed), Some(first)) = (here.get(route), all.first()) else { continue };
            let Some(by) = rule_name(here, first.winner) else { continue };
            let whole = placed.route.rules.get(rule).is_some_and(|spec| spec.matches.len() == all.len());
            let position = (!whole).then_some(first.loser.position);
            self.add(placed, Note::Unreachable { rule, position, by });
        }
    }

    fn taken(&mut self, here: &[&Placed], found: &[Overlap]) {
        let rules: BTreeSet<_> = found.iter().map(|one| (one.winner.route, one.winner.rule)).collect();
        self.totals.taking_rules += rules.len();
        let mut pairs = BTreeSet::new();
        let first_of_pair = found.iter().filter(|one| pairs.insert((one.winner.route, one.loser.route)));
        for one in first_of_pair.take(NOTES_MAX) {
            let (Some(younger), Some(older)) = (here.get(one.winner.route), here.get(one.loser.route)) else {
                continue;
            };
            let (Some(to), Some(from)) = (rule_name(here, one.winner), rule_name(here, one.loser)) else {
                continue;
            };
            self.add(younger, Note::Takes { rule: to.rule, path: to.path.clone(), from: from.clone() });
            self.add(older, Note::Loses { rule: from.rule, path: from.path, to });
        }
    }

    /// Of each further namespace the oldest route is told of the oldest of all. A host that nobody names is shared by
    /// nature.
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
            self.add(first, Note::SharedBy(second.route.id.object.clone()));
        }
        for other in others.iter().take(NOTES_MAX) {
            self.add(other, Note::Shares(first.route.id.object.clone()));
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
            there.binary_search_by(|other| other.route.id.cmp(&placed.route.id)).is_ok()
        };
        let Some(listener) = instead.first().and_then(|place| listeners.id(*place)) else { return };
        let mut told = 0;
        for placed in here.iter().filter(|placed| !instead.iter().any(|place| is_there(placed, place))) {
            self.totals.unreachable_rules += placed.route.rules.len();
            told += 1;
            if told <= NOTES_MAX {
                self.add(placed, Note::OtherListener(listener.clone()));
            }
        }
    }

    fn add(&mut self, placed: &Placed, note: Note) {
        let route = placed.route.id.object.clone();
        self.notes.push(HostNote { route, place: placed.place, note });
    }
}

impl Placed {
    fn asked<'a>(&'a self, host: Option<&'a Hostname>) -> HostRoute<'a> {
        let original = match &self.original {
            Original::Same => host,
            Original::Unnamed => None,
            Original::Wider(other) => Some(&**other),
        };
        HostRoute { route: &self.route, original }
    }
}

fn rule_name(here: &[&Placed], at: MatchIndex) -> Option<RuleName> {
    let route = &here.get(at.route)?.route;
    let matching = route.rules.get(at.rule)?.matches.get(at.position)?;
    let path = match &matching.path {
        PathMatch::Exact(path) => format!("Exact {path}"),
        PathMatch::Prefix(path) => format!("PathPrefix {path}"),
        PathMatch::Regex(text) => format!("RegularExpression {text}"),
    };
    Some(RuleName { route: route.id.object.clone(), rule: at.rule, path })
}
