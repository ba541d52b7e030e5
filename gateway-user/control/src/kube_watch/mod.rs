//! One watch of an API server, whatever it is of: follows its objects from the first list through every
//! failure.

mod api_error;
mod item;
mod request;
mod round;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_api_types::ObjectKey;
use kube::Api;
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::debug;

use self::api_error::NextStep;
use self::request::Error;
use crate::backoff::Backoff;

pub use self::api_error::ApiError;
pub(crate) use self::item::Item;
pub(crate) use self::request::request;

/// A request that ends sooner is not followed by another at once.
const QUICK: Duration = Duration::from_secs(1);

/// Receives the objects of one watch, and its state.
pub(crate) trait Handler {
    /// Takes an object: of a list, or one that is new or has changed.
    fn apply<const META: bool>(&mut self, item: Item<META>);

    /// Takes the end of an object.
    fn delete(&mut self, key: ObjectKey);

    /// Takes the end of a whole list: objects that `listed` does not name do not exist.
    fn retain(&mut self, listed: &HashSet<ObjectKey>);

    /// Notes that the server has said something of use.
    fn succeeded(&mut self) {}

    /// Notes a failure. Returns the longest time to wait before the next request, if the delay of the backoff
    /// may be too long.
    fn failed(&mut self, error: ApiError) -> Option<Duration>;
}

/// A watch and its handler.
pub(crate) struct Watch<H> {
    handler: H,
    /// Field selector of the objects; none is all.
    fields: Option<String>,
    backoff: Backoff,
    /// Wakes watches that wait after a failure when one of them finds that the server responds again.
    recovered: Arc<Notify>,
    /// True if the last request failed.
    failing: bool,
    /// True until the server refuses to stream a list.
    streaming: bool,
}

impl<H: Handler> Watch<H> {
    /// A watch that has not begun.
    pub(crate) fn new(handler: H) -> Self {
        Self {
            handler,
            fields: None,
            backoff: Backoff::default(),
            recovered: Arc::default(),
            failing: false,
            streaming: true,
        }
    }

    /// Of the objects that a field selector matches.
    pub(crate) fn with_fields(self, fields: Option<String>) -> Self {
        Self { fields, ..self }
    }

    /// With other delays after failures.
    pub(crate) fn with_backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    /// Shares with other watches of the same server that it responds again.
    pub(crate) fn with_recovered(self, recovered: Arc<Notify>) -> Self {
        Self { recovered, ..self }
    }

    /// Follows the objects until the future is dropped; the next call begins with a list.
    pub(crate) async fn run<const META: bool>(&mut self, api: &Api<Item<META>>) {
        loop {
            self.follow(api).await;
            self.fail(ApiError::Missing).await;
        }
    }

    /// Follows the objects until the server has no such resource (404), which is neither noted nor waited
    /// for.
    pub(crate) async fn follow<const META: bool>(&mut self, api: &Api<Item<META>>) {
        // The version from which on events are wanted; none before a whole list is there.
        let mut from = None;
        loop {
            let begun = Instant::now();
            let Err(error) = self.round(api, &mut from).await else {
                if begun.elapsed() < QUICK {
                    // The server must not be asked in a circle.
                    sleep(self.backoff.next_delay()).await;
                }
                continue;
            };
            let error = match error {
                Error::Server(error) => error,
                Error::Timeout(_) => {
                    self.fail(error.into()).await;
                    continue;
                }
                Error::Malformed(_) => {
                    // Its events are lost, so everything is listed again.
                    from = None;
                    self.fail(error.into()).await;
                    continue;
                }
            };
            debug!(url = api.resource_url(), "watch: {error}");
            match NextStep::after(&error, self.streaming && from.is_none()) {
                NextStep::Wait(error) => self.fail(error).await,
                NextStep::Relist => {
                    from = None;
                    sleep(self.backoff.next_delay()).await;
                }
                NextStep::Page => self.streaming = false,
                NextStep::Rediscover => return,
            }
        }
    }

    /// Notes a failure and waits, at most until another watch has found that the server responds.
    pub(crate) async fn fail(&mut self, error: ApiError) {
        // A refusal is no sign that the server is away.
        let refused = error.is_response();
        self.failing = true;
        let longest = self.handler.failed(error).unwrap_or(Duration::MAX);
        let recovered = self.recovered.notified();
        let pause = sleep(self.backoff.next_delay().min(longest));
        tokio::select! {
            () = pause => {}
            () = recovered, if !refused => {}
        }
    }

    fn succeed(&mut self) {
        self.backoff.reset();
        self.handler.succeeded();
        if std::mem::take(&mut self.failing) {
            self.recovered.notify_waiters();
        }
    }
}
