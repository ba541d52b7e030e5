//! A node's copy of its controller's table, and what is to be served by it.

mod assemble;
mod edits;
mod names;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::bucket::{self, Digest};
use crate::capability::Capabilities;
use crate::frame::{Closed, Commit, Delete, DownFrame, Put};
use crate::item::{Attached, DecodeError, Desired, Value, decode};
use crate::key::Key;
use crate::table::Position;

use self::edits::Edits;
use self::names::Names;

/// Closed items that are named in an acknowledgement; the others are counted.
const CLOSED_NAMED: usize = 100;

/// Items of a controller. What was not committed is not seen, and lost with the connection.
#[derive(Debug, Default)]
pub struct Replica {
    known: Capabilities,
    epoch: u64,
    version: u64,
    items: BTreeMap<Key, Entry>,
    names: Names,
    staged: Vec<Change>,
    /// The controller whose frames are staged.
    from: u64,
    desired: Desired,
}

#[derive(Clone, Debug)]
struct Entry {
    digest: Digest,
    value: Option<Value>,
    closed: Vec<Closed>,
}

#[derive(Debug)]
enum Change {
    Clear(u32),
    Put(Key, Entry),
    Delete(Key),
}

/// Frames that do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// An item cannot be read.
    #[error(transparent)]
    Item(#[from] DecodeError),
    /// The whole is not what the controller has.
    #[error("the controller has {theirs} items and this node {own}: begun anew")]
    Differs {
        /// Items of the controller.
        theirs: u64,
        /// Items here.
        own: u64,
    },
}

impl Replica {
    /// An empty one of a data plane with these capabilities.
    pub fn new(known: Capabilities) -> Self {
        Self { known, ..Self::default() }
    }

    /// The capabilities of this data plane.
    pub fn capabilities(&self) -> &Capabilities {
        &self.known
    }

    /// Version of what is in it; 0 before the first commit.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Its state, for a controller.
    pub fn position(&self) -> Position {
        let buckets = match self.version {
            0 => Bytes::new(),
            _ => bucket::digests(self.items.iter().map(|(key, entry)| (key, entry.digest))),
        };
        Position { epoch: self.epoch, version: self.version, buckets }
    }

    /// Begins a connection to the controller process of this number.
    pub fn begin(&mut self, epoch: u64) {
        self.staged.clear();
        self.from = epoch;
    }

    /// Takes a frame, which was received as `raw`. Gives the version that is a whole now, if the frame makes one.
    ///
    /// # Errors
    /// It does not fit; [`Replica::forget`] what is here, and begin anew.
    pub fn take(&mut self, frame: DownFrame, raw: &[u8]) -> Result<Option<u64>, ReplicaError> {
        match frame {
            DownFrame::Clear(clear) => self.staged.push(Change::Clear(clear.bucket)),
            DownFrame::Put(put) => {
                let change = self.put(&put, raw)?;
                self.staged.push(change);
            }
            DownFrame::Delete(Delete { kind, name }) => {
                self.staged.push(Change::Delete(Key::new(kind, &name)));
            }
            DownFrame::Commit(commit) => return self.commit(&commit).map(Some),
            DownFrame::Welcome(_) | DownFrame::Goodbye(_) | DownFrame::Alive(_) | DownFrame::Probe(_) => {}
        }
        Ok(None)
    }

    /// Forgets everything but what is to be served.
    pub fn forget(&mut self) {
        let known = std::mem::take(&mut self.known);
        let desired = std::mem::take(&mut self.desired);
        *self = Self { known, desired, ..Self::default() };
    }

    /// The configuration to serve, as of the last commit. Parts that did not change are shared with those before.
    pub fn desired(&self) -> &Desired {
        &self.desired
    }

    /// Items that are served closed for what they need, 100 at most, and how many there are.
    pub fn closed(&self) -> (Vec<Closed>, u64) {
        let all = || self.items.values().flat_map(|entry| &entry.closed);
        (all().take(CLOSED_NAMED).cloned().collect(), all().count() as u64)
    }

    fn put(&mut self, put: &Put, raw: &[u8]) -> Result<Change, ReplicaError> {
        let (key, digest) = (Key::new(put.kind, &put.name), bucket::digest(raw));
        // A bucket is sent whole for one item that differs.
        if let Some(same) = self.items.get(&key).filter(|known| known.digest == digest) {
            return Ok(Change::Put(key, same.clone()));
        }
        let mut decoded = decode(put, &self.known)?;
        decoded.value.iter_mut().for_each(|value| self.names.share(value));
        Ok(Change::Put(key, Entry { digest, value: decoded.value, closed: decoded.closed }))
    }

    fn commit(&mut self, commit: &Commit) -> Result<u64, ReplicaError> {
        let mut edits = Edits::default();
        if self.items.is_empty() {
            edits.all();
        }
        // With its room: a first connection brings more than any change after it.
        for change in std::mem::take(&mut self.staged) {
            match change {
                Change::Clear(bucket) => {
                    edits.all();
                    self.items.retain(|key, _| bucket::of(key) != bucket);
                }
                Change::Put(key, entry) => {
                    let before = self.items.get(&key).and_then(|entry| entry.value.as_ref());
                    edits.note(&key, before, entry.value.as_ref());
                    self.items.insert(key, entry);
                }
                Change::Delete(key) => {
                    let before = self.items.remove(&key).and_then(|entry| entry.value);
                    edits.note(&key, before.as_ref(), None);
                }
            }
        }
        let (own, theirs) = (self.items.len() as u64, commit.items);
        if own != theirs {
            return Err(ReplicaError::Differs { theirs, own });
        }
        self.names.forget_unused();
        (self.epoch, self.version) = (self.from, commit.version);
        self.desired = edits.put_into(&self.desired, |place| self.is_open(place)).unwrap_or_else(|| {
            let values = self.items.values().filter_map(|entry| entry.value.as_ref());
            assemble::desired(values, &self.desired)
        });
        Ok(commit.version)
    }

    /// True if there is a listener at this place and it serves routes.
    fn is_open(&self, place: &Attached) -> bool {
        let key = Key::listener(place.address, place.port, &place.listener);
        let value = self.items.get(&key).and_then(|entry| entry.value.as_ref());
        matches!(value, Some(Value::Listener(listener)) if !listener.is_closed)
    }
}
