//! One watch, whatever it is of: follows its objects from the first list through every failure.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use gateway_api_types::{
    BUNDLE_VERSION_ANNOTATION, CHANNEL_ANNOTATION, Definition, GATEWAY_GROUP, Kind, ObjectKey,
};
use jiff::Timestamp;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::ApiResource;
use kube::{Api, Client};
use tokio::sync::Notify;
use tracing::debug;

use super::api_error::{ApiError, NextStep};
use super::item::Item;
use super::kinds::Subject;
use super::served;
use super::shared::{Shared, WatchId};
use crate::backoff::Backoff;

/// After so many seconds the server ends a watch, and we ask on. A connection that has died in silence is
/// noticed that late.
const WATCH_SECONDS: u32 = 110;

/// Limit for the server to begin a response, and between two objects of a list.
const EVENT_TIMEOUT: Duration = Duration::from_secs(30);
/// And by so many seconds more.
const SLACK: u64 = 5;
/// A request that ends sooner is not followed by another at once.
const QUICK: Duration = SECOND;
const SECOND: Duration = Duration::from_secs(1);
/// How often is asked for what was refused.
const REFUSED: Duration = Duration::from_secs(8);
/// Objects of a page, where lists are not streamed.
const PAGE: u32 = 500;
/// Annotation of the bookmark that ends a streamed list (KEP-3157).
const END_OF_LIST: &str = "k8s.io/initial-events-end";

/// Configuration of a watch.
#[derive(Clone)]
pub(super) struct Watch {
    pub(super) id: WatchId,
    pub(super) client: Client,
    pub(super) shared: Arc<Shared>,
    /// Tells all watches that the server responds again.
    pub(super) back: Arc<Notify>,
}

/// Error that ends a watch.
enum Error {
    /// The server, or the way to it.
    Server(kube::Error),
    /// The response cannot be parsed, or ended early.
    Malformed(String),
    /// The server took the question and says nothing.
    Timeout(Duration),
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        match error {
            // Each line is an event of its own; whose this one was nobody knows.
            kube::Error::SerdeError(error) => Self::Malformed(error.to_string()),
            other => Self::Server(other),
        }
    }
}

impl Watch {
    /// Follows it for ever.
    pub(super) async fn run(self) {
        let mut backoff = Backoff::default();
        let mut streaming = true;
        loop {
            let version = match self.version().await {
                Ok(version) => version,
                Err(failure) => {
                    self.failed(failure, &mut backoff).await;
                    continue;
                }
            };
            let resource = self.id.subject.api_resource(version);
            if self.id.subject.metadata_only() {
                self.follow::<true>(&resource, &mut streaming, &mut backoff).await;
            } else {
                self.follow::<false>(&resource, &mut streaming, &mut backoff).await;
            }
        }
    }

    /// Follows it until the kind may be served in another version, or in none.
    async fn follow<const META: bool>(
        &self,
        resource: &ApiResource,
        streaming: &mut bool,
        backoff: &mut Backoff,
    ) {
        let api: Api<Item<META>> = match &self.id.namespace {
            Some(name) if self.id.subject.namespaced() => {
                Api::namespaced_with(self.client.clone(), name, resource)
            }
            _ => Api::all_with(self.client.clone(), resource),
        };
        // The version from which on events are wanted; none before a whole list is there.
        let mut from = None;
        loop {
            let begun = Instant::now();
            let Err(error) = self.round(&api, &mut from, *streaming, backoff).await else {
                if begun.elapsed() < QUICK {
                    // The server must not be asked in a circle.
                    tokio::time::sleep(backoff.next_delay()).await;
                }
                continue;
            };
            let error = match error {
                Error::Server(error) => error,
                Error::Timeout(limit) => {
                    self.failed(silent(limit), backoff).await;
                    continue;
                }
                Error::Malformed(what) => {
                    // Its events are lost, so everything is listed again.
                    from = None;
                    self.failed(ApiError::Other(what), backoff).await;
                    continue;
                }
            };
            debug!(subject = %self.id.subject, "watch: {error}");
            match NextStep::after(&error, *streaming && from.is_none()) {
                NextStep::Wait(failure) => self.failed(failure, backoff).await,
                NextStep::Relist => {
                    from = None;
                    tokio::time::sleep(backoff.next_delay()).await;
                }
                NextStep::Page => *streaming = false,
                NextStep::Rediscover => return self.failed(ApiError::missing(self.id.subject), backoff).await,
            }
        }
    }

    /// One request: a list in pages, or a watch to its end. `from` follows what was seen.
    async fn round<const META: bool>(
        &self,
        api: &Api<Item<META>>,
        from: &mut Option<String>,
        streaming: bool,
        backoff: &mut Backoff,
    ) -> Result<(), Error> {
        if from.is_none() && !streaming {
            *from = Some(self.pages(api).await?);
            self.works(backoff);
            return Ok(());
        }
        let params = WatchParams {
            field_selector: self.field_selector(),
            timeout: Some(WATCH_SECONDS),
            send_initial_events: from.is_none(),
            ..WatchParams::default()
        };
        // None asks for a list that is not older than the question; "0" would allow one out of a cache that
        // lags behind.
        let begin = api.watch(&params, from.as_deref().unwrap_or_default());
        let mut events = within(EVENT_TIMEOUT, begin).await?.boxed();
        if from.is_some() {
            self.works(backoff);
        }
        let mut seen = HashSet::new();
        // A connection that has died says nothing, not even that the time is over.
        let patience = |listed: bool| match listed {
            true => Duration::from_secs(u64::from(WATCH_SECONDS) + SLACK),
            false => EVENT_TIMEOUT,
        };
        while let Ok(Some(event)) = tokio::time::timeout(patience(from.is_some()), events.next()).await {
            match event {
                Ok(WatchEvent::Added(item) | WatchEvent::Modified(item)) => {
                    if from.is_none() {
                        seen.insert(item.key());
                    }
                    advance(from, &item);
                    self.put(item);
                }
                Ok(WatchEvent::Deleted(item)) => {
                    advance(from, &item);
                    self.remove(item.key());
                }
                Ok(WatchEvent::Bookmark(mark)) => {
                    let ends_list = mark.metadata.annotations.contains_key(END_OF_LIST);
                    if from.is_none() && ends_list {
                        self.whole(&std::mem::take(&mut seen));
                    }
                    if from.is_some() || ends_list {
                        *from = Some(mark.metadata.resource_version);
                        self.works(backoff);
                    }
                }
                Ok(WatchEvent::Error(status)) => {
                    return Err(Error::Server(kube::Error::Api(Box::new(*status))));
                }
                Err(error @ kube::Error::SerdeError(_)) => return Err(error.into()),
                // The connection ended; the next one says whether the server is well.
                Err(error) => {
                    debug!(subject = %self.id.subject, "watch: {error}");
                    break;
                }
            }
        }
        match from {
            Some(_) => Ok(()),
            None => Err(Error::Malformed("the list ended before it was whole".to_owned())),
        }
    }

    /// A whole list, page by page. Returns the version from which on events are wanted.
    async fn pages<const META: bool>(&self, api: &Api<Item<META>>) -> Result<String, Error> {
        let mut params =
            ListParams { field_selector: self.field_selector(), ..ListParams::default() }.limit(PAGE);
        let mut seen = HashSet::new();
        loop {
            let page = within(EVENT_TIMEOUT, api.list(&params)).await?;
            for item in page.items {
                seen.insert(item.key());
                self.put(item);
            }
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_none() {
                self.whole(&seen);
                return Ok(page.metadata.resource_version.unwrap_or_default());
            }
        }
    }

    fn field_selector(&self) -> Option<String> {
        let name = self.id.namespace.as_ref().filter(|_| !self.id.subject.namespaced());
        let named = name.map(|name| format!("metadata.name={name}"));
        named.or_else(|| self.id.subject.field_selector().map(str::to_owned))
    }

    /// The version in which to ask.
    async fn version(&self) -> Result<&'static str, ApiError> {
        match self.id.subject {
            Subject::Objects(kind) if self.id.subject.is_custom() => {
                match within(EVENT_TIMEOUT, served::version(&self.client, kind)).await {
                    Ok(version) => version.ok_or(ApiError::Missing),
                    Err(Error::Server(error)) => Err(ApiError::of(&error)),
                    Err(Error::Malformed(what)) => Err(ApiError::Other(what)),
                    Err(Error::Timeout(limit)) => Err(silent(limit)),
                }
            }
            Subject::Objects(kind) => Ok(kind.version()),
            Subject::Definitions => Ok("v1"),
        }
    }

    fn remove(&self, key: ObjectKey) {
        match self.id.subject {
            Subject::Objects(kind) => self.shared.remove(&self.id, kind, key),
            Subject::Definitions => {
                self.shared.install(&self.id, |installed| drop(installed.definitions.remove(&key.name)));
            }
        }
    }

    fn put<const META: bool>(&self, item: Item<META>) {
        let key = item.key();
        match self.id.subject {
            Subject::Objects(Kind::Secret) => {
                self.shared.see_secret(&self.id, key, item.resource_version().unwrap_or_default());
            }
            Subject::Objects(kind) => {
                if !self.shared.has(kind, item.metadata()) {
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
    fn works(&self, backoff: &mut Backoff) {
        backoff.reset();
        let before = self.shared.note(&self.id, |state| state.succeed(Timestamp::now()));
        if let Some((since, _)) = before {
            let after = since.duration_until(Timestamp::now());
            debug!("{} are watched again, after {after:#}", self.id.subject.resource());
            self.back.notify_waiters();
        }
    }

    /// Notes a failure and waits, or until another watch has found the server well.
    async fn failed(&self, failure: ApiError, backoff: &mut Backoff) {
        let refused = failure.is_response();
        let synced = self.shared.note(&self.id, |state| {
            state.fail(failure, Timestamp::now());
            state.synced || state.refused
        });
        let back = self.back.notified();
        let longest = match (refused, synced) {
            // Others wait for the first definite response.
            (true, false) => SECOND,
            // Nobody tells us that a right was given or a kind installed.
            (true, true) => REFUSED,
            (false, _) => Duration::MAX,
        };
        let pause = tokio::time::sleep(backoff.next_delay().min(longest));
        tokio::select! {
            () = pause => {}
            () = back, if !refused => {}
        }
    }
}

/// Waits for a response that begins in time: a server may accept connections and never respond.
async fn within<T>(
    limit: Duration,
    response: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, response).await {
        Ok(response) => Ok(response?),
        Err(_) => Err(Error::Timeout(limit)),
    }
}

fn silent(limit: Duration) -> ApiError {
    ApiError::Unreachable(format!("no response within {}s", limit.as_secs()))
}

/// Goes on from after an event; during a list the place is not known yet.
fn advance<const META: bool>(from: &mut Option<String>, item: &Item<META>) {
    if let (Some(from), Some(version)) = (from, item.resource_version()) {
        version.clone_into(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_never_responds_is_not_waited_for_for_ever() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let never = std::future::pending::<Result<(), kube::Error>>();
        let limit = Duration::from_millis(1);
        let came = runtime.block_on(within(limit, never));
        assert!(matches!(came, Err(Error::Timeout(of)) if of == limit));
        assert!(matches!(runtime.block_on(within(EVENT_TIMEOUT, async { Ok(7) })), Ok(7)));
        assert!(silent(EVENT_TIMEOUT).to_string().contains("no response within 30s"));
    }
}
