//! The controller's table: every item, and the version in which it was changed last.

pub(crate) mod changes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::bucket;
use crate::codec;
use crate::frame::{Clear, Commit, Delete, Down, DownFrame};
use crate::item::{Desired, Item};
use crate::key::Key;

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
}

#[derive(Debug)]
struct Slot {
    version: u64,
    /// `None` once it is gone.
    item: Option<Arc<Item>>,
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
        let (puts, deletes) = changes::between(&self.desired, &desired);
        self.desired = desired;
        let mut changed = self.version == 0;
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
        if changed {
            self.version = next;
            self.forget_gone();
        }
        changed
    }

    fn set(&mut self, key: Key, version: u64, item: Option<Arc<Item>>) {
        let is_gone = item.is_none();
        if let Some(old) = self.slots.insert(key.clone(), Slot { version, item }) {
            self.order.remove(&(old.version, key.clone()));
            self.gone.remove(&(old.version, key.clone()));
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

    /// The frames that a node lacks which has everything of `version`; `None` if that can only be told by buckets.
    pub fn since(&self, version: u64) -> Option<Batch> {
        if version < self.floor || version > self.version {
            return None;
        }
        // No key comes before the empty one.
        let from = (version + 1, Key::new(0, ""));
        let frames = self.order.range(from..).filter_map(|(_, key)| {
            let slot = self.slots.get(key)?;
            Some(slot.item.as_ref().map_or_else(|| delete(key), |item| item.frame.clone()))
        });
        Some(self.batch(frames.collect()))
    }

    /// The frames that a node lacks which comes with this.
    pub fn join(&self, position: &Position) -> Batch {
        let known = (position.epoch == self.epoch).then(|| self.since(position.version)).flatten();
        known.unwrap_or_else(|| self.by_buckets(&position.buckets))
    }

    fn by_buckets(&self, theirs: &[u8]) -> Batch {
        let all = || self.slots.values().filter_map(|slot| slot.item.as_ref());
        let frame = |item: &Arc<Item>| item.frame.clone();
        if theirs.is_empty() {
            return self.batch(all().map(frame).collect());
        }
        let own = bucket::digests(all().map(|item| (&item.key, item.digest)));
        let differing: BTreeSet<u32> = bucket::differing(&own, theirs).into_iter().collect();
        let clear = |bucket: &u32| codec::encode(&Down::from(DownFrame::Clear(Clear { bucket: *bucket })));
        let mut frames: Vec<_> = differing.iter().map(clear).collect();
        if !differing.is_empty() {
            frames.extend(all().filter(|item| differing.contains(&bucket::of(&item.key))).map(frame));
        }
        self.batch(frames)
    }

    fn batch(&self, mut frames: Vec<Bytes>) -> Batch {
        let commit = Commit { version: self.version, items: self.len() as u64 };
        frames.push(codec::encode(&Down::from(DownFrame::Commit(commit))));
        Batch { frames, version: self.version }
    }
}

fn delete(key: &Key) -> Bytes {
    let delete = Delete { kind: key.kind, name: key.name.to_string() };
    codec::encode(&Down::from(DownFrame::Delete(delete)))
}
