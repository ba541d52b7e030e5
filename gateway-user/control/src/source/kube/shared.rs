//! State of all watches, shared by the thread that watches and those that read it.

mod diagnostics;
mod inner;
mod wanted;
mod watch_state;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gateway_api_types::load::Diagnostic;
use gateway_api_types::{InstalledApi, Kind, Object, ObjectKey, ResourceSet};
use gateway_translate::TranslateOptions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::sync::{Notify, watch};

use super::held::StoredObject;
use super::kinds::Subject;
use super::wanted::{FETCHED, Wanted};
use crate::source::PollResult;
use crate::store::StoreView;

pub use watch_state::{WatchId, WatchState};

/// Everything seen. Objects are shared with whoever reads them.
#[derive(Debug)]
pub(super) struct Shared {
    inner: Mutex<Inner>,
    /// Counts changes, of status as well.
    changes: watch::Sender<u64>,
    /// Other objects may be wanted, or in another version.
    wanted_changed: Notify,
}

#[derive(Default)]
struct Inner {
    objects: BTreeMap<Kind, BTreeMap<ObjectKey, StoredObject>>,
    /// Keys that differ from what was taken last.
    dirty: BTreeSet<(Kind, ObjectKey)>,
    /// The namespace whose turn it was last of those with more changes than a turn takes.
    behind: Option<String>,
    wanted: Wanted,
    installed: InstalledApi,
    installed_changed: bool,
    broken: BTreeMap<(Kind, ObjectKey), Vec<Diagnostic>>,
    watches: BTreeMap<WatchId, WatchState>,
    /// True if objects of an earlier process are among them.
    stale: bool,
    /// True if anything has been taken yet: nothing is served by halves, so the first time everything is.
    taken: bool,
    /// True if nothing is waited for any more: everything has been there once, or the server has had its
    /// time.
    waits_no_more: bool,
    /// Something has changed for the reader, who was told and has not come yet.
    told: bool,
    waker: Option<Box<dyn Fn() + Send>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("watches", &self.watches).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(watches: impl IntoIterator<Item = WatchId>, options: TranslateOptions) -> Self {
        let watches = watches.into_iter().map(|id| (id, WatchState::default())).collect();
        let wanted = Wanted::new(options);
        let inner = Mutex::new(Inner { watches, wanted, ..Inner::default() });
        Self { inner, changes: watch::Sender::new(0), wanted_changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Each change below is whole before anything can panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins with the objects of an earlier process. They stay until the server says otherwise.
    pub(super) fn begin_with(&self, objects: ResourceSet) {
        let mut inner = self.lock();
        inner.stale = true;
        inner.dirty = objects.iter().map(|object| (object.kind(), object.key())).collect();
        inner.installed_changed = true;
        if let Some(installed) = &objects.installed {
            inner.installed = InstalledApi::clone(installed);
        }
        for object in objects.iter() {
            if let Object::Secret(secret) = &object
                && secret.data.as_ref().is_none_or(|data| !data.contains_key("tls.key"))
            {
                inner.wanted.keyless.insert(object.key());
            }
            inner.objects.entry(object.kind()).or_default().insert(object.key(), StoredObject::of(object));
        }
        inner.wanted.stale = true;
    }

    /// The server has had its time: what an earlier process left is served if nothing newer is there.
    pub(super) fn wait_no_more(&self) {
        let mut inner = self.lock();
        if inner.stale {
            inner.waits_no_more = true;
            inner.tell();
        }
    }

    /// Callback for new changes; called once until they are taken.
    pub(super) fn wake_by(&self, waker: Box<dyn Fn() + Send>) {
        self.lock().waker = Some(waker);
    }

    /// Signals every change, of status as well.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn object(&self, kind: Kind, key: &ObjectKey) -> Option<Object> {
        self.lock().held(kind, key).map(StoredObject::newest)
    }

    pub(super) fn keys(&self, kind: Kind) -> Vec<ObjectKey> {
        self.lock().keys(kind).cloned().collect()
    }

    pub(super) fn watches(&self) -> Vec<(WatchId, WatchState, usize)> {
        let inner = self.lock();
        let count = |id: &WatchId| match id.subject {
            Subject::Definitions => inner.installed.definitions.len(),
            Subject::Objects(kind) => inner.keys(kind).filter(|key| id.covers(key)).count(),
        };
        inner.watches.iter().map(|(id, state)| (id.clone(), state.clone(), count(id))).collect()
    }

    /// Brings `view` to what is known; what has not changed is the same object in it afterwards.
    pub(super) fn take(&self, view: &mut StoreView) -> PollResult {
        let mut inner = self.lock();
        inner.told = false;
        inner.refresh_wants();
        if let Some(what) = inner.waits_for() {
            view.diagnostics = inner.diagnostics_of_watches();
            return PollResult::Waiting(what);
        }
        inner.waits_no_more = true;
        let is_first = !std::mem::replace(&mut inner.taken, true);
        let dirty = inner.take_dirty(is_first);
        let changed = !dirty.is_empty() || inner.installed_changed;
        for (kind, key) in dirty {
            match inner.held(kind, &key) {
                Some(held) => drop(view.resources.insert(held.object().clone(), None)),
                None => drop(view.resources.remove(kind, &key)),
            }
        }
        if inner.installed_changed || view.resources.installed.is_none() {
            inner.installed_changed = false;
            view.resources.installed = Some(Arc::new(inner.installed.clone()));
        }
        let diagnostics = inner.diagnostics();
        if !changed && diagnostics == view.diagnostics {
            return PollResult::Same;
        }
        view.diagnostics = diagnostics;
        PollResult::New
    }

    /// Changes the state of a watch; returns what `change` does.
    pub(super) fn note<T>(&self, id: &WatchId, change: impl FnOnce(&mut WatchState) -> T) -> T {
        let mut inner = self.lock();
        let before = (inner.waits_for(), inner.diagnostics_of_watches());
        let result = change(inner.watches.entry(id.clone()).or_default());
        if before != (inner.waits_for(), inner.diagnostics_of_watches()) {
            inner.tell();
        }
        result
    }

    /// True if the object is held in that version already.
    pub(super) fn has(&self, kind: Kind, new: &ObjectMeta) -> bool {
        let (inner, key) = (self.lock(), ObjectKey::of(new));
        new.resource_version.is_some()
            && inner.held(kind, &key).is_some_and(|held| held.is_version(new))
            && !inner.broken.contains_key(&(kind, key))
    }

    /// Takes an object over: `Ok(None)` if it holds nothing of interest, `Err` if it cannot be understood and
    /// its last good version stays.
    pub(super) fn put(
        &self,
        id: &WatchId,
        (kind, key): (Kind, ObjectKey),
        object: Result<Object, Vec<Diagnostic>>,
    ) {
        let mut inner = self.lock();
        inner.count_event(id);
        inner.put((kind, key), object);
        let wants = inner.wanted.stale;
        drop(inner);
        self.changed(wants);
    }

    fn changed(&self, wanted: bool) {
        if wanted {
            self.wanted_changed.notify_one();
        }
        self.changes.send_modify(|count| *count += 1);
    }

    pub(super) fn remove(&self, id: &WatchId, kind: Kind, key: ObjectKey) {
        let mut inner = self.lock();
        inner.count_event(id);
        inner.forget(kind, key);
        let wants = inner.wanted.stale;
        drop(inner);
        self.changed(wants);
    }

    /// A whole list is in: what it does not show is gone.
    pub(super) fn retain(&self, id: &WatchId, kind: Kind, seen: &HashSet<ObjectKey>) {
        let mut inner = self.lock();
        let broken = inner.broken.keys().filter(|(of, _)| *of == kind).map(|(_, key)| key);
        let named = inner.wanted.names(kind);
        let gone: Vec<ObjectKey> = (inner.keys(kind).chain(broken).chain(named))
            .filter(|key| id.covers(key) && !seen.contains(*key))
            .cloned()
            .collect();
        gone.into_iter().for_each(|key| inner.forget(kind, key));
        if let Some(objects) = inner.objects.get_mut(&kind) {
            // Nodes of a map that grew in order are half empty; those of one that is made at once are full.
            *objects = std::mem::take(objects).into_iter().collect();
        }
        let wants = inner.wanted.stale || FETCHED.contains(&kind);
        drop(inner);
        self.changed(wants);
    }

    /// Notes if the server has no such kind.
    pub(super) fn set_absent(&self, id: &WatchId, is_absent: bool) {
        let Subject::Objects(kind) = id.subject else { return };
        let mut inner = self.lock();
        let changed = match is_absent {
            true => inner.installed.absent.insert(kind),
            false => inner.installed.absent.remove(&kind),
        };
        if changed {
            inner.installed_changed = true;
            inner.tell();
        }
    }

    /// Changes what is known of the definitions.
    pub(super) fn install(&self, id: &WatchId, change: impl FnOnce(&mut InstalledApi)) {
        let mut inner = self.lock();
        inner.count_event(id);
        let before = inner.installed.clone();
        change(&mut inner.installed);
        if inner.installed != before {
            inner.installed_changed = true;
            inner.tell();
        }
    }
}
