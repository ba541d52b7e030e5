//! Objects that are seen by the watch and fetched one by one.

use gateway_api_types::Object;
use gateway_api_types::load::Diagnostic;

use super::{Shared, WatchId};
use crate::source::kube::wanted::Place;

impl Shared {
    /// One is there in this version, as the watch says.
    pub(in crate::source::kube) fn see(&self, id: &WatchId, key: Place, version: &str) {
        let mut inner = self.lock();
        inner.count_event(id);
        let wanted = inner.wanted.stale || inner.wanted.is_wanted(&key);
        inner.wanted.see(key, version);
        drop(inner);
        self.changed(wanted);
    }

    /// One was fetched; `None` if there is none of that name and type.
    pub(in crate::source::kube) fn put_fetched(
        &self,
        key: &Place,
        object: Option<Result<Object, Vec<Diagnostic>>>,
    ) {
        let mut inner = self.lock();
        if inner.wanted.fetched(key) {
            match object {
                Some(object) => inner.put(key.clone(), object),
                // The watch will say so, too, and what becomes of the name.
                None => inner.drop_held(key.clone()),
            }
            // Whatever came, there may be objects that waited for it.
            inner.tell();
        }
        drop(inner);
        self.changed(true);
    }

    /// Notes that one could not be fetched; true if it is still wanted.
    pub(in crate::source::kube) fn miss(&self, key: &Place, why: String) -> bool {
        let mut inner = self.lock();
        let wanted = inner.wanted.failed(key, why);
        if wanted {
            inner.tell();
        }
        wanted
    }

    /// Begins the next fetch, which awaits no reply of an earlier one.
    pub(in crate::source::kube) fn begin_to_fetch(&self) {
        self.lock().wanted.begin();
    }

    /// Those that are to be fetched now.
    pub(in crate::source::kube) fn due(&self) -> Vec<Place> {
        let inner = &mut *self.lock();
        inner.refresh_wants();
        let objects = &inner.objects;
        inner.wanted.take_due(|(kind, key), version| {
            objects.get(kind).and_then(|held| held.get(key)).is_some_and(|one| one.is_at(version))
        })
    }

    /// Ends when others may be due than at the time of the call.
    pub(in crate::source::kube) fn wanted_changed(&self) -> impl Future<Output = ()> {
        self.wanted_changed.notified()
    }
}
