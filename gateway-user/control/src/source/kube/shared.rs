//! State of all watches, shared by the thread that watches and those that read it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gateway_api_types::load::{Diagnostic, Position, Severity};
use gateway_api_types::{InstalledApi, Kind, Object, ObjectKey, ResourceSet};
use gateway_translate::{TranslateOptions, secret_wants};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::sync::{Notify, watch};

use super::api_error::ApiError;
use super::fair;
use super::held::StoredObject;
use super::kinds::Subject;
use super::secrets::Secrets;
use crate::source::PollResult;
use crate::store::StoreView;

/// One watch: what it is of, and in which namespace if not in all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchId {
    /// Kind of its objects.
    pub subject: Subject,
    /// The namespace, if not all.
    pub namespace: Option<String>,
}

impl WatchId {
    /// True if an object of that name would be in its lists.
    fn covers(&self, key: &ObjectKey) -> bool {
        let place = if self.subject.namespaced() { &key.namespace } else { &key.name };
        self.namespace.as_ref().is_none_or(|name| name == place)
    }
}

/// How long a server must refuse for it to be believed: one that is just starting knows neither roles nor
/// kinds for some seconds.
const GRACE: SignedDuration = SignedDuration::from_secs(5);

/// How a watch is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchState {
    /// True if a whole list has arrived at least once.
    pub synced: bool,
    /// When the server said anything last.
    pub last_event: Option<Timestamp>,
    /// Since when it gives nothing, and why.
    pub failing: Option<(Timestamp, ApiError)>,
    /// Since when the server has refused every request.
    refusing: Option<Timestamp>,
    /// True if it has done so for [`GRACE`], so that it means them.
    pub refused: bool,
    /// Objects that came or went, since the start.
    pub events: u64,
    /// Whole lists that arrived, since the start.
    pub lists: u64,
    /// Failures since the start.
    pub failures: u64,
}

impl WatchState {
    /// True if nothing more is to be waited for before what is known can be served. With `stale`, objects of
    /// an earlier process are there in place of those that cannot be had.
    fn has_responded(&self, stale: bool) -> bool {
        self.synced || self.refused || (stale && self.failing.is_some())
    }

    /// Notes a failure at that time.
    pub(super) fn fail(&mut self, failure: ApiError, now: Timestamp) {
        self.failures += 1;
        self.refusing = failure.is_response().then(|| self.refusing.unwrap_or(now));
        self.refused = self.refusing.is_some_and(|since| now.duration_since(since) >= GRACE);
        let since = self.failing.as_ref().map_or(now, |(since, _)| *since);
        self.failing = Some((since, failure));
    }

    /// Notes that the server has said something of use; gives the failure that is over.
    pub(super) fn succeed(&mut self, now: Timestamp) -> Option<(Timestamp, ApiError)> {
        self.last_event = Some(now);
        (self.refusing, self.refused) = (None, false);
        self.failing.take()
    }

    /// The failure that people should hear of.
    fn current_error(&self) -> Option<&ApiError> {
        let (_, failure) = self.failing.as_ref()?;
        (self.refused || !failure.is_response()).then_some(failure)
    }
}

/// Everything seen. Objects are shared with whoever reads them.
#[derive(Debug)]
pub(super) struct Shared {
    inner: Mutex<Inner>,
    /// Counts changes, of status as well.
    changes: watch::Sender<u64>,
    /// Other Secrets may be wanted, or in another version.
    secrets_changed: Notify,
}

#[derive(Default)]
struct Inner {
    objects: BTreeMap<Kind, BTreeMap<ObjectKey, StoredObject>>,
    /// Keys that differ from what was taken last.
    dirty: BTreeSet<(Kind, ObjectKey)>,
    /// The namespace whose turn it was last of those with more changes than a turn takes.
    behind: Option<String>,
    secrets: Secrets,
    installed: InstalledApi,
    installed_changed: bool,
    broken: BTreeMap<(Kind, ObjectKey), Vec<Diagnostic>>,
    watches: BTreeMap<WatchId, WatchState>,
    /// True if objects of an earlier process are among them.
    stale: bool,
    /// True if anything has been taken yet: nothing is served by halves, so the first time everything is.
    taken: bool,
    /// True if nothing is waited for any more: everything has been there once, or the server has had its time.
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
        let secrets = Secrets::new(options);
        let inner = Mutex::new(Inner { watches, secrets, ..Inner::default() });
        Self { inner, changes: watch::Sender::new(0), secrets_changed: Notify::new() }
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
                inner.secrets.keyless.insert(object.key());
            }
            inner.objects.entry(object.kind()).or_default().insert(object.key(), StoredObject::of(object));
        }
        inner.secrets.stale = true;
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
        let wants = inner.secrets.stale;
        drop(inner);
        self.changed(wants);
    }

    /// A Secret is there in this version, as the watch says.
    pub(super) fn see_secret(&self, id: &WatchId, key: ObjectKey, version: &str) {
        let mut inner = self.lock();
        inner.count_event(id);
        let wanted = inner.secrets.stale || inner.secrets.is_wanted(&key);
        inner.secrets.see(key, version);
        drop(inner);
        self.changed(wanted);
    }

    /// A Secret was fetched; `None` if there is none of that name and type.
    pub(super) fn put_secret(&self, key: &ObjectKey, object: Option<Result<Object, Vec<Diagnostic>>>) {
        let mut inner = self.lock();
        if inner.secrets.fetched(key) {
            match object {
                Some(object) => inner.put((Kind::Secret, key.clone()), object),
                // The watch will say so, too, and what becomes of the name.
                None => inner.drop_held((Kind::Secret, key.clone())),
            }
            // Whatever came, there may be Gateways that waited for it.
            inner.tell();
        }
        drop(inner);
        self.changed(true);
    }

    /// Notes that a Secret could not be fetched; true if it is still wanted.
    pub(super) fn miss_secret(&self, key: &ObjectKey, why: String) -> bool {
        let mut inner = self.lock();
        let wanted = inner.secrets.failed(key, why);
        if wanted {
            inner.tell();
        }
        wanted
    }

    /// Nothing is on its way: who fetches begins.
    pub(super) fn begin_to_fetch(&self) {
        self.lock().secrets.begin();
    }

    /// The Secrets that are to be fetched now.
    pub(super) fn due_secrets(&self) -> Vec<ObjectKey> {
        let inner = &mut *self.lock();
        inner.refresh_wants();
        let held = inner.objects.get(&Kind::Secret);
        inner.secrets.take_due(|key, version| {
            held.and_then(|held| held.get(key)).is_some_and(|one| one.is_at(version))
        })
    }

    /// Ends when other Secrets may be due than at the time of the call.
    pub(super) fn secrets_changed(&self) -> impl Future<Output = ()> {
        self.secrets_changed.notified()
    }

    fn changed(&self, secrets: bool) {
        if secrets {
            self.secrets_changed.notify_one();
        }
        self.changes.send_modify(|count| *count += 1);
    }

    pub(super) fn remove(&self, id: &WatchId, kind: Kind, key: ObjectKey) {
        let mut inner = self.lock();
        inner.count_event(id);
        inner.forget(kind, key);
        let wants = inner.secrets.stale;
        drop(inner);
        self.changed(wants);
    }

    /// A whole list is in: what it does not show is gone.
    pub(super) fn retain(&self, id: &WatchId, kind: Kind, seen: &HashSet<ObjectKey>) {
        let mut inner = self.lock();
        let broken = inner.broken.keys().filter(|(of, _)| *of == kind).map(|(_, key)| key);
        let named = inner.secrets.names().filter(|_| kind == Kind::Secret);
        let gone: Vec<ObjectKey> = (inner.keys(kind).chain(broken).chain(named))
            .filter(|key| id.covers(key) && !seen.contains(*key))
            .cloned()
            .collect();
        gone.into_iter().for_each(|key| inner.forget(kind, key));
        if let Some(objects) = inner.objects.get_mut(&kind) {
            // Nodes of a map that grew in order are half empty; those of one that is made at once are full.
            *objects = std::mem::take(objects).into_iter().collect();
        }
        let wants = inner.secrets.stale || kind == Kind::Secret;
        drop(inner);
        self.changed(wants);
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

impl Inner {
    fn held(&self, kind: Kind, key: &ObjectKey) -> Option<&StoredObject> {
        self.objects.get(&kind)?.get(key)
    }

    fn keys(&self, kind: Kind) -> impl Iterator<Item = &ObjectKey> {
        self.objects.get(&kind).into_iter().flat_map(BTreeMap::keys)
    }

    fn put(&mut self, place: (Kind, ObjectKey), object: Result<Object, Vec<Diagnostic>>) {
        let kind = place.0;
        match object {
            Ok(object) => {
                let mended = self.broken.remove(&place).is_some();
                let changed = self.hold(kind, &place.1, object);
                if changed {
                    self.secrets.stale |= Secrets::depend_on(kind);
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
    fn hold(&mut self, kind: Kind, key: &ObjectKey, object: Object) -> bool {
        let (objects, new) = (self.objects.entry(kind).or_default(), StoredObject::of(object));
        match objects.get_mut(key) {
            Some(held) => held.replace(new),
            None => objects.insert(key.clone(), new).is_none(),
        }
    }

    /// Finds out anew which Secrets are wanted, if that may have changed, and forgets the others.
    fn refresh_wants(&mut self) {
        if !self.secrets.stale {
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
        let grants = all(Kind::ReferenceGrant).filter_map(|object| match object {
            Object::ReferenceGrant(grant) => Some(&**grant),
            _ => None,
        });
        let wants = secret_wants(classes, gateways, grants, &self.secrets.options);
        self.secrets.want(wants);
        let of_secrets = |place: &&(Kind, ObjectKey)| place.0 == Kind::Secret;
        let broken = self.broken.keys().filter(of_secrets).map(|(_, key)| key);
        let unwanted = self.keys(Kind::Secret).chain(broken).filter(|key| !self.secrets.is_wanted(key));
        for key in unwanted.cloned().collect::<Vec<_>>() {
            self.drop_held((Kind::Secret, key));
        }
    }

    /// Takes the changes that go into the next configuration; the rest stays for the one after it.
    fn take_dirty(&mut self, everything: bool) -> BTreeSet<(Kind, ObjectKey)> {
        let dirty = std::mem::take(&mut self.dirty);
        if everything {
            return dirty;
        }
        let (held_up, ready): (BTreeSet<_>, BTreeSet<_>) = dirty.into_iter().partition(|(kind, key)| {
            let secret = |key: &ObjectKey| self.held(Kind::Secret, key).is_some();
            self.held(*kind, key).is_some() && self.secrets.hold_up(*kind, key, secret)
        });
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
    fn drop_object(&mut self, kind: Kind, key: &ObjectKey) -> bool {
        self.objects.get_mut(&kind).is_some_and(|objects| objects.remove(key).is_some())
    }

    fn count_event(&mut self, id: &WatchId) {
        let state = self.watches.entry(id.clone()).or_default();
        state.events += 1;
        state.last_event = Some(Timestamp::now());
    }

    fn forget(&mut self, kind: Kind, key: ObjectKey) {
        if kind == Kind::Secret {
            self.secrets.remove(&key);
        }
        self.drop_held((kind, key));
    }

    fn drop_held(&mut self, place: (Kind, ObjectKey)) {
        let kind = place.0;
        let broken = self.broken.remove(&place).is_some();
        let held = self.drop_object(kind, &place.1);
        if held {
            self.secrets.stale |= Secrets::depend_on(kind);
            self.dirty.insert(place);
        }
        if held || broken {
            self.tell();
        }
    }

    fn tell(&mut self) {
        if !self.told {
            self.told = true;
            if let Some(wake) = &self.waker {
                wake();
            }
        }
    }

    /// Missing part of the source before anything may be served.
    fn waits_for(&self) -> Option<String> {
        if self.waits_no_more {
            return None;
        }
        let missing: Vec<&WatchId> = self
            .watches
            .iter()
            .filter(|(_, state)| !state.has_responded(self.stale))
            .map(|(id, _)| id)
            .collect();
        let Some(first) = missing.first() else {
            let pending = self.secrets.pending(|key| self.held(Kind::Secret, key).is_some());
            return (pending > 0)
                .then(|| format!("waiting for {pending} certificates that Gateways refer to"));
        };
        let state = self.watches.get(*first)?;
        Some(match state.current_error() {
            Some(failure) => failure.line(first.subject, first.namespace.as_deref(), false),
            None => {
                format!("waiting for the first list of {} of {} kinds", missing.len(), self.watches.len())
            }
        })
    }

    fn diagnostics(&self) -> Vec<Diagnostic> {
        let broken = self.broken.values().flatten().cloned();
        self.diagnostics_of_watches().into_iter().chain(broken).chain(self.diagnostics_of_secrets()).collect()
    }

    fn diagnostics_of_secrets(&self) -> impl Iterator<Item = Diagnostic> {
        let failed = self.secrets.failures().map(|(key, why)| {
            let held = self.held(Kind::Secret, key).is_some();
            let rest = if held {
                "its last version stays in force"
            } else {
                "listeners that refer to it have no certificate"
            };
            about_secret(Severity::Error, key, format!("cannot be read, so {rest}; tried again: {why}"))
        });
        let keyless = self.secrets.without_key().map(|key| {
            let message = "its private key is not kept on disk (--last-good=no-keys), so listeners that refer to it have no \
                           certificate until the API server responds";
            about_secret(Severity::Error, key, message.to_owned())
        });
        failed.chain(keyless)
    }

    /// Namespaces that are to be read and are not there: one that comes later is read then.
    fn missing_namespaces(&self) -> impl Iterator<Item = Diagnostic> {
        let named = self.watches.iter().filter(|(id, state)| {
            id.subject == Subject::Objects(Kind::Namespace) && state.synced && state.current_error().is_none()
        });
        let names = named.filter_map(|(id, _)| id.namespace.as_deref());
        let missing = names.filter(|name| self.held(Kind::Namespace, &ObjectKey::new("", *name)).is_none());
        missing.map(|name| Diagnostic {
            file: "".into(),
            position: Position::default(),
            severity: Severity::Warning,
            object: String::new(),
            field: String::new(),
            message: format!(
                "--watch-namespaces: the cluster has no namespace {name:?}, so nothing is read there"
            ),
        })
    }

    /// One line for each reason, however many kinds it is the reason of.
    fn diagnostics_of_watches(&self) -> Vec<Diagnostic> {
        let mut said = BTreeSet::new();
        let failing = self.watches.iter().filter_map(|(id, state)| Some((id, state, state.current_error()?)));
        failing
            .map(|(id, state, failure)| {
                let synced = state.synced || self.stale;
                (failure, failure.line(id.subject, id.namespace.as_deref(), synced))
            })
            .filter(|(failure, line)| {
                said.insert(if failure.is_common() { String::new() } else { line.clone() })
            })
            .map(|(_, message)| Diagnostic {
                file: "".into(),
                position: Position::default(),
                severity: Severity::Error,
                object: String::new(),
                field: String::new(),
                message,
            })
            .chain(self.missing_namespaces())
            .collect()
    }
}

fn about_secret(severity: Severity, key: &ObjectKey, message: String) -> Diagnostic {
    let object = format!("{} {key}", Kind::Secret);
    Diagnostic {
        file: "".into(),
        position: Position::default(),
        severity,
        object,
        field: String::new(),
        message,
    }
}

fn outcome(kind: Kind, key: &ObjectKey, held: bool) -> Diagnostic {
    let message =
        if held { "its last good version stays in force" } else { "it is left out, and all else is served" };
    Diagnostic {
        file: "".into(),
        position: Position::default(),
        severity: Severity::Warning,
        object: format!("{kind} {key}"),
        field: String::new(),
        message: message.to_owned(),
    }
}
