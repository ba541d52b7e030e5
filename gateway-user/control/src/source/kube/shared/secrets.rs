//! Secrets: seen by the watch, fetched one by one.

use gateway_api_types::load::Diagnostic;
use gateway_api_types::{Kind, Object, ObjectKey};

use super::{Shared, WatchId};

impl Shared {
    /// A Secret is there in this version, as the watch says.
    pub(in crate::source::kube) fn see_secret(&self, id: &WatchId, key: ObjectKey, version: &str) {
        let mut inner = self.lock();
        inner.count_event(id);
        let wanted = inner.secrets.stale || inner.secrets.is_wanted(&key);
        inner.secrets.see(key, version);
        drop(inner);
        self.changed(wanted);
    }

    /// A Secret was fetched; `None` if there is none of that name and type.
    pub(in crate::source::kube) fn put_secret(
        &self,
        key: &ObjectKey,
        object: Option<Result<Object, Vec<Diagnostic>>>,
    ) {
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
    pub(in crate::source::kube) fn miss_secret(&self, key: &ObjectKey, why: String) -> bool {
        let mut inner = self.lock();
        let wanted = inner.secrets.failed(key, why);
        if wanted {
            inner.tell();
        }
        wanted
    }

    /// Begins the next fetch, which awaits no reply of an earlier one.
    pub(in crate::source::kube) fn begin_to_fetch(&self) {
        self.lock().secrets.begin();
    }

    /// The Secrets that are to be fetched now.
    pub(in crate::source::kube) fn due_secrets(&self) -> Vec<ObjectKey> {
        let inner = &mut *self.lock();
        inner.refresh_wants();
        let held = inner.objects.get(&Kind::Secret);
        inner.secrets.take_due(|key, version| {
            held.and_then(|held| held.get(key)).is_some_and(|one| one.is_at(version))
        })
    }

    /// Ends when other Secrets may be due than at the time of the call.
    pub(in crate::source::kube) fn secrets_changed(&self) -> impl Future<Output = ()> {
        self.secrets_changed.notified()
    }
}
