//! Clusters: the addresses behind every backend that served routes refer to.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use gateway_ir::{BackendTls, ClusterKey, DiffItem, Endpoints, Route, RouteId, SharedMap, WeightedTarget};

use crate::Severity;
use crate::changes::Changes;
use crate::diagnostics::Diagnostics;
use crate::endpoints::{self, ClusterState};
use crate::read::{Read, Reader};
use crate::view;

/// Every cluster that a served route refers to, kept with the reads that it depends on. An edit has those looked at that its
/// route refers or referred to, and those that read what was edited.
#[derive(Debug, Default)]
pub(crate) struct Clusters {
    memos: HashMap<ClusterKey, ClusterMemo>,
    /// The routes that they are of.
    routes: SharedMap<RouteId, Arc<Route>>,
    /// Routes that refer to a cluster about which there is something to say: fields and messages.
    noted: BTreeMap<RouteId, Vec<(String, String)>>,
    endpoints: Arc<Endpoints>,
}

#[derive(Debug)]
struct ClusterMemo {
    reads: Box<[Read]>,
    state: ClusterState,
    /// Number of backends that refer to it.
    references: usize,
}

/// A part of what is gone through in an update.
#[derive(Default)]
struct Round {
    /// Clusters that are new.
    new: HashSet<ClusterKey>,
    /// Clusters that a backend refers to no more.
    dropped: Vec<ClusterKey>,
    /// Routes that are others than before.
    routes: Vec<RouteId>,
}

impl Clusters {
    /// Follows the routes that are served. Tells each route what there is to say of its clusters, and gives the number of
    /// clusters whose endpoints were collected.
    pub(crate) fn follow<'v, 'a: 'v>(
        &mut self,
        routes: &SharedMap<RouteId, Arc<Route>>,
        changes: &Changes,
        diagnostics: &mut Diagnostics,
        reader: impl Fn() -> Reader<'v, 'a>,
    ) -> usize {
        let Round { new, dropped, routes: edited } = self.count(routes, &reader);
        for key in dropped {
            if self.memos.get(&key).is_some_and(|memo| memo.references == 0) {
                self.memos.remove(&key);
                Arc::make_mut(&mut self.endpoints).clusters.remove(&key);
            }
        }
        let mut collected = new.len();
        let mut says_other = false;
        if !changes.reads.is_empty() {
            let is_stale = |(key, memo): &(&ClusterKey, &ClusterMemo)| {
                changes.concern(&memo.reads) && !new.contains(*key)
            };
            let stale: Vec<_> = self.memos.iter().filter(is_stale).map(|(key, _)| key.clone()).collect();
            collected += stale.len();
            for key in stale {
                says_other |= self.collect(key, reader());
            }
        }
        if says_other {
            let noted = routes.iter().map(|(id, route)| (id.clone(), self.notes(route)));
            self.noted = noted.filter(|(_, notes)| !notes.is_empty()).collect();
        } else {
            for id in edited {
                match routes.get(&id).map(|route| self.notes(route)).filter(|notes| !notes.is_empty()) {
                    Some(notes) => drop(self.noted.insert(id, notes)),
                    None => drop(self.noted.remove(&id)),
                }
            }
        }
        for (id, notes) in &self.noted {
            let object = view::route_ref(id);
            for (field, note) in notes {
                diagnostics.push(Severity::Warning, &object, field, note);
            }
        }
        collected
    }

    /// The addresses of all of them, which are spoken to over TLS like this.
    pub(crate) fn endpoints(&mut self, tls: SharedMap<ClusterKey, Arc<BackendTls>>) -> Arc<Endpoints> {
        if !tls.ptr_eq(&self.endpoints.tls) {
            Arc::make_mut(&mut self.endpoints).tls = tls;
        }
        Arc::clone(&self.endpoints)
    }

    /// The clusters that served routes refer to.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &ClusterKey> {
        self.memos.keys()
    }

    /// Counts the references of `routes`, and collects the endpoints of clusters that are new.
    fn count<'v, 'a: 'v>(
        &mut self,
        routes: &SharedMap<RouteId, Arc<Route>>,
        reader: &impl Fn() -> Reader<'v, 'a>,
    ) -> Round {
        let mut round = Round::default();
        let before = std::mem::replace(&mut self.routes, routes.clone());
        for difference in before.diff(routes) {
            let (id, old, new) = match difference {
                DiffItem::Add(id, new) => (id, None, Some(new)),
                DiffItem::Update { old: (_, old), new: (id, new) } => (id, Some(old), Some(new)),
                DiffItem::Remove(id, old) => (id, Some(old), None),
            };
            round.routes.push(id.clone());
            for key in new.into_iter().flat_map(|route| route.clusters()) {
                if !self.memos.contains_key(key) {
                    self.collect(key.clone(), reader());
                    round.new.insert(key.clone());
                }
                if let Some(memo) = self.memos.get_mut(key) {
                    memo.references += 1;
                }
            }
            for key in old.into_iter().flat_map(|route| route.clusters()) {
                if let Some(memo) = self.memos.get_mut(key) {
                    memo.references -= 1;
                    if memo.references == 0 {
                        round.dropped.push(key.clone());
                    }
                }
            }
        }
        round
    }

    /// Collects the endpoints of a cluster. True if something else is to be said of it than before.
    fn collect(&mut self, key: ClusterKey, reader: Reader<'_, '_>) -> bool {
        let mut state = endpoints::evaluate(&reader, &key);
        let known = self.memos.get(&key);
        match known.filter(|known| known.state.addresses == state.addresses) {
            Some(known) => state.addresses = Arc::clone(&known.state.addresses),
            None => {
                let endpoints = Arc::make_mut(&mut self.endpoints);
                endpoints.clusters.insert(key.clone(), Arc::clone(&state.addresses));
            }
        }
        let says_other = known.is_none_or(|known| known.state.note != state.note);
        let references = known.map_or(0, |known| known.references);
        self.memos.insert(key, ClusterMemo { reads: reader.into_reads(), state, references });
        says_other
    }

    /// The field of each backend of a route about whose cluster there is something to say, and the message.
    fn notes(&self, route: &Route) -> Vec<(String, String)> {
        let note = |(rule, backend, target): (usize, usize, &WeightedTarget)| {
            let note = self.memos.get(target.cluster()?)?.state.note.clone()?;
            Some((format!("rules[{rule}].backendRefs[{backend}]"), note))
        };
        route.targets().filter_map(note).collect()
    }
}
