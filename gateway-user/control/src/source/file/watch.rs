//! Says what happens in a directory.

use std::collections::BTreeMap;
use std::path::PathBuf;

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::event::FileEvent;
use super::walk::{Fingerprint, Stamp};

/// The kernel refuses to watch.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// No watch could be made at all.
    #[error(
        "{0}; changes are found by looking every few seconds instead (raise fs.inotify.max_user_instances)"
    )]
    Unavailable(notify::Error),
}

/// Watches every directory of a tree, each by itself.
///
/// Directories are watched, never files: a watch on a file ends when an editor or the kubelet moves another
/// file over it, while the directory reports every such move. Recursive watching would follow no symbolic
/// link.
pub struct Watcher {
    inner: RecommendedWatcher,
    watched: BTreeMap<PathBuf, (u64, u64)>,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").field("watched", &self.watched).finish_non_exhaustive()
    }
}

impl Watcher {
    /// A watcher of nothing; `changed` is called on a thread of its own for every event that may matter.
    ///
    /// # Errors
    /// The kernel has no inotify instance left for this user.
    pub fn new(changed: impl Fn(FileEvent) + Send + 'static) -> Result<Self, WatchError> {
        let inner = notify::recommended_watcher(move |event: notify::Result<Event>| match event {
            Ok(event) => event_of(&event).into_iter().for_each(&changed),
            // An error is a lost event as often as not, so it is looked into as well.
            Err(_) => changed(FileEvent::Other),
        })
        .map_err(WatchError::Unavailable)?;
        Ok(Self { inner, watched: BTreeMap::new() })
    }

    /// Watches exactly the directories of `fingerprint` from now on. A directory that cannot be watched (it
    /// just vanished, or `fs.inotify.max_user_watches` is used up) is tried again at the next call; how many
    /// there were is returned.
    pub fn follow(&mut self, fingerprint: &Fingerprint) -> usize {
        let wanted = &fingerprint.directories;
        self.watched.retain(|path, identity| {
            let stays = wanted.get(path) == Some(identity);
            if !stays {
                // Fails if the directory is gone, which removed the watch already.
                let _ = self.inner.unwatch(path);
            }
            stays
        });
        let mut refused = 0;
        for (path, identity) in wanted {
            if self.watched.contains_key(path) {
                continue;
            }
            match self.inner.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(path.clone(), *identity);
                }
                Err(_) => refused += 1,
            }
        }
        refused
    }
}

/// The meaning of an event of the kernel; `None` for one without any.
fn event_of(event: &Event) -> Option<FileEvent> {
    let path = event.paths.first();
    let file =
        |of: fn(Stamp) -> FileEvent| path.and_then(|path| Stamp::at(path)).map_or(FileEvent::Other, of);
    Some(match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => file(FileEvent::Closed),
        // Our own reading opens and closes files; following that with another read would never end.
        EventKind::Access(_) => return None,
        EventKind::Modify(ModifyKind::Data(_)) => file(FileEvent::Written),
        EventKind::Create(_) => file(FileEvent::created),
        EventKind::Modify(ModifyKind::Metadata(_)) => file(FileEvent::Touched),
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => match file(FileEvent::Replaced) {
            FileEvent::Other => FileEvent::Swapped,
            replaced => replaced,
        },
        // Beside both its halves.
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return None,
        EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => FileEvent::Removed,
        _ => FileEvent::Other,
    })
}
