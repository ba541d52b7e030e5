//! Reaches: the Gateways by which a node comes to need an item. Kept only while some Gateway is not served on every node.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use gateway_ir::{Ir, ObjectName};

use super::Table;
use crate::key::{Key, Kind};
use crate::scope::{Scope, clusters_of};

/// The Gateways of an item, in order; an item without a reach is for every node. Items of the same Gateways share one list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Reach(Option<Arc<Vec<ObjectName>>>);

impl Reach {
    /// Of an item that no Gateway needs.
    pub(super) fn nobody() -> Self {
        Self(Some(Arc::default()))
    }

    /// The Gateways; `None` stands for every node.
    pub(crate) fn gateways(&self) -> Option<&[ObjectName]> {
        self.0.as_deref().map(Vec::as_slice)
    }

    /// The Gateways of both.
    fn or(&self, other: &Self) -> Self {
        let (Some(own), Some(others)) = (&self.0, &other.0) else { return Self::default() };
        if others.iter().all(|one| own.contains(one)) {
            return self.clone();
        }
        let mut all: Vec<_> = own.iter().chain(others.iter()).cloned().collect();
        all.sort();
        all.dedup();
        Self(Some(Arc::new(all)))
    }
}

/// Reaches of one item: now, and of all its versions before.
#[derive(Clone, Debug, Default)]
pub(super) struct Reached {
    now: Reach,
    before: Reach,
}

impl Reached {
    /// Of an item that is new while reaches are kept.
    pub(super) fn new() -> Self {
        Self { now: Reach::nobody(), before: Reach::nobody() }
    }

    /// True if a node of this scope needs the item.
    pub(super) fn is_for(&self, scope: &Scope) -> bool {
        scope.sees(&self.now)
    }

    /// True if a node of this scope may have a version of the item.
    pub(super) fn may_be_with(&self, scope: &Scope) -> bool {
        scope.sees(&self.now) || scope.sees(&self.before)
    }

    /// Gives whether it differs.
    fn set(&mut self, now: &Reach) -> bool {
        if self.now == *now {
            return false;
        }
        self.before = self.before.or(&self.now);
        self.now = now.clone();
        true
    }
}

impl Table {
    /// Finds the reach of every item. One whose reach differs counts as changed in version `next`: nodes may need it that did
    /// not. Gives whether there is such an item.
    pub(super) fn follow_reaches(&mut self, next: u64) -> bool {
        let begins = self.reaches.is_none();
        let found = Found::of(&self.desired.ir).by_key();
        let nobody = Reach::nobody();
        let mut counts: HashMap<Reach, usize> = HashMap::new();
        let mut changed = Vec::new();
        for (key, slot) in &mut self.slots {
            if begins {
                // Until now no node had less than all.
                slot.reached = Reached::new();
            }
            if slot.item.is_none() {
                continue;
            }
            let now = match Kind::of(key.kind) {
                Some(Kind::Address) => &Reach::default(),
                _ => found.get(key).unwrap_or(&nobody),
            };
            if slot.reached.set(now) && !begins && slot.version != next {
                self.order.remove(&(slot.version, key.clone()));
                slot.version = next;
                changed.push((next, key.clone()));
            }
            *counts.entry(slot.reached.now.clone()).or_default() += 1;
        }
        let differs = !changed.is_empty();
        self.order.extend(changed);
        self.reaches = Some(counts);
        if begins {
            self.placed_since = next;
        }
        differs
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
                counts.iter().filter(|(reach, _)| scope.sees(reach)).map(|(_, count)| count).sum()
            }
            _ => self.len(),
        }
    }
}

/// Numbers of Gateways, in order, each once.
type Numbers = Vec<u32>;

/// Gateways by what needs them.
#[derive(Default)]
struct Found<'a> {
    gateways: BTreeMap<&'a ObjectName, u32>,
    listeners: Vec<(Key, u32)>,
    certificates: HashMap<&'a ObjectName, Numbers>,
    routes: HashMap<&'a gateway_ir::RouteId, Numbers>,
    clusters: HashMap<&'a gateway_ir::ClusterKey, Numbers>,
}

impl<'a> Found<'a> {
    fn of(ir: &'a Ir) -> Self {
        let mut found = Self::default();
        let all = ir.binds.iter().flat_map(|bind| &bind.listeners).map(|one| &one.id.gateway);
        found.gateways.extend(all.map(|name| (name, 0)));
        (0..).zip(found.gateways.values_mut()).for_each(|(number, place)| *place = number);
        for bind in &ir.binds {
            for listener in &bind.listeners {
                let Some(&number) = found.gateways.get(&listener.id.gateway) else { continue };
                found.listeners.push((Key::listener(bind.address, bind.port, &listener.id), number));
                for certificate in listener.tls.iter().flat_map(|tls| &tls.certificates) {
                    add(&mut found.certificates, &certificate.secret, &[number]);
                }
                for attached in &listener.routes {
                    add(&mut found.routes, &attached.route, &[number]);
                }
            }
        }
        for (id, route) in &ir.http_routes {
            let Some(numbers) = found.routes.get(id) else { continue };
            for cluster in clusters_of(route) {
                add(&mut found.clusters, cluster, numbers);
            }
        }
        found
    }

    fn by_key(self) -> HashMap<Key, Reach> {
        let names: Vec<&ObjectName> = self.gateways.keys().copied().collect();
        let mut known: HashMap<Numbers, Reach> = HashMap::new();
        let mut reach = |numbers: Numbers| {
            let name = |number: &u32| names.get(*number as usize).map(|name| (*name).clone());
            let all = || Reach(Some(Arc::new(numbers.iter().filter_map(name).collect())));
            match known.get(&numbers) {
                Some(same) => same.clone(),
                None => {
                    let new = all();
                    known.insert(numbers, new.clone());
                    new
                }
            }
        };
        let mut keys = HashMap::with_capacity(self.routes.len() + self.clusters.len() + self.listeners.len());
        keys.extend(self.gateways.iter().map(|(name, number)| (Key::gateway(name), reach(vec![*number]))));
        keys.extend(self.listeners.into_iter().map(|(key, number)| (key, reach(vec![number]))));
        keys.extend(self.certificates.into_iter().map(|(name, all)| (Key::certificate(name), reach(all))));
        keys.extend(self.routes.into_iter().map(|(id, all)| (Key::route(id), reach(all))));
        keys.extend(self.clusters.into_iter().map(|(key, all)| (Key::cluster(key), reach(all))));
        keys
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
