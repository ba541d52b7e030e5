//! The cost of all expressions of one namespace.
//!
//! Routes go by age, then by name, expressions in the order in which they are written; an expression that a
//! namespace or route writes twice counts once. The first that does not fit ends it: it and all that come
//! after it in the route, or in the namespace, are refused and never built, so that the work is bounded as
//! well as the memory.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use gateway_api_types::ObjectKey;
use gateway_ir::RouteId;
use gateway_regex::{Expression, Library};

use super::{RegexLimits, bytes, demand};
use crate::age;
use crate::route::{self, Route as RouteObject, RouteRef};

/// The expressions of a namespace's routes in the order in which they are judged.
#[derive(Clone, Debug)]
pub struct Walk {
    limits: RegexLimits,
    routes: Vec<Route>,
    /// The refused expressions of each route that has any, once all verdicts are known.
    refused: BTreeMap<RouteId, Arc<BTreeMap<String, String>>>,
}

#[derive(Clone, Debug)]
struct Route {
    id: RouteId,
    source: Arc<dyn RouteObject>,
    /// Each text once.
    expressions: Vec<Arc<Expression>>,
}

/// Walks for every namespace with expressions; `routes` come in order of kind and key.
pub(super) fn by_namespace<'a>(
    routes: impl Iterator<Item = (&'a ObjectKey, RouteRef<'a>)>,
    library: &Library,
    limits: &RegexLimits,
) -> BTreeMap<String, Walk> {
    let mut all: BTreeMap<String, Walk> = BTreeMap::new();
    for (key, source) in routes.filter(|(_, route)| route.get().has_expressions()) {
        let mut seen = HashSet::new();
        let (rules, id) = (source.get().rules(), route::id(source.get().kind(), key));
        let texts =
            demand::expressions(rules.http()).map(|(_, _, text)| text).filter(|text| seen.insert(*text));
        let expressions = texts.map(|text| library.get(text)).collect();
        let empty = || Walk { limits: limits.clone(), routes: Vec::new(), refused: BTreeMap::new() };
        let walk = all.entry(key.namespace.clone()).or_insert_with(empty);
        walk.routes.push(Route { id, source: source.share(), expressions });
    }
    for walk in all.values_mut() {
        let age = |route: &Route| {
            let created = age::created(route.source.metadata());
            (created.is_none(), created)
        };
        // Without a time it is youngest, as everywhere; kinds and names are in order already.
        walk.routes.sort_by_key(age);
    }
    all
}

impl Walk {
    /// The first expression that decides something and is not built yet. `None` once every verdict is known.
    pub fn missing(&mut self) -> Option<Arc<Expression>> {
        let mut judge = Judge { limits: &self.limits, spent: 0, is_full: false, counted: HashSet::new() };
        let mut refused = BTreeMap::new();
        for route in &self.routes {
            match judge.route(route) {
                Err(missing) => return Some(missing),
                Ok(texts) if texts.is_empty() => {}
                Ok(texts) => drop(refused.insert(route.id.clone(), Arc::new(texts))),
            }
        }
        self.refused = refused;
        None
    }

    /// The routes that it is of.
    pub(super) fn routes(&self) -> impl Iterator<Item = &RouteId> {
        self.routes.iter().map(|route| &route.id)
    }

    /// True if both are of the same routes.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let pairs = || self.routes.iter().zip(&other.routes);
        self.routes.len() == other.routes.len()
            && pairs().all(|(one, other)| Arc::ptr_eq(&one.source, &other.source))
    }

    /// The refused expressions of each route that has any, and why.
    pub(super) fn refused(&self) -> impl Iterator<Item = (&RouteId, &Arc<BTreeMap<String, String>>)> {
        self.refused.iter()
    }
}

/// The cost so far.
struct Judge<'a> {
    limits: &'a RegexLimits,
    spent: usize,
    is_full: bool,
    /// Expressions that are paid for.
    counted: HashSet<&'a str>,
}

impl<'a> Judge<'a> {
    /// The refused expressions of a route, or the one whose cost has to be known first.
    fn route(&mut self, route: &'a Route) -> Result<BTreeMap<String, String>, Arc<Expression>> {
        let (mut refused, mut spent, mut is_full) = (BTreeMap::new(), 0, false);
        for expression in &route.expressions {
            let is_paid = self.counted.contains(expression.text());
            // With nothing left, there is nothing to find out.
            is_full |= spent >= self.limits.route;
            self.is_full |= self.spent >= self.limits.namespace;
            let why = if is_full || self.is_full && !is_paid {
                Some(if is_full { self.over_route(spent) } else { self.over_namespace() })
            } else {
                let Some(verdict) = expression.known() else { return Err(Arc::clone(expression)) };
                let cost = expression.cost();
                let total = self.spent + if is_paid { 0 } else { cost };
                if spent + cost > self.limits.route {
                    // Finding out was work, for which the namespace pays.
                    (is_full, self.spent) = (true, total);
                    Some(self.over_route(spent))
                } else if total > self.limits.namespace {
                    self.is_full = true;
                    Some(self.over_namespace())
                } else {
                    (spent, self.spent) = (spent + cost, total);
                    self.counted.insert(expression.text());
                    verdict.as_ref().err().map(ToString::to_string)
                }
            };
            refused.extend(why.map(|why| (expression.text().to_owned(), why)));
        }
        Ok(refused)
    }

    fn over_route(&self, spent: usize) -> String {
        format!(
            "the route's expressions before this one cost {} of {} (--regex-route-bytes), which is too much with it: \
             write simpler or fewer expressions, or split the route",
            bytes(spent),
            bytes(self.limits.route)
        )
    }

    fn over_namespace(&self) -> String {
        format!(
            "the expressions of the namespace's older routes cost {} of {} (--regex-namespace-bytes), which is too \
             much with this one: write simpler or fewer expressions",
            bytes(self.spent),
            bytes(self.limits.namespace)
        )
    }
}
