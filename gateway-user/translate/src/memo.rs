//! Results of earlier translations, kept with the reads that they depend on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use gateway_api_types::ResourceSet;
use gateway_ir::{ClusterKey, Endpoints, RouteId};

use crate::changes::Changes;
use crate::endpoints::{self, ClusterState};
use crate::price::{Prices, RejectedParts};
use crate::read::{Read, Reader};
use crate::route::{self, OwnRoute, Route, RouteState};
use crate::status::MissingGateway;

/// Every route, by kind, namespace and name.
#[derive(Debug, Default)]
pub(crate) struct Routes(BTreeMap<RouteId, RouteMemo>);

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

/// Every cluster that a served route refers to.
#[derive(Debug, Default)]
pub(crate) struct Clusters {
    /// Looked into for every backend at every edit, and so not in order.
    memos: HashMap<ClusterKey, ClusterMemo>,
    round: u64,
    /// Clusters that were asked for in this round.
    used: usize,
    /// True if one is new in this round, or has other addresses.
    has_changed: bool,
    /// Those of the last round.
    endpoints: Arc<Endpoints>,
}

#[derive(Debug)]
struct ClusterMemo {
    reads: Box<[Read]>,
    state: ClusterState,
    /// The round in which it was last asked for.
    used: u64,
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
            let readers = self.0.iter().filter(|(_, memo)| changes.concern(&memo.reads));
            stale.extend(readers.map(|(key, _)| key.clone()));
        }
        stale.sort();
        stale.dedup();
        let mut edited = Vec::with_capacity(stale.len());
        for id in stale {
            let Some(object) = route::find(resources, &id) else {
                let before = self.0.remove(&id).and_then(|memo| memo.state.own);
                edited.push(Edited { id, before, is_translated: false });
                continue;
            };
            // The scan budget is checked when all routes are there; most often with the result of before.
            let rules = self.0.get(&id).map(|memo| memo.refusals.rules.clone()).unwrap_or_default();
            let refusals = RejectedParts { texts: prices.refused(&id), rules };
            edited.push(self.translate(id, object, controller, refusals, reader()));
        }
        if edited.len() > self.0.len() / 2 {
            // Nodes of a map that grew in order are half empty; those of one that is made at once are full.
            self.0 = std::mem::take(&mut self.0).into_iter().collect();
        }
        edited
    }

    /// Those that name a Gateway that does not exist, nearly one of ours.
    pub(crate) fn missing_gateways(&self) -> impl Iterator<Item = (RouteId, MissingGateway)> {
        self.0.iter().filter_map(|(id, memo)| {
            let missing = memo.state.missing.as_deref()?;
            Some((id.clone(), missing.clone()))
        })
    }

    /// One with a parent of ours.
    pub(crate) fn find(&self, id: &RouteId) -> Option<&OwnRoute> {
        self.0.get(id)?.state.own.as_ref()
    }

    /// Translates those again whose rules may now have other expressions tried than before.
    pub(crate) fn refuse<'v, 'a: 'v>(
        &mut self,
        mut refused: BTreeMap<RouteId, BTreeMap<usize, String>>,
        resources: &ResourceSet,
        controller: &str,
        reader: impl Fn() -> Reader<'v, 'a>,
    ) -> Vec<Edited> {
        let before = self.0.iter().filter(|(_, memo)| !memo.refusals.rules.is_empty());
        for key in before.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            refused.entry(key).or_default();
        }
        let mut edited = Vec::new();
        for (key, rules) in refused {
            let Some((memo, object)) = self.0.get(&key).zip(route::find(resources, &key)) else { continue };
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
        let memo = self.0.get(&id);
        if let (Some(new), Some(old)) = (&mut state.own, memo.and_then(|memo| memo.state.own.as_ref())) {
            new.share(old);
        }
        let memo = self.0.insert(id.clone(), RouteMemo { reads: reader.into_reads(), refusals, state });
        Edited { id, before: memo.and_then(|memo| memo.state.own), is_translated: true }
    }

    /// Routes that may not have the expressions that they had, or the other way round.
    fn judged_anew(&self, prices: &Prices) -> Vec<RouteId> {
        let before = self.0.iter().filter(|(_, memo)| !memo.refusals.texts.is_empty()).map(|(key, _)| key);
        let differs =
            |key: &&RouteId| self.0.get(*key).is_some_and(|memo| memo.refusals.texts != prices.refused(key));
        before.chain(prices.routes()).filter(differs).cloned().collect()
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &RouteState> {
        self.0.values().map(|memo| &memo.state)
    }

    /// Those with a parent of ours.
    pub(crate) fn own(&self) -> impl Iterator<Item = &OwnRoute> {
        self.all().filter_map(|state| state.own.as_ref())
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

impl Clusters {
    /// Begins a translation: what is not asked for until [`Clusters::finish`] is forgotten.
    pub(crate) fn start(&mut self) {
        self.round += 1;
        (self.used, self.has_changed) = (0, false);
    }

    /// The message about a cluster, and true if it had to be made anew.
    pub(crate) fn ask<'v, 'a: 'v>(
        &mut self,
        key: &ClusterKey,
        changes: &Changes,
        reader: impl Fn() -> Reader<'v, 'a>,
    ) -> (Option<String>, bool) {
        let round = self.round;
        let known = self.memos.get_mut(key);
        if let Some(memo) = known.filter(|memo| memo.used == round || !changes.concern(&memo.reads)) {
            self.used += usize::from(memo.used != round);
            memo.used = round;
            return (memo.state.note.clone(), false);
        }
        let reader = reader();
        let mut state = endpoints::evaluate(&reader, key);
        match self.memos.get(key).filter(|known| known.state.addresses == state.addresses) {
            Some(known) => state.addresses = Arc::clone(&known.state.addresses),
            None => self.has_changed = true,
        }
        self.used += 1;
        let note = state.note.clone();
        self.memos.insert(key.clone(), ClusterMemo { reads: reader.into_reads(), state, used: round });
        (note, true)
    }

    /// The addresses of every cluster that was asked for.
    pub(crate) fn finish(&mut self) -> Arc<Endpoints> {
        if self.used != self.memos.len() {
            self.memos.retain(|_, memo| memo.used == self.round);
            self.has_changed = true;
        }
        if self.has_changed {
            let clusters = self.memos.iter();
            let clusters = clusters.map(|(key, memo)| (key.clone(), Arc::clone(&memo.state.addresses)));
            self.endpoints = Arc::new(Endpoints { clusters: clusters.collect() });
        }
        Arc::clone(&self.endpoints)
    }
}
