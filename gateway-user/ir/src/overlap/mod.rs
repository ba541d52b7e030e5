//! Matches of one host that are in each other's way: those that no request reaches, and those with which a
//! younger route takes requests from an older one of another namespace.
//!
//! All routes asked about are on the same host of the same listener, so they compete by
//! [`order`](crate::order) alone. Every report is certain; a conclusion that would take running an expression
//! or adding several matches up is left out. The cost is that of sorting the matches and of walking each
//! one's path once.

mod form;
mod tree;

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use crate::order::{Rank, precedence};
use crate::{Hostname, Route};
use form::Form;
use tree::{ByNamespace, FewestConditions, Tree};

/// A route on the host.
#[derive(Clone, Copy, Debug)]
pub struct HostRoute<'a> {
    /// The route.
    pub route: &'a Route,
    /// The hostname that the route wrote, if any: a more specific one goes first.
    pub original: Option<&'a Hostname>,
}

/// One match of one of the routes that were asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MatchIndex {
    /// Index of the route in the list.
    pub route: usize,
    /// Index of the rule in the route.
    pub rule: usize,
    /// Index of the match in the rule.
    pub position: usize,
}

/// The winner's match gets requests that the loser's match fits too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Overlap {
    /// The match that goes first.
    pub winner: MatchIndex,
    /// The match that comes after it.
    pub loser: MatchIndex,
}

/// The result of [`overlaps`], each list in the order of precedence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlaps {
    /// The winner gets every request that the loser fits. Each loser is in here once.
    pub unreachable: Vec<Overlap>,
    /// The winner is of a younger route in another namespace and gets some of the requests that the loser
    /// would get without it. Each winner is in here at most once; neither is unreachable.
    pub taken: Vec<Overlap>,
}

struct Entry<'a> {
    at: MatchIndex,
    rank: Rank<'a>,
    form: Form<'a>,
}

/// Finds the matches that are in each other's way.
pub fn overlaps(routes: &[HostRoute<'_>]) -> Overlaps {
    let entries = entries(routes);
    let unreachable = unreachable(&entries);
    let taken = if several_namespaces(&entries) { taken(&entries, &unreachable) } else { Vec::new() };
    let of = |(winner, loser): &(usize, usize)| {
        let at = |index: usize| entries.get(index).map(|entry| entry.at);
        Some(Overlap { winner: at(*winner)?, loser: at(*loser)? })
    };
    Overlaps {
        unreachable: unreachable.iter().filter_map(of).collect(),
        taken: taken.iter().filter_map(of).collect(),
    }
}

/// Every match that a request can fit, in order of precedence.
fn entries<'a>(routes: &[HostRoute<'a>]) -> Vec<Entry<'a>> {
    let mut entries = Vec::new();
    for (number, HostRoute { route, original }) in routes.iter().enumerate() {
        for (rule, spec) in route.http_rules().iter().enumerate() {
            for (position, matching) in spec.matches.iter().enumerate() {
                let Some(form) = Form::of(matching) else { continue };
                let age = (route.id(), route.created());
                // The host is the same for all, so its own rank decides nothing.
                let rank = Rank::new(None, *original, age, (rule, position), matching);
                entries.push(Entry { at: MatchIndex { route: number, rule, position }, rank, form });
            }
        }
    }
    entries.sort_by(|a, b| precedence(&a.rank, &b.rank));
    entries
}

fn several_namespaces(entries: &[Entry<'_>]) -> bool {
    let namespace = |entry: &Entry<'_>| entry.namespace().to_owned();
    let first = entries.first().map(namespace);
    entries.iter().any(|entry| Some(entry.namespace()) != first.as_deref())
}

/// Pairs of winner and loser. Among routes that wrote equally specific hostnames more specific paths and more
/// conditions go first, so only an equal match covers another; those that wrote less specific ones are behind
/// every path.
fn unreachable(entries: &[Entry<'_>]) -> Vec<(usize, usize)> {
    let tiers = entries.windows(2).any(|pair| matches!(pair, [a, b] if a.rank.original != b.rank.original));
    let walks = tiers || entries.iter().any(|entry| entry.form.path.takes_all());
    let mut equal: HashMap<&Form<'_>, usize> = HashMap::with_capacity(entries.len());
    let mut tree = Tree::new(FewestConditions);
    let mut found = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let same = equal.get(&entry.form).copied();
        let covers = |other: &usize| {
            entries.get(*other).is_some_and(|other| other.form.conditions.covers(&entry.form.conditions))
        };
        let above = || tree.above(&entry.form.path).filter(covers).min();
        match same.into_iter().chain(walks.then(above).flatten()).min() {
            Some(winner) => found.push((winner, index)),
            None => {
                if walks {
                    tree.insert(&entry.form.path, index, &entry.form.conditions);
                }
            }
        }
        equal.entry(&entry.form).or_insert(index);
    }
    found
}

/// Pairs of winner and loser, neither of them unreachable.
fn taken(entries: &[Entry<'_>], unreachable: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let unreachable: HashSet<usize> = unreachable.iter().map(|(_, loser)| *loser).collect();
    let mut later = Tree::new(ByNamespace);
    let mut found = Vec::new();
    for (index, entry) in entries.iter().enumerate().rev().filter(|(index, _)| !unreachable.contains(index)) {
        let mut candidates: Vec<usize> = later.above(&entry.form.path).collect();
        candidates.sort_unstable();
        let loser = candidates.into_iter().map_while(|other| Some((other, entries.get(other)?)));
        let mut loser = loser.filter(|(_, other)| other.form.conditions.meet(&entry.form.conditions));
        let found_one = loser.find_map(|(other, candidate)| {
            if entry.is_younger_stranger(candidate) {
                return Some(Some(other));
            }
            // It would get all of these requests without this match: nobody behind it loses any.
            candidate.form.conditions.covers(&entry.form.conditions).then_some(None)
        });
        found.extend(found_one.flatten().map(|loser| (index, loser)));
        later.insert(&entry.form.path, index, entry.namespace());
    }
    found.reverse();
    found
}

impl Entry<'_> {
    fn namespace(&self) -> &str {
        &self.rank.route.object.namespace
    }

    /// True if this match's route is of another namespace than the other's, and younger.
    fn is_younger_stranger(&self, other: &Self) -> bool {
        let age = |entry: &Self| (entry.rank.created.is_none(), entry.rank.created);
        let by_age = age(self).cmp(&age(other));
        let (own, others) = (&self.rank.route.object, &other.rank.route.object);
        self.namespace() != other.namespace()
            && by_age.then_with(|| own.alphabetical(others)) == Ordering::Greater
    }
}

#[cfg(test)]
mod tests;
