//! Routes that compete for the requests of one host on one listener, and what there is to tell of it.
//!
//! The result depends on the routes alone and on how specific the hostnames are that they wrote, so it is
//! found out once however many hosts and listeners have the same routes, and all of those hold one result
//! (decision 174).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use gateway_ir::order::HostRank;
use gateway_ir::overlap::{HostRoute, MatchIndex, Overlap, overlaps};
use gateway_ir::{Hostname, PathMatch, Route, RouteId};

use super::examine::{NOTES_MAX, Note, RuleName};
use super::{Original, Placed};

/// Findings where these routes are together.
#[derive(Debug, Default)]
pub(super) struct Contest {
    /// By route.
    notes: Vec<(RouteId, Note)>,
    /// Rules with a match that no request reaches.
    pub(super) unreachable_rules: usize,
    /// Rules with a match that takes requests from an older route of another namespace.
    pub(super) taking_rules: usize,
}

/// The contests of one examination of hosts.
#[derive(Debug, Default)]
pub(super) struct Contests(HashMap<Box<[Claimant]>, Arc<Contest>>);

/// A route, by where it is in memory, and how specific a hostname it wrote.
type Claimant = (*const Route, Standing);

/// Specificity of the hostname that a route wrote, beside those of other routes on the same host: the host
/// itself goes before all that cover it.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Standing {
    Same,
    Wider(HostRank),
    Unnamed,
}

impl Contests {
    /// The result for routes that requests for the host reach on one listener; `None` if that is nothing.
    /// `here` is in the order of routes, which stay in memory as long as this does.
    pub(super) fn of(&mut self, host: Option<&Hostname>, here: &[&Placed]) -> Option<Arc<Contest>> {
        if let [only] = here
            && only.route.http_rules().iter().map(|rule| rule.matches.len()).sum::<usize>() < 2
        {
            return None;
        }
        let key = here.iter().map(|placed| (Arc::as_ptr(&placed.route), placed.original.standing()));
        let contest = self.0.entry(key.collect()).or_insert_with(|| Arc::new(Contest::of(host, here)));
        (!contest.is_nothing()).then(|| Arc::clone(contest))
    }
}

impl Contest {
    fn of(host: Option<&Hostname>, here: &[&Placed]) -> Self {
        let asked: Vec<_> = here.iter().map(|placed| placed.asked(host)).collect();
        let found = overlaps(&asked);
        let mut contest = Self::default();
        contest.unreachable(here, &found.unreachable);
        contest.taken(here, &found.taken);
        contest.notes.sort();
        contest.notes.shrink_to_fit();
        contest
    }

    fn is_nothing(&self) -> bool {
        self.notes.is_empty() && self.unreachable_rules == 0 && self.taking_rules == 0
    }

    /// Findings about a route.
    pub(super) fn notes_of<'a>(&'a self, route: &'a RouteId) -> impl Iterator<Item = &'a Note> {
        let from = self.notes.partition_point(|(other, _)| other < route);
        let notes = self.notes.iter().skip(from).take_while(move |(other, _)| other == route);
        notes.map(|(_, note)| note)
    }

    /// The routes that there is something to tell of.
    pub(super) fn routes(&self) -> impl Iterator<Item = &RouteId> {
        self.notes.iter().map(|(route, _)| route)
    }

    fn unreachable(&mut self, here: &[&Placed], found: &[Overlap]) {
        // By rule: its matches that no request reaches.
        let mut rules: BTreeMap<(usize, usize), Vec<&Overlap>> = BTreeMap::new();
        for one in found {
            rules.entry((one.loser.route, one.loser.rule)).or_default().push(one);
        }
        self.unreachable_rules += rules.len();
        for ((route, rule), all) in rules.into_iter().take(NOTES_MAX) {
            let (Some(placed), Some(first)) = (here.get(route), all.first()) else { continue };
            let Some(by) = rule_name(here, first.winner) else { continue };
            let whole =
                placed.route.http_rules().get(rule).is_some_and(|spec| spec.matches.len() == all.len());
            let position = (!whole).then_some(first.loser.position);
            self.add(placed, Note::Unreachable { rule, position, by });
        }
    }

    fn taken(&mut self, here: &[&Placed], found: &[Overlap]) {
        let rules: BTreeSet<_> = found.iter().map(|one| (one.winner.route, one.winner.rule)).collect();
        self.taking_rules += rules.len();
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

    fn add(&mut self, placed: &Placed, note: Note) {
        self.notes.push((placed.route.id().clone(), note));
    }
}

impl Original {
    fn standing(&self) -> Standing {
        match self {
            Self::Same => Standing::Same,
            Self::Wider(other) => Standing::Wider(HostRank::of(Some(other))),
            Self::Unnamed => Standing::Unnamed,
        }
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
    let matching = route.http_rules().get(at.rule)?.matches.get(at.position)?;
    let path = match &matching.path {
        PathMatch::Exact(path) => format!("Exact {path}"),
        PathMatch::Prefix(path) => format!("PathPrefix {path}"),
        PathMatch::Regex(text) => format!("RegularExpression {text}"),
    };
    Some(RuleName { route: route.id().clone(), rule: at.rule, path })
}
