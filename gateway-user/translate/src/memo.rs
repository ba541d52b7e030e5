//! Routes as they were translated, kept with the reads that they depend on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gateway_api_types::ResourceSet;
use gateway_ir::RouteId;

use crate::changes::Changes;
use crate::diagnostics::Diagnostics;
use crate::price::{Prices, RejectedParts};
use crate::read::{Read, Reader};
use crate::route::{self, OwnRoute, Route, RouteState};
use crate::status::MissingGateway;

/// Every route, by kind, namespace and name.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    memos: BTreeMap<RouteId, RouteMemo>,
    few: Few,
}

/// Routes that every update looks at, whatever was edited. Most are in none of these.
#[derive(Debug, Default)]
struct Few {
    /// Those with diagnostics.
    told: BTreeSet<RouteId>,
    /// Those that name a Gateway that does not exist, nearly one of ours.
    missing: BTreeSet<RouteId>,
    /// Those of ours with expressions.
    demanding: BTreeSet<RouteId>,
    /// Those with refused expressions or rules.
    refused: BTreeSet<RouteId>,
}

#[derive(Debug)]
struct RouteMemo {
    reads: Box<[Read]>,
    refusals: RejectedParts,
    state: RouteState,
}

/// A route that may be another one than before.
#[derive(Debug)]
pub(crate) struct Edited {
    pub(crate) id: RouteId,
    /// The previous result.
    pub(crate) before: Option<OwnRoute>,
    /// True if it was translated; else it is gone.
    pub(crate) is_translated: bool,
}

impl Routes {
    /// Translates those that changed, or read what changed. `reader` makes a reader for each.
    pub(crate) fn update<'v, 'a: 'v>(
        &mut self,
        changes: &Changes,
        resources: &ResourceSet,
        controller: &str,
        prices: &Prices,
        reader: impl Fn() -> Reader<'v, 'a>,
    ) -> Vec<Edited> {
        let mut stale = changes.routes.clone();
        stale.extend(self.judged_anew(prices));
        if !changes.reads.is_empty() {
            let readers = self.memos.iter().filter(|(_, memo)| changes.concern(&memo.reads));
            stale.extend(readers.map(|(key, _)| key.clone()));
        }
        stale.sort();
        stale.dedup();
        let mut edited = Vec::with_capacity(stale.len());
        for id in stale {
            let Some(object) = route::find(resources, &id) else {
                let before = self.memos.remove(&id).and_then(|memo| memo.state.own);
                self.few.note(&id, None);
                edited.push(Edited { id, before, is_translated: false });
                continue;
            };
            // The scan budget is checked when all routes are there; most often with the result of before.
            let rules = self.memos.get(&id).map(|memo| memo.refusals.rules.clone()).unwrap_or_default();
            let refusals = RejectedParts { texts: prices.refused(&id), rules };
            edited.push(self.translate(id, object, controller, refusals, reader()));
        }
        if edited.len() > self.memos.len() / 2 {
            // Nodes of a map that grew in order are half empty; those of one that is made at once are full.
            self.memos = std::mem::take(&mut self.memos).into_iter().collect();
        }
        edited
    }

    /// Those that name a Gateway that does not exist, nearly one of ours.
    pub(crate) fn missing_gateways(&self) -> impl Iterator<Item = (RouteId, MissingGateway)> {
        self.few.missing.iter().filter_map(|id| {
            let missing = self.memos.get(id)?.state.missing.as_deref()?;
            Some((id.clone(), missing.clone()))
        })
    }

    /// One with a parent of ours.
    pub(crate) fn find(&self, id: &RouteId) -> Option<&OwnRoute> {
        self.memos.get(id)?.state.own.as_ref()
    }

    /// Translates those again whose rules may now have other expressions tried than before.
    pub(crate) fn refuse<'v, 'a: 'v>(
        &mut self,
        mut refused: BTreeMap<RouteId, BTreeMap<usize, String>>,
        resources: &ResourceSet,
        controller: &str,
        reader: impl Fn() -> Reader<'v, 'a>,
    ) -> Vec<Edited> {
        for key in &self.few.refused {
            if !refused.contains_key(key) {
                refused.insert(key.clone(), BTreeMap::new());
            }
        }
        let mut edited = Vec::new();
        for (key, rules) in refused {
            let Some((memo, object)) = self.memos.get(&key).zip(route::find(resources, &key)) else {
                continue;
            };
            if memo.refusals.rules != rules {
                let refusals = RejectedParts { rules, ..memo.refusals.clone() };
                edited.push(self.translate(key, object, controller, refusals, reader()));
            }
        }
        edited
    }

    fn translate(
        &mut self,
        id: RouteId,
        object: &dyn Route,
        controller: &str,
        refusals: RejectedParts,
        reader: Reader<'_, '_>,
    ) -> Edited {
        let mut state = route::evaluate(&reader, controller, object, &refusals);
        let memo = self.memos.get(&id);
        if let (Some(new), Some(old)) = (&mut state.own, memo.and_then(|memo| memo.state.own.as_ref())) {
            new.share(old);
        }
        let new = RouteMemo { reads: reader.into_reads(), refusals, state };
        self.few.note(&id, Some(&new));
        let memo = self.memos.insert(id.clone(), new);
        Edited { id, before: memo.and_then(|memo| memo.state.own), is_translated: true }
    }

    /// Routes that may not have the expressions that they had, or the other way round.
    fn judged_anew(&self, prices: &Prices) -> Vec<RouteId> {
        let differs = |key: &&RouteId| {
            self.memos.get(*key).is_some_and(|memo| memo.refusals.texts != prices.refused(key))
        };
        self.few.refused.iter().chain(prices.routes()).filter(differs).cloned().collect()
    }

    /// The diagnostics of all of them, by route.
    pub(crate) fn diagnostics(&self) -> impl Iterator<Item = &Diagnostics> {
        self.few.told.iter().filter_map(|id| Some(&self.memos.get(id)?.state.diagnostics))
    }

    /// Those with a parent of ours.
    pub(crate) fn own(&self) -> impl Iterator<Item = &OwnRoute> {
        self.memos.values().filter_map(|memo| memo.state.own.as_ref())
    }

    /// Those with a parent of ours that have expressions.
    pub(crate) fn demanding(&self) -> impl Iterator<Item = &OwnRoute> {
        self.few.demanding.iter().filter_map(|id| self.find(id))
    }
}

impl Few {
    /// Takes note of a route as it is now; `None` if it is gone.
    fn note(&mut self, id: &RouteId, memo: Option<&RouteMemo>) {
        let has_texts = |memo: &RouteMemo| !memo.refusals.texts.is_empty();
        let has_rules = |memo: &RouteMemo| !memo.refusals.rules.is_empty();
        let demands = |memo: &RouteMemo| memo.state.own.as_ref().is_some_and(|own| !own.demands.is_empty());
        for (set, belongs) in [
            (&mut self.told, memo.is_some_and(|memo| !memo.state.diagnostics.is_empty())),
            (&mut self.missing, memo.is_some_and(|memo| memo.state.missing.is_some())),
            (&mut self.demanding, memo.is_some_and(demands)),
            (&mut self.refused, memo.is_some_and(|memo| has_texts(memo) || has_rules(memo))),
        ] {
            if !belongs {
                set.remove(id);
            } else if !set.contains(id) {
                set.insert(id.clone());
            }
        }
    }
}

impl OwnRoute {
    /// An unchanged route is the same [`Arc`] in the next IR.
    fn share(&mut self, old: &Self) {
        if self.ir == old.ir {
            self.ir = Arc::clone(&old.ir);
        }
        if self.status == old.status {
            self.status = Arc::clone(&old.status);
        }
    }
}
