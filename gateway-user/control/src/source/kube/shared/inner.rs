//! Objects and watches under the lock.

use std::collections::{BTreeMap, BTreeSet};

use gateway_api_types::load::Diagnostic;
use gateway_api_types::{Kind, Object, ObjectKey};
use gateway_translate::object_wants;
use jiff::Timestamp;

use super::diagnostics::outcome;
use super::{Inner, WatchId};
use crate::source::kube::fair;
use crate::source::kube::held::StoredObject;
use crate::source::kube::wanted::{FETCHED, Wanted};

impl Inner {
    pub(super) fn held(&self, kind: Kind, key: &ObjectKey) -> Option<&StoredObject> {
        self.objects.get(&kind)?.get(key)
    }

    pub(super) fn keys(&self, kind: Kind) -> impl Iterator<Item = &ObjectKey> {
        self.objects.get(&kind).into_iter().flat_map(BTreeMap::keys)
    }

    pub(super) fn put(&mut self, place: (Kind, ObjectKey), object: Result<Object, Vec<Diagnostic>>) {
        let kind = place.0;
        match object {
            Ok(object) => {
                let mended = self.broken.remove(&place).is_some();
                let changed = self.hold(kind, &place.1, object);
                if changed {
                    self.wanted.stale |= Wanted::depend_on(kind);
                    self.dirty.insert(place);
                }
                if changed || mended {
                    self.tell();
                }
            }
            Err(lines) => {
                let held = self.held(kind, &place.1).is_some();
                let lines: Vec<_> = lines.into_iter().chain([outcome(kind, &place.1, held)]).collect();
                if self.broken.get(&place) != Some(&lines) {
                    self.broken.insert(place, lines);
                    self.tell();
                }
            }
        }
    }

    /// Holds an object; whether more than its status differs.
    pub(super) fn hold(&mut self, kind: Kind, key: &ObjectKey, object: Object) -> bool {
        let (objects, new) = (self.objects.entry(kind).or_default(), StoredObject::of(object));
        match objects.get_mut(key) {
            Some(held) => held.replace(new),
            None => objects.insert(key.clone(), new).is_none(),
        }
    }

    /// Finds out anew which objects are wanted, if that may have changed, and forgets the others.
    pub(super) fn refresh_wants(&mut self) {
        if !self.wanted.stale {
            return;
        }
        let all = |kind: Kind| {
            self.objects.get(&kind).into_iter().flat_map(BTreeMap::values).map(StoredObject::object)
        };
        let classes = all(Kind::GatewayClass).filter_map(|object| match object {
            Object::GatewayClass(class) => Some(&**class),
            _ => None,
        });
        let gateways = all(Kind::Gateway).filter_map(|object| match object {
            Object::Gateway(gateway) => Some(&**gateway),
            _ => None,
        });
        let sets = all(Kind::ListenerSet).filter_map(|object| match object {
            Object::ListenerSet(set) => Some(&**set),
            _ => None,
        });
        let grants = all(Kind::ReferenceGrant).filter_map(|object| match object {
            Object::ReferenceGrant(grant) => Some(&**grant),
            _ => None,
        });
        let policies = all(Kind::BackendTlsPolicy).filter_map(|object| match object {
            Object::BackendTlsPolicy(policy) => Some(&**policy),
            _ => None,
        });
        let wants = object_wants(classes, gateways, sets, grants, policies, &self.wanted.options);
        self.wanted.want(wants);
        let held = FETCHED.into_iter().flat_map(|kind| self.keys(kind).map(move |key| (kind, key.clone())));
        let broken = self.broken.keys().filter(|(kind, _)| FETCHED.contains(kind)).cloned();
        let unwanted = held.chain(broken).filter(|place| !self.wanted.is_wanted(place));
        for place in unwanted.collect::<Vec<_>>() {
            self.drop_held(place);
        }
    }

    /// Takes the changes that go into the next configuration; the rest stays for the one after it.
    pub(super) fn take_dirty(&mut self, everything: bool) -> BTreeSet<(Kind, ObjectKey)> {
        let dirty = std::mem::take(&mut self.dirty);
        if everything {
            return dirty;
        }
        let held = |(kind, key): &(Kind, ObjectKey)| self.held(*kind, key).is_some();
        let (held_up, ready): (BTreeSet<_>, BTreeSet<_>) =
            dirty.into_iter().partition(|place| held(place) && self.wanted.hold_up(place, held));
        let mut behind = self.behind.take();
        let changes =
            ready.iter().map(|place| (place, self.held(place.0, &place.1).map(StoredObject::object)));
        let chosen = fair::choose(changes, &mut behind);
        self.behind = behind;
        if chosen.len() < ready.len() {
            self.tell();
        }
        self.dirty = held_up;
        self.dirty.extend(ready.into_iter().filter(|place| !chosen.contains(place)));
        chosen
    }

    /// True if it was there.
    pub(super) fn drop_object(&mut self, kind: Kind, key: &ObjectKey) -> bool {
        self.objects.get_mut(&kind).is_some_and(|objects| objects.remove(key).is_some())
    }

    pub(super) fn count_event(&mut self, id: &WatchId) {
        let state = self.watches.entry(id.clone()).or_default();
        state.events += 1;
        state.last_event = Some(Timestamp::now());
    }

    pub(super) fn forget(&mut self, kind: Kind, key: ObjectKey) {
        let place = (kind, key);
        self.wanted.remove(&place);
        self.drop_held(place);
    }

    pub(super) fn drop_held(&mut self, place: (Kind, ObjectKey)) {
        let kind = place.0;
        let broken = self.broken.remove(&place).is_some();
        let held = self.drop_object(kind, &place.1);
        if held {
            self.wanted.stale |= Wanted::depend_on(kind);
            self.dirty.insert(place);
        }
        if held || broken {
            self.tell();
        }
    }

    pub(super) fn tell(&mut self) {
        if !self.told {
            self.told = true;
            if let Some(wake) = &self.waker {
                wake();
            }
        }
    }
}
