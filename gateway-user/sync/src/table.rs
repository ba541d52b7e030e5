//! The controller's table: every item, and the version in which it was changed last.

pub(crate) mod changes;
mod reaches;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use crate::bucket;
use crate::codec;
use crate::frame::{Clear, Commit, Delete, Down, DownFrame};
use crate::item::{Desired, Item};
use crate::key::{Key, Kind};
use crate::reach::{Reach, Reached};
use crate::scope::Scope;

use changes::Changes;

/// Keys of items that are gone are kept up to so many, and as many as there are items: a node that is behind longer than
/// they reach is told by buckets.
const TOMBSTONES: usize = 1024;

/// Everything that nodes are told, by key, in versions.
#[derive(Debug)]
pub struct Table {
    epoch: u64,
    version: u64,
    /// A node whose version is older cannot be told what went away.
    floor: u64,
    desired: Desired,
    slots: BTreeMap<Key, Slot>,
    /// Keys by the version of their last change.
    order: BTreeSet<(u64, Key)>,
    /// Slots without an item.
    gone: BTreeSet<(u64, Key)>,
    /// Number of items of each reach, while some Gateway is not served on every node.
    reaches: Option<HashMap<Reach, usize>>,
    /// The version in which Gateways came to be, or ceased to be, served on some nodes alone.
    placed_since: u64,
}

#[derive(Debug)]
struct Slot {
    version: u64,
    /// `None` once it is gone.
    item: Option<Arc<Item>>,
    reached: Reached,
}

/// Frames that bring a node to a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// In the order in which they are written.
    pub frames: Vec<Bytes>,
    /// The version of the whole.
    pub version: u64,
}

/// The state of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The controller process that its state is from.
    pub epoch: u64,
    /// Version of that state.
    pub version: u64,
    /// Digests of its buckets.
    pub buckets: Bytes,
}

impl Table {
    /// An empty table of a controller process with this number.
    pub fn new(epoch: u64) -> Self {
        Self {
            epoch,
            version: 0,
            floor: 0,
            desired: Desired::default(),
            slots: BTreeMap::new(),
            order: BTreeSet::new(),
            gone: BTreeSet::new(),
            reaches: None,
            placed_since: 0,
        }
    }

    /// The number of the controller process.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Version of what is in it; 0 before anything was.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.slots.len() - self.gone.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes over what is to be served from now on. Only what differs is encoded; objects that are shared with what was
    /// before by `Arc` are not even compared. Gives whether anything did: the first time something does, though it be empty.
    pub fn update(&mut self, desired: Desired) -> bool {
        let next = self.version + 1;
        let Changes { puts, deletes, routes, clusters } = changes::between(&self.desired, &desired);
        let is_placed = self.desired.placement != desired.placement;
        let is_leaf = |key: &Key| Kind::of(key.kind) == Some(Kind::Cluster);
        let finds = is_placed
            || !clusters.is_empty()
            || puts.iter().map(|item| &item.key).chain(&deletes).any(|key| !is_leaf(key));
        let before = std::mem::replace(&mut self.desired, desired);
        let mut changed = self.version == 0 || is_placed;
        for item in puts {
            let known = self.slots.get(&item.key).and_then(|slot| slot.item.as_ref());
            if known.is_none_or(|known| known.digest != item.digest) {
                self.set(item.key.clone(), next, Some(Arc::new(item)));
                changed = true;
            }
        }
        for key in deletes {
            self.set(key, next, None);
            changed = true;
        }
        match self.desired.placement.is_empty() {
            true => self.forget_reaches(next),
            false => changed |= finds && self.follow_reaches(&before.ir, (&routes, &clusters), next),
        }
        if changed {
            self.version = next;
            self.forget_gone();
        }
        changed
    }

    fn set(&mut self, key: Key, version: u64, item: Option<Arc<Item>>) {
        let is_gone = item.is_none();
        let reached = if self.reaches.is_some() { Reached::new() } else { Reached::default() };
        let slot = self.slots.entry(key.clone()).or_insert_with(|| Slot { version, item: None, reached });
        self.order.remove(&(slot.version, key.clone()));
        self.gone.remove(&(slot.version, key.clone()));
        let (was_there, reached) = (slot.item.is_some(), slot.reached.clone());
        (slot.version, slot.item) = (version, item);
        if was_there == is_gone {
            self.count_reach(&reached, !is_gone);
        }
        if is_gone {
            self.gone.insert((version, key.clone()));
        }
        self.order.insert((version, key));
    }

    fn forget_gone(&mut self) {
        while self.gone.len() > TOMBSTONES.max(self.len()) {
            let Some((version, key)) = self.gone.pop_first() else { return };
            self.slots.remove(&key);
            self.order.remove(&(version, key));
            self.floor = self.floor.max(version);
        }
    }

    /// The scope of the node of this name, as of now.
    pub fn scope(&self, node: &str) -> Scope {
        Scope::of(&self.desired.placement, node)
    }

    /// The frames that a node of the scope `now` lacks which has everything of `version` that its scope `before` had; `None`
    /// if that can only be told by buckets.
    pub fn since(&self, version: u64, before: &Scope, now: &Scope) -> Option<Batch> {
        let is_known = before.is_whole() || self.reaches.is_some() && version >= self.placed_since;
        if version < self.floor || version > self.version || !is_known {
            return None;
        }
        let mut frames = self.seen_otherwise(version, before, now);
        // No key comes before the empty one.
        let from = (version + 1, Key::new(0, ""));
        frames.extend(self.order.range(from..).filter_map(|(_, key)| {
            let slot = self.slots.get(key)?;
            match slot.item.as_ref().filter(|_| slot.reached.is_for(now)) {
                Some(item) => Some(item.frame.clone()),
                // Of what it never had it does not even learn the name.
                None => slot.reached.may_be_with(before).then(|| delete(key)),
            }
        }));
        Some(self.batch(frames, now))
    }

    /// The frames for what is as it was in `version`, and is in another scope.
    fn seen_otherwise(&self, version: u64, before: &Scope, now: &Scope) -> Vec<Bytes> {
        if before == now {
            return Vec::new();
        }
        let same = self.slots.iter().filter(|(_, slot)| slot.version <= version);
        let frame = |(key, slot): (&Key, &Slot)| {
            let item = slot.item.as_ref()?;
            match (slot.reached.is_for(before), slot.reached.is_for(now)) {
                (false, true) => Some(item.frame.clone()),
                (true, false) => Some(delete(key)),
                _ => None,
            }
        };
        same.filter_map(frame).collect()
    }

    /// The frames that a node of this scope lacks which comes with this.
    pub fn join(&self, position: &Position, scope: &Scope) -> Batch {
        // The scope of its position is not known, unless there were none.
        let is_alike = self.reaches.is_none() && position.version >= self.placed_since;
        let is_known = is_alike && position.epoch == self.epoch;
        let known = is_known.then(|| self.since(position.version, scope, scope)).flatten();
        known.unwrap_or_else(|| self.by_buckets(&position.buckets, scope))
    }

    fn by_buckets(&self, theirs: &[u8], scope: &Scope) -> Batch {
        let seen = || self.slots.values().filter(|slot| slot.reached.is_for(scope));
        let all = || seen().filter_map(|slot| slot.item.as_ref());
        let frame = |item: &Arc<Item>| item.frame.clone();
        if theirs.is_empty() {
            return self.batch(all().map(frame).collect(), scope);
        }
        let own = bucket::digests(all().map(|item| (&item.key, item.digest)));
        let differing: BTreeSet<u32> = bucket::differing(&own, theirs).into_iter().collect();
        let clear = |bucket: &u32| codec::encode(&Down::from(DownFrame::Clear(Clear { bucket: *bucket })));
        let mut frames: Vec<_> = differing.iter().map(clear).collect();
        if !differing.is_empty() {
            frames.extend(all().filter(|item| differing.contains(&bucket::of(&item.key))).map(frame));
        }
        self.batch(frames, scope)
    }

    fn batch(&self, mut frames: Vec<Bytes>, scope: &Scope) -> Batch {
        let commit = Commit { version: self.version, items: self.count_for(scope) as u64 };
        frames.push(codec::encode(&Down::from(DownFrame::Commit(commit))));
        Batch { frames, version: self.version }
    }
}

fn delete(key: &Key) -> Bytes {
    let delete = Delete { kind: key.kind, name: key.name.to_string() };
    codec::encode(&Down::from(DownFrame::Delete(delete)))
}
