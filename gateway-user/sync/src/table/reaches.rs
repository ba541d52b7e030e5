//! The reaches of a table's items, and their changes.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use gateway_ir::{ClusterKey, Ir, ObjectName, RouteId};

use super::{Table, changes};
use crate::key::Key;
use crate::reach::{Reach, Reached};
use crate::scope::Scope;

impl Table {
    /// Brings the reach of every item up to date after the representation `before` has become the present one, in which
    /// these routes differ, and these clusters are new. An item whose reach differs counts as changed in version `next`: nodes
    /// may need it that did not. True if there is such an item.
    pub(super) fn follow_reaches(
        &mut self,
        before: &Ir,
        (routes, clusters): (&BTreeSet<RouteId>, &[ClusterKey]),
        next: u64,
    ) -> bool {
        let begins = self.reaches.is_none();
        if begins {
            self.begin_reaches(next);
        }
        let (ir, addresses) = (Arc::clone(&self.desired.ir), Arc::clone(&self.desired.addresses));
        let endpoints = Arc::clone(&self.desired.endpoints);
        let differs = |id: &RouteId| begins || routes.contains(id);
        let mut touched = Touched::of_listeners(&ir, differs);
        for (_, route) in before.routes.iter().chain(&ir.routes).filter(|(id, _)| differs(id)) {
            touched.add_clusters(route.clusters());
        }
        touched.add_clusters(clusters.iter());
        touched.find_clusters(&ir, |id| self.reach_of_route(id));
        let mut changed = false;
        for (key, reach) in touched.reaches() {
            changed |= self.set_reach(&key, &reach, next) && !begins;
        }
        // Certificates of authorities are no secret, and many Gateways need the same.
        for source in changes::trust(&ir, &endpoints).into_keys() {
            self.set_everywhere(&Key::trust(source));
        }
        for address in addresses.keys() {
            self.set_everywhere(&Key::address(*address));
        }
        changed
    }

    /// Until now no node had less than all.
    fn begin_reaches(&mut self, next: u64) {
        self.placed_since = next;
        self.slots.values_mut().for_each(|slot| slot.reached = Reached::new());
        self.reaches = Some(HashMap::from([(Reach::nobody(), self.len())]));
    }

    /// Every Gateway is served on every node from version `next` on.
    pub(super) fn forget_reaches(&mut self, next: u64) {
        if self.reaches.take().is_some() {
            self.placed_since = next;
            self.slots.values_mut().for_each(|slot| slot.reached = Reached::default());
        }
    }

    /// Number of items that a node of this scope is to have.
    pub(super) fn count_for(&self, scope: &Scope) -> usize {
        match &self.reaches {
            Some(counts) if !scope.is_whole() => {
                counts.iter().filter(|(reach, _)| scope.sees(reach.gateways())).map(|(_, count)| count).sum()
            }
            _ => self.len(),
        }
    }

    /// Counts an item of this reach that comes, or goes.
    pub(super) fn count_reach(&mut self, reached: &Reached, comes: bool) {
        let Some(counts) = &mut self.reaches else { return };
        let count = counts.entry(reached.now().clone()).or_default();
        *count = if comes { *count + 1 } else { count.saturating_sub(1) };
        if *count == 0 {
            counts.remove(reached.now());
        }
    }

    fn reach_of_route(&self, id: &RouteId) -> Reach {
        self.slots.get(&Key::route(id)).map_or_else(Reach::nobody, |slot| slot.reached.now().clone())
    }

    /// Gives whether it differs.
    fn set_reach(&mut self, key: &Key, now: &Reach, next: u64) -> bool {
        let Some(slot) = self.slots.get_mut(key).filter(|slot| slot.item.is_some()) else { return false };
        if slot.reached.now() == now {
            return false;
        }
        let before = slot.reached.clone();
        // The list of others that have the same.
        let known = self.reaches.as_ref().and_then(|counts| counts.get_key_value(now));
        slot.reached.set(known.map_or(now, |(same, _)| same));
        let (after, version) = (slot.reached.clone(), slot.version);
        // A first reach is no change: before it no node had less.
        if self.placed_since != next && version != next {
            slot.version = next;
            self.order.remove(&(version, key.clone()));
            self.order.insert((next, key.clone()));
        }
        self.count_reach(&before, false);
        self.count_reach(&after, true);
        true
    }

    /// An item that is for every node from its first version on.
    fn set_everywhere(&mut self, key: &Key) {
        let Some(slot) = self.slots.get_mut(key).filter(|slot| slot.item.is_some()) else { return };
        let before = std::mem::take(&mut slot.reached);
        self.count_reach(&before, false);
        self.count_reach(&Reached::default(), true);
    }
}

/// Numbers of Gateways, in order, each once.
type Numbers = Vec<u32>;

/// Items whose reach may be another one, with what it is now. Gateways, listeners and certificates are few: all of them are.
struct Touched<'a> {
    gateways: Vec<&'a ObjectName>,
    others: HashMap<Key, Numbers>,
    routes: HashMap<&'a RouteId, Numbers>,
    clusters: HashMap<&'a ClusterKey, Numbers>,
}

impl<'a> Touched<'a> {
    fn of_listeners(ir: &'a Ir, differs: impl Fn(&RouteId) -> bool) -> Self {
        let mut gateways: Vec<_> =
            ir.binds.iter().flat_map(|bind| &bind.listeners).map(|one| &one.id.gateway).collect();
        gateways.sort();
        gateways.dedup();
        let (others, routes, clusters) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut touched = Self { gateways, others, routes, clusters };
        for bind in &ir.binds {
            for listener in &bind.listeners {
                let own = touched.numbers([&listener.id.gateway]);
                add(&mut touched.others, Key::gateway(&listener.id.gateway), &own);
                add(&mut touched.others, Key::tickets(&listener.id.gateway), &own);
                add(&mut touched.others, Key::listener(bind.address, bind.port, &listener.id), &own);
                for certificate in listener.certificates() {
                    add(&mut touched.others, Key::certificate(&certificate.secret), &own);
                }
                for route in listener.routes.keys().filter(|route| differs(route)) {
                    add(&mut touched.routes, route, &own);
                }
            }
        }
        touched
    }

    fn add_clusters(&mut self, keys: impl Iterator<Item = &'a ClusterKey>) {
        for key in keys {
            self.clusters.entry(key).or_default();
        }
    }

    /// Finds who needs those clusters; `reach` is that of a route which does not differ.
    fn find_clusters(&mut self, ir: &'a Ir, reach: impl Fn(&RouteId) -> Reach) {
        if self.clusters.is_empty() {
            return;
        }
        for (id, route) in &ir.routes {
            for key in route.clusters().filter(|key| self.clusters.contains_key(key)).collect::<Vec<_>>() {
                let numbers = match self.routes.get(id) {
                    Some(numbers) => numbers.clone(),
                    None => self.numbers(reach(id).gateways().unwrap_or_default()),
                };
                add(&mut self.clusters, key, &numbers);
            }
        }
    }

    fn numbers<'n>(&self, names: impl IntoIterator<Item = &'n ObjectName>) -> Numbers {
        let number = |name: &ObjectName| self.gateways.binary_search(&name).ok();
        names.into_iter().filter_map(|name| u32::try_from(number(name)?).ok()).collect()
    }

    /// Reaches by key; equal ones are the same list.
    fn reaches(self) -> impl Iterator<Item = (Key, Reach)> {
        let Self { gateways, others, routes, clusters } = self;
        let mut known: HashMap<Numbers, Reach> = HashMap::new();
        let mut reach = move |numbers: Numbers| match known.get(&numbers) {
            Some(same) => same.clone(),
            None => {
                let names = numbers.iter().filter_map(|one| gateways.get(*one as usize));
                let new = Reach::of(names.map(|name| (*name).clone()).collect());
                known.insert(numbers, new.clone());
                new
            }
        };
        let routes = routes.into_iter().map(|(id, numbers)| (Key::route(id), numbers));
        let clusters = clusters.into_iter().flat_map(|(key, numbers)| {
            let tls = key.tls.then(|| (Key::backend_tls(key), numbers.clone()));
            tls.into_iter().chain([(Key::cluster(key), numbers)])
        });
        others.into_iter().chain(routes).chain(clusters).map(move |(key, numbers)| (key, reach(numbers)))
    }
}

fn add<K: Hash + Eq>(to: &mut HashMap<K, Numbers>, key: K, numbers: &[u32]) {
    let all = to.entry(key).or_default();
    for number in numbers {
        if let Err(place) = all.binary_search(number) {
            all.insert(place, *number);
        }
    }
}
