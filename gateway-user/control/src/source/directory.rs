//! A directory as the compiler thread reads it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::PollResult;
use super::file::{FileWork, Fingerprint, PendingWrites, Tree, TreeFile, Watcher, retry, text_of};
use crate::engine::{DirectoryOptions, POLL_INTERVAL};
use crate::last_good::LastGoodWriter;
use crate::store::{Store, StoreView};

/// Looks of a reload before it leaves out what is open for writing.
const RELOAD_WAITS: u32 = 3;

/// The directory, and what was read of it.
#[derive(Debug)]
pub(crate) struct Directory {
    options: DirectoryOptions,
    watcher: Option<Watcher>,
    /// Directories that could not be watched last.
    unwatched: usize,
    /// Changes that are under way, which the watcher's thread adds to.
    pending: Arc<Mutex<PendingWrites>>,
    last_good_writer: Option<LastGoodWriter>,
    store: Store,
    /// The directory as it was looked at last.
    seen: Option<Fingerprint>,
    read: Read,
    /// When a change that is under way may be done.
    due: Option<Instant>,
}

/// The part of the directory that counts.
#[derive(Clone, Debug, Default)]
struct Read {
    /// Files by path below the directory.
    files: BTreeMap<PathBuf, TreeFile>,
    /// Entries of no use, by path below the directory.
    unusable: BTreeMap<PathBuf, String>,
}

impl Directory {
    /// Nothing is read yet; `changed` is called for every event that may matter.
    pub(crate) fn new(options: DirectoryOptions, changed: impl Fn() + Send + 'static) -> Self {
        let pending = Arc::new(Mutex::new(PendingWrites::new(options.delays)));
        let noted = Arc::clone(&pending);
        let watcher = Watcher::new(move |event| {
            if lock(&noted).event(event, Instant::now()) {
                changed();
            }
        });
        let watcher = watcher.inspect_err(|error| warn!("{error}")).ok();
        let last_good_writer = options
            .last_good
            .clone()
            .map(|path| LastGoodWriter::new(path, &options.path, options.keys.clone()));
        let store = last_good_writer.as_ref().map_or_else(Store::default, LastGoodWriter::store);
        Self {
            options,
            watcher,
            unwatched: 0,
            pending,
            last_good_writer,
            store,
            seen: None,
            read: Read::default(),
            due: None,
        }
    }

    /// Keeps what is sealed with a key that was replaced.
    pub(crate) fn catch_up(&mut self) {
        if let Some(last_good_writer) = &mut self.last_good_writer {
            last_good_writer.catch_up(&self.store);
        }
    }

    /// Keeps last good versions on disk from now on.
    pub(crate) fn begin_to_keep(&mut self) {
        if let Some(last_good_writer) = &mut self.last_good_writer {
            last_good_writer.begin(&self.store);
        }
    }

    /// True if it looks another way than when it was looked at.
    pub(crate) fn differs(&self) -> bool {
        let now = Fingerprint::take(&self.options.path).ok();
        now.is_none() || now != self.seen
    }

    /// In how long a change that is under way may be done.
    pub(crate) fn due_in(&self) -> Option<Duration> {
        self.due.map(|due| due.saturating_duration_since(Instant::now()))
    }

    /// Reads what is done being written; `anyway` counts as new what was read before, and waits for open
    /// files only.
    pub(crate) fn poll(&mut self, view: &mut StoreView, anyway: bool) -> PollResult {
        let root = self.options.path.clone();
        // A user who asks for a reload has closed the files; that event may be on its way.
        let mut waits = if anyway { RELOAD_WAITS } else { 0 };
        match retry(&root, || self.try_to_read(&root, anyway, &mut waits)) {
            Ok(false) => PollResult::Same,
            Ok(true) => {
                *view = self.store.apply(&self.read.tree(&root));
                if let Some(last_good_writer) = &mut self.last_good_writer {
                    last_good_writer.follow(&self.store);
                }
                PollResult::New
            }
            Err(error) => {
                // Whatever it becomes next is worth a look, so that it counts as unseen.
                (self.seen, self.due) = (None, None);
                if let Ok(found) = Fingerprint::take(&root) {
                    self.follow(&found);
                }
                PollResult::Unreadable(error.to_string())
            }
        }
    }

    /// One try: whether there is something new, or `None` if the directory changed meanwhile.
    fn try_to_read(&mut self, root: &Path, anyway: bool, waits: &mut u32) -> io::Result<Option<bool>> {
        let found = Fingerprint::take(root)?;
        // Before anything is read: what happens from here on is heard of.
        self.follow(&found);
        let now = Instant::now();
        let look = lock(&self.pending).look(&found.files, anyway, now);
        if !look.held.is_empty() && *waits > 0 {
            *waits -= 1;
            return Ok(None);
        }
        for note in &look.notes {
            info!("{}: {note}", root.join(&note.path).display());
        }
        let is_same = !anyway
            && self.seen.is_some()
            && look.ready.is_empty()
            && look.gone.is_empty()
            && found.unusable == self.read.unusable;
        if !is_same {
            let Some(read) = self.read.with(root, &found, &look, anyway) else { return Ok(None) };
            if !Fingerprint::take(root)?.is_but_for(&found, &look.held) {
                return Ok(None);
            }
            self.read = read;
        }
        lock(&self.pending).accept(&found.files, &look, now);
        (self.seen, self.due) = (Some(found), look.due);
        Ok(Some(!is_same))
    }

    fn follow(&mut self, found: &Fingerprint) {
        let Some(watcher) = &mut self.watcher else { return };
        let refused = watcher.follow(found);
        if refused > 0 && refused != self.unwatched {
            warn!(
                "{refused} directories cannot be watched; changes in them are found within {}s \
                 (raise fs.inotify.max_user_watches)",
                POLL_INTERVAL.as_secs()
            );
        }
        self.unwatched = refused;
    }
}

impl Read {
    /// The same after a look: what is ready is read, with `anyway` all that is not held. `None` if a file is
    /// gone by now.
    fn with(&self, root: &Path, found: &Fingerprint, look: &FileWork, anyway: bool) -> Option<Self> {
        let held = look.held.iter().filter_map(|path| Some((path.clone(), self.files.get(path)?.clone())));
        let mut files: BTreeMap<_, _> = held.collect();
        for (path, stamp) in found.files.iter().filter(|(path, _)| !look.held.contains(*path)) {
            // A file that could not be read may be readable for reasons that no stamp of it shows.
            let before = self.files.get(path).filter(|file| matches!(file, TreeFile::Text(_)));
            let file = match before.filter(|_| !anyway && !look.ready.contains(path)) {
                Some(file) => file.clone(),
                None => text_of(&root.join(path), stamp)?,
            };
            files.insert(path.clone(), file);
        }
        Some(Self { files, unusable: found.unusable.clone() })
    }

    fn tree(&self, root: &Path) -> Tree {
        let name = |below: &Path| Arc::from(root.join(below).display().to_string());
        let unusable = self.unusable.iter().map(|(path, why)| (path, TreeFile::Unusable(why.clone())));
        let files = self.files.iter().map(|(path, file)| (path, file.clone())).chain(unusable);
        Tree { files: files.map(|(path, file)| (name(path), file)).collect(), ..Tree::default() }
    }
}

/// A change that another thread left half done in there costs a wait too long at worst.
fn lock(pending: &Mutex<PendingWrites>) -> MutexGuard<'_, PendingWrites> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}
