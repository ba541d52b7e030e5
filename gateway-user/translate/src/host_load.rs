//! The conditions that one request may have to be checked against, and the rules that are refused where it
//! would be more.
//!
//! A request is held against every match of its host whose path fits, until one holds. A tenant can put any
//! number of matches under one path, each with 32 conditions of which the last one fails: 635,000 matches of
//! 5,000 routes would hold a worker, and everybody it serves, for a second and more with each request.
//! Expressions have a budget of their own.
//!
//! The budget counts the conditions that one request can meet in the table of one host: those under its
//! path's first element, and those of matches that fit more than one (`/`, expressions, escapes). Where there
//! are more than the budget, the rules that are oldest by the API's own order keep it, and the others are
//! refused: they respond 500 to every request whose path fits, for a rule that denies must not stop matching.
//! A request is looked up in its host's table and in those of the wildcards above it, so each of them that
//! has conditions halves the budget of the wildcards below it: all of them together have three budgets at
//! most.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use gateway_api_types::{Condition, ConditionStatus, RouteStatus};
use gateway_ir::order::by_age;
use gateway_ir::{
    Action, Hostname, HttpRule, Ir, Listener, ListenerId, MatchHostname, PathMatch, Route, RouteId,
    RouteMatch, RuleError, RuleErrorKind,
};

use crate::reason::{self, condition, kind};

/// Most conditions that one request may meet on a host. Each takes some 60 ns with the fields of a browser's
/// request: 4 ms in all.
pub(crate) const CONDITIONS_MAX: usize = 1 << 16;

/// The rules that are over the budget, by route and place.
#[derive(Debug, Default)]
pub(crate) struct OverBudget(BTreeMap<RouteId, BTreeMap<usize, String>>);

/// One rule on one host.
struct Entry<'a> {
    route: &'a Route,
    rule: usize,
}

/// The conditions of a rule's matches.
pub(crate) fn conditions(rule: &HttpRule) -> usize {
    rule.matches.iter().map(of_match).sum()
}

fn of_match(one: &RouteMatch) -> usize {
    usize::from(one.method.is_some()) + usize::from(one.grpc.is_some()) + one.headers.len() + one.query.len()
}

/// The part of a path condition that one request's path shares with few others: its first element. `None`
/// where it may fit any path, or may be written otherwise.
fn first_element(path: &PathMatch) -> Option<&str> {
    let (PathMatch::Exact(path) | PathMatch::Prefix(path)) = path else { return None };
    let element = path.strip_prefix('/')?.split('/').next()?;
    (!element.is_empty() && !path.contains('%')).then_some(element)
}

/// Finds the rules that are over the budget of a host. `total` gives the number of a route's conditions. Where even all of a
/// listener's together are below it, which is nearly always, nothing else is looked at: that is known of those that are not
/// `heavy`.
pub(crate) fn over(ir: &Ir, heavy: &BTreeSet<&ListenerId>, total: impl Fn(&RouteId) -> usize) -> OverBudget {
    let mut refused = OverBudget::default();
    let mut seen = BTreeSet::new();
    let listeners = ir.binds.iter().flat_map(|bind| &bind.listeners);
    for listener in listeners.filter(|listener| heavy.contains(&listener.id)) {
        let on_hosts = |(route, hostnames): (&RouteId, &Arc<[MatchHostname]>)| total(route) * hostnames.len();
        if listener.routes.iter().map(on_hosts).sum::<usize>() > CONDITIONS_MAX && seen.insert(&listener.id) {
            refused.judge(ir, listener, &total);
        }
    }
    refused
}

impl OverBudget {
    fn judge(&mut self, ir: &Ir, listener: &Listener, total: impl Fn(&RouteId) -> usize) {
        let mut hosts: BTreeMap<Option<&Hostname>, Vec<&Arc<Route>>> = BTreeMap::new();
        for (id, hostnames) in listener.routes.iter().filter(|(id, _)| total(id) > 0) {
            let Some(route) = ir.routes.get(id) else { continue };
            for hostname in hostnames.iter() {
                hosts.entry(hostname.effective.as_ref()).or_default().push(route);
            }
        }
        for (host, routes) in &hosts {
            let budget = CONDITIONS_MAX >> above(*host, &hosts);
            if routes.iter().map(|route| total(route.id())).sum::<usize>() > budget {
                self.judge_host(*host, routes, budget);
            }
        }
    }

    /// Oldest first, as long as there is room.
    fn judge_host(&mut self, host: Option<&Hostname>, routes: &[&Arc<Route>], budget: usize) {
        let entries =
            routes.iter().flat_map(|route| (0..route.http_rules().len()).map(|rule| Entry { route, rule }));
        let mut entries: Vec<_> = entries.collect();
        entries.sort_by(|a, b| by_age(a.route, b.route).then_with(|| a.rule.cmp(&b.rule)));
        // Conditions that every request can meet, and those under each first element.
        let (mut common, mut most, mut under) = (0, 0, HashMap::<&str, usize>::new());
        for entry in entries {
            let Some(rule) = entry.route.http_rules().get(entry.rule) else { continue };
            let mut own: BTreeMap<Option<&str>, usize> = BTreeMap::new();
            for one in &rule.matches {
                *own.entry(first_element(&one.path)).or_default() += of_match(one);
            }
            let own_common = own.remove(&None).unwrap_or(0);
            let of = |element: &str, more: usize| under.get(element).copied().unwrap_or(0) + more;
            let own_most = own.iter().filter_map(|(element, more)| Some(of((*element)?, *more))).max();
            let new_most = own_most.unwrap_or(0).max(most);
            let needs = common + own_common + new_most;
            if needs > budget && conditions(rule) > 0 {
                let message = message(entry.rule, conditions(rule), host, needs, budget);
                self.0.entry(entry.route.id().clone()).or_default().insert(entry.rule, message);
                continue;
            }
            (common, most) = (common + own_common, new_most);
            for (element, more) in own {
                *under.entry(element.unwrap_or_default()).or_default() += more;
            }
        }
    }

    /// The routes of refused rules.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &RouteId> {
        self.0.keys()
    }

    /// Every refused rule.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&RouteId, usize, &str)> {
        self.0
            .iter()
            .flat_map(|(id, rules)| rules.iter().map(move |(rule, message)| (id, *rule, message.as_str())))
    }

    /// The status without them.
    pub(crate) fn apply(&self, ir: &mut Ir) {
        for (id, rules) in &self.0 {
            let Some(route) = ir.routes.get_mut(id) else { continue };
            let Route::Http(mut new) = Route::clone(route) else { continue };
            for (at, message) in rules {
                let Some(rule) = new.rules.get_mut(*at) else { continue };
                // Each path once.
                let mut paths = HashSet::new();
                rule.matches.retain(|one| paths.insert(one.path.clone()));
                for one in &mut rule.matches {
                    *one = RouteMatch { path: one.path.clone(), ..RouteMatch::default() };
                }
                rule.filters.clear();
                let failure = RuleError { kind: RuleErrorKind::InvalidRule, message: message.clone() };
                rule.action = Action::Fail(failure);
            }
            *route = Arc::new(new.into());
        }
    }

    /// The status of a route of so many rules, some of which are refused.
    pub(crate) fn tell(&self, id: &RouteId, rules: usize, status: &Arc<RouteStatus>) -> Arc<RouteStatus> {
        let Some(refused) = self.0.get(id) else { return Arc::clone(status) };
        let mut status = RouteStatus::clone(status);
        for parent in &mut status.parents {
            let Some(accepted) = parent.conditions.iter_mut().find(|one| one.type_ == kind::ACCEPTED) else {
                continue;
            };
            if accepted.status != ConditionStatus::True {
                continue;
            }
            let generation = accepted.observed_generation;
            let text = reason::list(refused.values().cloned());
            let of =
                |type_, status, text| condition(type_, status, reason::UNSUPPORTED_VALUE, text, generation);
            if refused.len() >= rules {
                *accepted = of(
                    kind::ACCEPTED,
                    ConditionStatus::False,
                    format!("{text}; requests are answered with 500"),
                );
                parent.conditions.retain(|one| one.type_ != kind::PARTIALLY_INVALID);
                continue;
            }
            let known = parent.conditions.iter_mut().find(|one| one.type_ == kind::PARTIALLY_INVALID);
            let message = match &known {
                Some(Condition { message, .. }) => reason::list([message.clone(), text]),
                None => format!("Dropped Rules (answered with 500 where they match): {text}"),
            };
            let new = of(kind::PARTIALLY_INVALID, ConditionStatus::True, message);
            match known {
                Some(known) => *known = new,
                None => parent.conditions.push(new),
            }
        }
        Arc::new(status)
    }

    /// True if nothing of a route of so many rules is served as written.
    pub(crate) fn is_whole(&self, id: &RouteId, rules: usize) -> bool {
        self.0.get(id).is_some_and(|refused| refused.len() >= rules)
    }
}

/// Number of host patterns that cover this one: each halves a wildcard's budget.
fn above(host: Option<&Hostname>, hosts: &BTreeMap<Option<&Hostname>, Vec<&Arc<Route>>>) -> u32 {
    let Some(Hostname::Wildcard(suffix)) = host else { return 0 };
    let wildcards = suffix.match_indices('.').filter_map(|(dot, _)| suffix.get(dot + 1..));
    let wider =
        wildcards.filter(|suffix| hosts.contains_key(&Some(&Hostname::Wildcard((*suffix).to_owned()))));
    let count = wider.count() + usize::from(hosts.contains_key(&None));
    u32::try_from(count).unwrap_or(u32::MAX).min(usize::BITS - 1)
}

fn message(rule: usize, conditions: usize, host: Option<&Hostname>, needs: usize, budget: usize) -> String {
    let host = host.map_or_else(|| "every host".to_owned(), |host| format!("\"{host}\""));
    format!(
        "rules[{rule}].matches: with its {conditions} conditions one request to {host} could have to be checked against {needs}, \
         and {budget} are allowed, oldest routes first; use fewer conditions, or paths that differ in their first element"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_above_a_wildcard_halve_its_budget() {
        let host = |text: &str| Hostname::parse(text).unwrap();
        let all = ["*.com", "*.b.com", "*.a.b.com", "x.b.com", "*.net"].map(host);
        let mut hosts: BTreeMap<_, _> = all.iter().map(|host| (Some(host), Vec::new())).collect();
        hosts.insert(None, Vec::new());
        let of = |text: &str| above(Some(&host(text)), &hosts);
        assert_eq!((of("*.com"), of("*.b.com"), of("*.a.b.com"), of("*.net")), (1, 2, 3, 1));
        assert_eq!((of("x.b.com"), above(None, &hosts)), (0, 0));
    }

    #[test]
    fn paths_are_told_apart_by_their_first_element() {
        let of = |path: PathMatch| first_element(&path).map(str::to_owned);
        assert_eq!(of(PathMatch::Exact("/a/b".into())).as_deref(), Some("a"));
        assert_eq!(of(PathMatch::Prefix("/a".into())).as_deref(), Some("a"));
        for any in
            [PathMatch::Prefix("/".into()), PathMatch::Exact("/%61".into()), PathMatch::Regex("/a".into())]
        {
            assert_eq!(of(any), None);
        }
    }
}
