//! The thread that writes the file, not too often.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use gateway_api_types::ResourceSet;
use tracing::{debug, warn};

use super::{DUTY_DIVISOR, Scope, WRITE_INTERVAL, remove_unfinished, replace};
use crate::kept::{KeptKeys, KeyWatch};
use crate::priority;

/// Writes the objects when they have changed, not too often, on a thread of its own.
#[derive(Debug)]
pub(crate) struct LastGoodWriter {
    path: PathBuf,
    scope: Arc<Scope>,
    keys: KeptKeys,
    key: Option<KeyWatch>,
    begun: bool,
    /// There is something that is not written.
    behind: bool,
    pub(super) state: Arc<Mutex<WriteState>>,
}

/// State of writing.
#[derive(Debug)]
pub(super) enum WriteState {
    /// The next one may begin at that time.
    Due(Instant),
    /// As before, and the last one did not succeed.
    Again(Instant),
    /// One is under way.
    Busy,
}

impl LastGoodWriter {
    pub(in crate::source::kube) fn new(path: PathBuf, scope: Scope, keys: KeptKeys) -> Self {
        let state = Arc::new(Mutex::new(WriteState::Due(Instant::now())));
        let key = keys.watch();
        Self { path, scope: Arc::new(scope), keys, key, begun: false, behind: false, state }
    }

    /// From now on this process is the one that writes.
    pub(crate) fn begin(&mut self, objects: &ResourceSet) {
        self.begun = true;
        self.behind = !objects.is_empty();
        remove_unfinished(&self.path);
        self.catch_up(objects);
    }

    /// The objects have changed.
    pub(crate) fn follow(&mut self, objects: &ResourceSet) {
        self.behind = true;
        self.catch_up(objects);
    }

    /// Writes what is not written, or is sealed with a key that was replaced, if it is time.
    pub(crate) fn catch_up(&mut self, objects: &ResourceSet) {
        if self.key.as_mut().is_some_and(|key| key.has_changed(Instant::now())) && !objects.is_empty() {
            self.behind = true;
        }
        if !self.begun || !self.try_begin() {
            return;
        }
        self.behind = false;
        let (path, scope, state) = (self.path.clone(), Arc::clone(&self.scope), Arc::clone(&self.state));
        let (objects, keys) = (objects.clone(), self.keys.clone());
        let writing = std::thread::Builder::new().name("sluice-keep".to_owned()).spawn(move || {
            priority::make_way();
            let begun = Instant::now();
            let written = replace(&path, &scope, &objects, &keys);
            // Before the next turn: the objects may be the last of their version.
            drop(objects);
            let next = Instant::now() + WRITE_INTERVAL.max(begun.elapsed() * DUTY_DIVISOR);
            let next = match written {
                Ok(()) => {
                    debug!(took_ms = begun.elapsed().as_millis(), "last good objects are written");
                    WriteState::Due(next)
                }
                Err(error) => {
                    warn!("{}: last good objects were not written; retried: {error}", path.display());
                    WriteState::Again(next)
                }
            };
            *state.lock().unwrap_or_else(PoisonError::into_inner) = next;
        });
        if let Err(error) = writing {
            warn!("last good objects were not written; retried: {error}");
            *self.state.lock().unwrap_or_else(PoisonError::into_inner) =
                WriteState::Again(Instant::now() + WRITE_INTERVAL);
        }
    }

    /// True if there is something to write and it is time.
    fn try_begin(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = match *state {
            WriteState::Due(when) => self.behind && when <= Instant::now(),
            WriteState::Again(when) => when <= Instant::now(),
            WriteState::Busy => false,
        };
        if now {
            *state = WriteState::Busy;
        }
        now
    }
}
