//! The watch of one kind, or of the definitions: keeps what it brings in [`Shared`].

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use gateway_api_types::{
    BUNDLE_VERSION_ANNOTATION, CHANNEL_ANNOTATION, Definition, GATEWAY_GROUP, ObjectKey,
};
use jiff::Timestamp;
use kube::core::ApiResource;
use kube::{Api, Client};
use tokio::sync::Notify;
use tracing::debug;

use super::kinds::Subject;
use super::object::typed;
use super::served;
use super::shared::{Shared, WatchId};
use super::wanted::FETCHED;
use crate::kube_watch::{ApiError, Handler, Item, Watch};

/// Interval of requests for what the server has not refused for long.
const FIRST_REFUSED: Duration = Duration::from_secs(1);
/// Interval of requests for what was refused.
const REFUSED: Duration = Duration::from_secs(8);

/// Interval of looks for a kind that the server may well not have.
const ABSENT: Duration = Duration::from_secs(60);

/// Follows its objects for ever. `recovered` tells all watches that the server responds again.
pub(super) async fn run(id: WatchId, client: Client, shared: Arc<Shared>, recovered: Arc<Notify>) {
    let fields = field_selector(&id);
    let handler = Keep { id: id.clone(), shared: Arc::clone(&shared) };
    let mut watch = Watch::new(handler).with_fields(fields).with_recovered(Arc::clone(&recovered));
    loop {
        let version = match served::version(&client, id.subject).await {
            Ok(version) => version,
            Err(ApiError::Missing) if id.subject.is_optional() => {
                Keep { id: id.clone(), shared: Arc::clone(&shared) }.has_none();
                // It may have been started anew with the kind when it responds again.
                let recovered = recovered.notified();
                tokio::select! {
                    () = tokio::time::sleep(ABSENT) => {}
                    () = recovered => {}
                }
                continue;
            }
            Err(error) => {
                watch.fail(error).await;
                continue;
            }
        };
        shared.set_absent(&id, false);
        // Until the kind may be served in another version, or in none.
        let resource = id.subject.api_resource(version);
        if id.subject.metadata_only() {
            watch.follow(&api::<true>(&client, &id, &resource)).await;
        } else {
            watch.follow(&api::<false>(&client, &id, &resource)).await;
        }
        watch.fail(ApiError::missing(id.subject)).await;
    }
}

fn api<const META: bool>(client: &Client, id: &WatchId, resource: &ApiResource) -> Api<Item<META>> {
    match &id.namespace {
        Some(name) if id.subject.namespaced() => Api::namespaced_with(client.clone(), name, resource),
        _ => Api::all_with(client.clone(), resource),
    }
}

fn field_selector(id: &WatchId) -> Option<String> {
    let name = id.namespace.as_ref().filter(|_| !id.subject.namespaced());
    let named = name.map(|name| format!("metadata.name={name}"));
    named.or_else(|| id.subject.field_selector().map(str::to_owned))
}

/// Keeps the objects of one watch, and how it is doing.
struct Keep {
    id: WatchId,
    shared: Arc<Shared>,
}

impl Keep {
    /// The server does not have the kind, which is as good as no object of it.
    fn has_none(mut self) {
        self.shared.set_absent(&self.id, true);
        self.retain(&HashSet::new());
        self.succeeded();
    }
}

impl Handler for Keep {
    fn apply<const META: bool>(&mut self, item: Item<META>) {
        let key = item.key();
        match self.id.subject {
            Subject::Objects(kind) if FETCHED.contains(&kind) => {
                self.shared.see(&self.id, (kind, key), item.resource_version().unwrap_or_default());
            }
            Subject::Objects(kind) => {
                if !self.shared.has(kind, item.metadata()) {
                    self.shared.put(&self.id, (kind, key), typed(item, kind));
                }
            }
            Subject::Definitions => {
                let text = |name| item.annotation(name).map(str::to_owned);
                let definition = Definition {
                    bundle_version: text(BUNDLE_VERSION_ANNOTATION),
                    channel: text(CHANNEL_ANNOTATION),
                };
                if key.name.ends_with(&format!(".{GATEWAY_GROUP}")) {
                    self.shared.install(&self.id, |installed| {
                        installed.definitions.insert(key.name, definition);
                    });
                }
            }
        }
    }

    fn delete(&mut self, key: ObjectKey) {
        match self.id.subject {
            Subject::Objects(kind) => self.shared.remove(&self.id, kind, key),
            Subject::Definitions => {
                self.shared.install(&self.id, |installed| drop(installed.definitions.remove(&key.name)));
            }
        }
    }

    fn retain(&mut self, listed: &HashSet<ObjectKey>) {
        match self.id.subject {
            Subject::Objects(kind) => self.shared.retain(&self.id, kind, listed),
            Subject::Definitions => self.shared.install(&self.id, |installed| {
                installed.definitions.retain(|name, _| listed.contains(&ObjectKey::new("", name)));
            }),
        }
        self.shared.note(&self.id, |state| {
            state.synced = true;
            state.lists += 1;
        });
    }

    fn succeeded(&mut self) {
        let before = self.shared.note(&self.id, |state| state.succeed(Timestamp::now()));
        if let Some((since, _)) = before {
            let after = since.duration_until(Timestamp::now());
            debug!("{} are watched again, after {after:#}", self.id.subject.resource());
        }
    }

    fn failed(&mut self, error: ApiError) -> Option<Duration> {
        let refused = error.is_response();
        let synced = self.shared.note(&self.id, |state| {
            state.fail(error, Timestamp::now());
            state.synced || state.refused
        });
        match (refused, synced) {
            // Others wait for the first definite response.
            (true, false) => Some(FIRST_REFUSED),
            // Nobody tells us that a right was given or a kind installed.
            (true, true) => Some(REFUSED),
            (false, _) => None,
        }
    }
}
