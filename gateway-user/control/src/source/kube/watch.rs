//! One watch, whatever it is of: follows its objects from the first list through every failure.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use gateway_api_types::{
    BUNDLE_VERSION_ANNOTATION, CHANNEL_ANNOTATION, Definition, GATEWAY_GROUP, ObjectKey,
};
use jiff::Timestamp;
use kube::core::ApiResource;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::sync::Notify;
use tracing::{debug, info};

use super::failure::{Failure, Next};
use super::item::Item;
use super::kinds::Subject;
use super::pause::Pauses;
use super::served;
use super::shared::{Shared, WatchId};

/// After so many seconds the server ends a watch, and we ask on. A connection that has died in silence is noticed that late.
const WATCH_SECONDS: u32 = 110;

/// What a watch needs.
pub(super) struct Watch {
    pub(super) id: WatchId,
    pub(super) client: Client,
    pub(super) shared: Arc<Shared>,
    /// Tells all watches that the server answers again.
    pub(super) back: Arc<Notify>,
}

/// Why one run of a watch has ended.
enum End {
    Relist,
    Page,
    Rediscover,
}

impl Watch {
    /// Follows it for ever.
    pub(super) async fn run(self) {
        let mut pauses = Pauses::default();
        let mut streaming = true;
        loop {
            let version = match self.version().await {
                Ok(version) => version,
                Err(failure) => {
                    self.failed(failure, &mut pauses).await;
                    continue;
                }
            };
            let resource = self.id.subject.api_resource(version);
            let end = if self.id.subject.metadata_only() {
                self.follow::<true>(&resource, streaming, &mut pauses).await
            } else {
                self.follow::<false>(&resource, streaming, &mut pauses).await
            };
            match end {
                End::Relist | End::Rediscover => {}
                End::Page => {
                    debug!(subject = %self.id.subject, "the server streams no lists; they are fetched in pages");
                    streaming = false;
                }
            }
        }
    }

    /// The version in which to ask.
    async fn version(&self) -> Result<&'static str, Failure> {
        match self.id.subject {
            Subject::Objects(kind) if self.id.subject.is_custom() => {
                let version = served::version(&self.client, kind).await;
                version.map_err(|error| Failure::of(&error))?.ok_or(Failure::Missing)
            }
            Subject::Objects(kind) => Ok(kind.version()),
            Subject::Definitions => Ok("v1"),
        }
    }

    async fn follow<const META: bool>(
        &self,
        resource: &ApiResource,
        streaming: bool,
        pauses: &mut Pauses,
    ) -> End {
        let api: Api<Item<META>> = match &self.id.namespace {
            Some(name) if self.id.subject.namespaced() => {
                Api::namespaced_with(self.client.clone(), name, resource)
            }
            _ => Api::all_with(self.client.clone(), resource),
        };
        let mut events = pin!(watcher(api, self.config(streaming)));
        let mut seen = HashSet::new();
        while let Some(event) = events.next().await {
            let error = match event {
                Ok(event) => {
                    self.take(event, &mut seen, pauses);
                    continue;
                }
                Err(error) => error,
            };
            debug!(subject = %self.id.subject, "watch: {error}");
            match Next::after(&error, streaming) {
                Next::Wait(failure) => self.failed(failure, pauses).await,
                Next::Relist => {
                    // The server must not be asked in a circle.
                    tokio::time::sleep(pauses.next()).await;
                    return End::Relist;
                }
                Next::Page => return End::Page,
                Next::Rediscover => {
                    self.failed(Failure::Missing, pauses).await;
                    return End::Rediscover;
                }
            }
        }
        End::Relist
    }

    fn config(&self, streaming: bool) -> watcher::Config {
        let mut config = watcher::Config::default().timeout(WATCH_SECONDS);
        if streaming {
            config = config.streaming_lists();
        }
        let name = self.id.namespace.as_ref().filter(|_| !self.id.subject.namespaced());
        let named = name.map(|name| format!("metadata.name={name}"));
        match named.as_deref().or(self.id.subject.field_selector()) {
            Some(selector) => config.fields(selector),
            None => config,
        }
    }

    fn take<const META: bool>(
        &self,
        event: Event<Item<META>>,
        seen: &mut HashSet<ObjectKey>,
        pauses: &mut Pauses,
    ) {
        match event {
            Event::Init => seen.clear(),
            Event::InitApply(item) => {
                seen.insert(item.key());
                self.put(item);
            }
            Event::InitDone => {
                self.whole(&std::mem::take(seen));
                self.works(pauses);
            }
            Event::Apply(item) => {
                self.put(item);
                self.works(pauses);
            }
            Event::Delete(item) => {
                match self.id.subject {
                    Subject::Objects(kind) => self.shared.remove(&self.id, kind, item.key()),
                    Subject::Definitions => {
                        let name = item.key().name;
                        self.shared.install(&self.id, |installed| drop(installed.definitions.remove(&name)));
                    }
                }
                self.works(pauses);
            }
        }
    }

    fn put<const META: bool>(&self, item: Item<META>) {
        let key = item.key();
        match self.id.subject {
            Subject::Objects(kind) => {
                if !self.shared.has(kind, &key, item.resource_version()) {
                    self.shared.put(&self.id, (kind, key), item.into_object(kind));
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

    /// A whole list is in.
    fn whole(&self, seen: &HashSet<ObjectKey>) {
        match self.id.subject {
            Subject::Objects(kind) => self.shared.retain(&self.id, kind, seen),
            Subject::Definitions => self.shared.install(&self.id, |installed| {
                installed.definitions.retain(|name, _| seen.contains(&ObjectKey::new("", name)));
            }),
        }
        self.shared.note(&self.id, |state| {
            state.synced = true;
            state.lists += 1;
        });
    }

    /// The server has said something of use.
    fn works(&self, pauses: &mut Pauses) {
        pauses.reset();
        let before = self.shared.note(&self.id, |state| {
            state.last_event = Some(Timestamp::now());
            state.failing.take()
        });
        if let Some((since, _)) = before {
            info!(
                "{} are watched again, after {:#}",
                self.id.subject.resource(),
                since.duration_until(Timestamp::now())
            );
            self.back.notify_waiters();
        }
    }

    /// Notes a failure and waits, or until another watch has found the server well.
    async fn failed(&self, failure: Failure, pauses: &mut Pauses) {
        let reachable = failure.is_answer();
        self.shared.note(&self.id, |state| {
            state.failures += 1;
            let since = state.failing.as_ref().map_or_else(Timestamp::now, |(since, _)| *since);
            state.failing = Some((since, failure));
        });
        let back = self.back.notified();
        let pause = tokio::time::sleep(pauses.next());
        tokio::select! {
            () = pause => {}
            () = back, if !reachable => {}
        }
    }
}
