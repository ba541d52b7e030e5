//! Files that are being written, until they are done.
//!
//! A shell's `>` empties a file before the first byte of the new content, a copy over a slow link has half of
//! it for seconds. A change of a file therefore counts once the file was closed after the write, moved into
//! place, or left alone for a while. Until then what was read before stands. Nothing here looks at files or
//! clocks: events, stamps and times are passed in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::event::{FileEvent, WriteDelays};
use super::walk::Stamp;

/// A change that does not count yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    phase: Phase,
    /// The last change that was heard of or seen.
    changed: Instant,
    notified: Notified,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No event tells how it is written.
    Unannounced(Stamp),
    /// Written, and not closed since.
    Open(Stamp),
    /// Closed after a write.
    Closed(Stamp),
    /// Moved into place.
    Replaced(Stamp),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Notified {
    Nothing,
    Shorter,
    ReadOpen,
}

/// The changes that do not count yet, and the stamps of what was read.
///
/// Changes are held by device and inode: a link's file changes under another name, or in another directory.
#[derive(Debug)]
pub struct PendingWrites {
    delays: WriteDelays,
    pending: HashMap<(u64, u64), Pending>,
    /// Stamps of what was read; `None` before the first time.
    accepted: Option<BTreeMap<PathBuf, Stamp>>,
    /// Files that were read before and are gone, since when.
    missing: BTreeMap<PathBuf, Instant>,
    swapped: Option<Instant>,
    removed: Option<Instant>,
}

/// The work to be done about the files of a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileWork {
    /// Files to be read.
    pub ready: BTreeSet<PathBuf>,
    /// Files that wait: what was read of them before, if anything, stays in force.
    pub held: BTreeSet<PathBuf>,
    /// Files that no longer exist.
    pub gone: BTreeSet<PathBuf>,
    /// Time at which the first of `held` may be ready.
    pub due: Option<Instant>,
    /// Lines for the log.
    pub notes: Vec<Note>,
}

/// A line about one file. Each is given once for a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Path below the directory.
    pub path: PathBuf,
    message: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl PendingWrites {
    /// Nothing was read yet.
    pub fn new(delays: WriteDelays) -> Self {
        let (pending, missing) = (HashMap::new(), BTreeMap::new());
        Self { delays, pending, accepted: None, missing, swapped: None, removed: None }
    }

    /// Takes note of a change; tells whether it is worth a look after the quiet time.
    pub fn event(&mut self, event: FileEvent, now: Instant) -> bool {
        let (stamp, phase) = match event {
            FileEvent::Written(stamp) => (stamp, Phase::Open(stamp)),
            FileEvent::Closed(stamp) => (stamp, Phase::Closed(stamp)),
            FileEvent::Replaced(stamp) => (stamp, Phase::Replaced(stamp)),
            FileEvent::Touched(stamp) => (stamp, Phase::Unannounced(stamp)),
            FileEvent::Swapped => {
                self.swapped = Some(now);
                return true;
            }
            FileEvent::Removed => {
                self.removed = Some(now);
                return true;
            }
            FileEvent::Other => return true,
        };
        let id = stamp.identity();
        let before = self.pending.get(&id).copied();
        let was_open = before.is_some_and(|before| matches!(before.phase, Phase::Open(_)));
        let phase = match (phase, before.map(|before| before.phase)) {
            // Another mode in the middle of a write is not its end.
            (Phase::Unannounced(_), Some(Phase::Open(_))) => return true,
            // `install` and `rsync` set mode and times once the file is closed.
            (Phase::Unannounced(_), Some(Phase::Closed(_))) => Phase::Closed(stamp),
            (Phase::Unannounced(_), Some(Phase::Replaced(_))) => Phase::Replaced(stamp),
            (phase, _) => phase,
        };
        let notified = before.map_or(Notified::Nothing, |before| before.notified);
        self.pending.insert(id, Pending { phase, changed: now, notified });
        // The first write sets a deadline; later ones only put it off, and that shows when it comes.
        !(was_open && matches!(phase, Phase::Open(_)))
    }

    /// Says what is to be read of the files that are there now. With `hurry` only files that are open for
    /// writing are waited for.
    pub fn look(&mut self, found: &BTreeMap<PathBuf, Stamp>, hurry: bool, now: Instant) -> FileWork {
        let mut look = FileWork::default();
        let Some(accepted) = &self.accepted else {
            look.ready = found.keys().cloned().collect();
            return look;
        };
        let delay = |wanted: Duration| if hurry { Duration::ZERO } else { wanted };
        for (path, stamp) in found {
            let old = accepted.get(path);
            let pending = match self.pending.get_mut(&stamp.identity()) {
                Some(pending) => pending,
                None if old == Some(stamp) => continue,
                None => {
                    let pending = unannounced(*stamp, old, self.swapped, now);
                    self.pending.entry(stamp.identity()).or_insert(pending)
                }
            };
            pending.see(*stamp, now);
            let is_shorter = old.is_some_and(|old| stamp.size() < old.size());
            let wait = match pending.phase {
                Phase::Open(_) => self.delays.open,
                Phase::Closed(_) | Phase::Unannounced(_) if is_shorter => delay(self.delays.shorter),
                Phase::Closed(_) | Phase::Unannounced(_) | Phase::Replaced(_) => delay(self.delays.quiet),
            };
            let due = pending.changed + wait;
            if due > now {
                look.hold(path, due);
            } else {
                look.ready.insert(path.clone());
            }
            let note = pending.note(old.filter(|_| is_shorter), stamp, due <= now, &self.delays);
            look.notes.extend(note.map(|message| Note { path: path.clone(), message }));
        }
        for path in accepted.keys().filter(|path| !found.contains_key(*path)) {
            let since = *self.missing.entry(path.clone()).or_insert_with(|| self.removed.unwrap_or(now));
            let due = since + delay(self.delays.quiet);
            if due > now {
                look.hold(path, due);
            } else {
                look.gone.insert(path.clone());
            }
        }
        look
    }

    /// Files that were ready were read as they were found at that time; those that are gone are forgotten.
    pub fn accept(&mut self, found: &BTreeMap<PathBuf, Stamp>, look: &FileWork, as_of: Instant) {
        let before = self.accepted.take().unwrap_or_default();
        let read = found.iter().filter(|(path, _)| !look.held.contains(*path));
        for (path, stamp) in read.clone().filter(|(path, _)| look.ready.contains(*path)) {
            let id = stamp.identity();
            // An event after the scan is another change.
            if self.pending.get(&id).is_some_and(|pending| pending.changed <= as_of) {
                self.pending.remove(&id);
            }
            self.missing.remove(path);
        }
        let held = before.iter().filter(|(path, _)| look.held.contains(*path));
        self.accepted = Some(held.chain(read).map(|(path, stamp)| (path.clone(), *stamp)).collect());
        self.missing.retain(|path, _| look.held.contains(path) && !found.contains_key(path));
        let is_known: BTreeSet<_> = found.values().map(Stamp::identity).collect();
        let oldest = |pending: &Pending| pending.changed + self.delays.open;
        self.pending.retain(|id, pending| is_known.contains(id) || oldest(pending) > as_of);
        self.swapped = self.swapped.filter(|at| *at > as_of);
        self.removed = self.removed.filter(|at| *at > as_of);
    }

    /// The size with which a file was read last.
    #[cfg(test)]
    fn accepted_size(&self, path: &Path) -> Option<u64> {
        self.accepted.as_ref()?.get(path).map(Stamp::size)
    }
}

/// A change that was found by looking. A file that came by a swap of the directory around it is whole.
fn unannounced(stamp: Stamp, old: Option<&Stamp>, swapped: Option<Instant>, now: Instant) -> Pending {
    let is_another = old.is_none_or(|old| old.identity() != stamp.identity());
    let (phase, changed) = match swapped.filter(|_| is_another) {
        Some(at) => (Phase::Replaced(stamp), at),
        None => (Phase::Unannounced(stamp), now),
    };
    Pending { phase, changed, notified: Notified::Nothing }
}

impl Pending {
    /// Compares with how the file looks now: a stamp that no event brought is a change whose event is on its
    /// way, or never comes.
    fn see(&mut self, stamp: Stamp, now: Instant) {
        match &mut self.phase {
            Phase::Open(seen) if *seen != stamp => *seen = stamp,
            Phase::Unannounced(seen) | Phase::Closed(seen) | Phase::Replaced(seen) if *seen != stamp => {
                self.phase = Phase::Unannounced(stamp);
            }
            _ => return,
        }
        self.changed = now;
    }

    fn note(
        &mut self,
        longer: Option<&Stamp>,
        now: &Stamp,
        is_due: bool,
        delays: &WriteDelays,
    ) -> Option<String> {
        let is_open = matches!(self.phase, Phase::Open(_));
        let is_replaced = matches!(self.phase, Phase::Replaced(_));
        let open = delays.open;
        if is_open && is_due && self.notified < Notified::ReadOpen && delays.open > delays.quiet {
            self.notified = Notified::ReadOpen;
            let size = now.size();
            return Some(format!(
                "still open for writing, but unchanged for {open:?}: it is read as it is, with {size} bytes"
            ));
        }
        let before = longer.filter(|_| !is_replaced && !is_due && self.notified < Notified::Shorter)?.size();
        self.notified = Notified::Shorter;
        let size = now.size();
        let (what, until) = if is_open {
            ("open for writing and", format!("until it is closed, or unchanged for {open:?}"))
        } else {
            ("now", format!("until it is unchanged for {:?}", delays.shorter))
        };
        let length = if size == 0 { "empty".to_owned() } else { format!("shorter, with {size} bytes") };
        Some(format!("{what} {length}, {before} before: what was read before stays in force {until}"))
    }
}

impl FileWork {
    fn hold(&mut self, path: &Path, due: Instant) {
        self.held.insert(path.to_owned());
        self.due = Some(self.due.map_or(due, |first| first.min(due)));
    }
}

#[cfg(test)]
mod tests;
