//! One request of a watch, to its end.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use gateway_api_types::ObjectKey;
use kube::Api;
use kube::api::{ListParams, WatchEvent, WatchParams};
use tokio::time::timeout;
use tracing::debug;

use super::item::Item;
use super::request::{EVENT_TIMEOUT, Error, within};
use super::{Handler, Watch};

/// After so many seconds the server ends a watch, and we ask on. A connection that has died in silence is
/// noticed that late.
const WATCH_SECONDS: u32 = 110;
/// Seconds that the end of a watch may be late.
const SLACK: u64 = 5;
/// Objects of a page, where lists are not streamed.
const PAGE: u32 = 500;
/// Annotation of the bookmark that ends a streamed list (KEP-3157).
const END_OF_LIST: &str = "k8s.io/initial-events-end";

impl<H: Handler> Watch<H> {
    /// One request: a list in pages, or a watch to its end. `from` follows what was seen.
    ///
    /// # Errors
    /// [`Error`]; the objects before it have been handed over.
    pub(super) async fn round<const META: bool>(
        &mut self,
        api: &Api<Item<META>>,
        from: &mut Option<String>,
    ) -> Result<(), Error> {
        if from.is_none() && !self.streaming {
            *from = Some(self.pages(api).await?);
            self.succeed();
            return Ok(());
        }
        let params = WatchParams {
            field_selector: self.fields.clone(),
            timeout: Some(WATCH_SECONDS),
            send_initial_events: from.is_none(),
            ..WatchParams::default()
        };
        // None asks for a list that is not older than the question; "0" would allow one out of a cache that
        // lags behind.
        let begin = api.watch(&params, from.as_deref().unwrap_or_default());
        let mut events = within(EVENT_TIMEOUT, begin).await?.boxed();
        if from.is_some() {
            self.succeed();
        }
        let mut listed = HashSet::new();
        while let Ok(Some(event)) = timeout(silence(from.is_some()), events.next()).await {
            match event {
                Ok(event) => self.take(event, from, &mut listed)?,
                Err(error @ kube::Error::SerdeError(_)) => return Err(error.into()),
                // The connection ended; the next one says whether the server is well.
                Err(error) => {
                    debug!(url = api.resource_url(), "watch: {error}");
                    break;
                }
            }
        }
        match from {
            Some(_) => Ok(()),
            None => Err(Error::Malformed("the list ended before it was whole".to_owned())),
        }
    }

    /// Takes one event; until the list is whole, `listed` collects its objects.
    fn take<const META: bool>(
        &mut self,
        event: WatchEvent<Item<META>>,
        from: &mut Option<String>,
        listed: &mut HashSet<ObjectKey>,
    ) -> Result<(), Error> {
        match event {
            WatchEvent::Added(item) | WatchEvent::Modified(item) => {
                if from.is_none() {
                    listed.insert(item.key());
                }
                advance(from, &item);
                self.handler.apply(item);
            }
            WatchEvent::Deleted(item) => {
                advance(from, &item);
                self.handler.delete(item.key());
            }
            WatchEvent::Bookmark(mark) => {
                let ends_list = mark.metadata.annotations.contains_key(END_OF_LIST);
                if from.is_none() && ends_list {
                    self.handler.retain(&std::mem::take(listed));
                }
                if from.is_some() || ends_list {
                    *from = Some(mark.metadata.resource_version);
                    self.succeed();
                }
            }
            WatchEvent::Error(status) => {
                return Err(Error::Server(kube::Error::Api(Box::new(*status))));
            }
        }
        Ok(())
    }

    /// A whole list, page by page. Returns the version from which on events are wanted.
    async fn pages<const META: bool>(&mut self, api: &Api<Item<META>>) -> Result<String, Error> {
        let mut params =
            ListParams { field_selector: self.fields.clone(), ..ListParams::default() }.limit(PAGE);
        let mut listed = HashSet::new();
        loop {
            let page = within(EVENT_TIMEOUT, api.list(&params)).await?;
            for item in page.items {
                listed.insert(item.key());
                self.handler.apply(item);
            }
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_none() {
                self.handler.retain(&listed);
                return Ok(page.metadata.resource_version.unwrap_or_default());
            }
        }
    }
}

/// Limit for the next event. A connection that has died says nothing, not even that the watch is over.
fn silence(listed: bool) -> Duration {
    match listed {
        true => Duration::from_secs(u64::from(WATCH_SECONDS) + SLACK),
        false => EVENT_TIMEOUT,
    }
}

/// Goes on from after an event; during a list the place is not known yet.
fn advance<const META: bool>(from: &mut Option<String>, item: &Item<META>) {
    if let (Some(from), Some(version)) = (from, item.resource_version()) {
        version.clone_into(from);
    }
}
