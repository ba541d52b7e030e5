//! The state of one watch.

use gateway_api_types::ObjectKey;
use jiff::{SignedDuration, Timestamp};

use crate::kube_watch::ApiError;
use crate::source::kube::kinds::Subject;

/// Name of one watch: its kind, and its namespace if not all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchId {
    /// Kind of its objects.
    pub subject: Subject,
    /// The namespace, if not all.
    pub namespace: Option<String>,
}

impl WatchId {
    /// True if an object of that name would be in its lists.
    pub(super) fn covers(&self, key: &ObjectKey) -> bool {
        let place = if self.subject.namespaced() { &key.namespace } else { &key.name };
        self.namespace.as_ref().is_none_or(|name| name == place)
    }
}

/// Time for which a server must refuse to be believed: one that is just starting knows neither roles nor
/// kinds for some seconds.
const GRACE: SignedDuration = SignedDuration::from_secs(5);

/// State of one watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchState {
    /// True if a whole list has arrived at least once.
    pub synced: bool,
    /// Time of the last response.
    pub last_event: Option<Timestamp>,
    /// Time of the first failure since the last response, and the last error; none while the watch works.
    pub failing: Option<(Timestamp, ApiError)>,
    /// Time since which the server has refused every request.
    refusing: Option<Timestamp>,
    /// True if it has refused every request for 5 s, so that it is believed.
    pub refused: bool,
    /// Number of objects that came or went, since the start.
    pub events: u64,
    /// Number of whole lists, since the start.
    pub lists: u64,
    /// Number of failures, since the start.
    pub failures: u64,
}

impl WatchState {
    /// True if nothing more is to be waited for before what is known can be served. With `stale`, objects of
    /// an earlier process are there in place of those that cannot be had.
    pub(super) fn has_responded(&self, stale: bool) -> bool {
        self.synced || self.refused || (stale && self.failing.is_some())
    }

    /// Notes a failure at that time.
    pub(in crate::source::kube) fn fail(&mut self, failure: ApiError, now: Timestamp) {
        self.failures += 1;
        self.refusing = failure.is_response().then(|| self.refusing.unwrap_or(now));
        self.refused = self.refusing.is_some_and(|since| now.duration_since(since) >= GRACE);
        let since = self.failing.as_ref().map_or(now, |(since, _)| *since);
        self.failing = Some((since, failure));
    }

    /// Notes that the server has said something of use; gives the failure that is over.
    pub(in crate::source::kube) fn succeed(&mut self, now: Timestamp) -> Option<(Timestamp, ApiError)> {
        self.last_event = Some(now);
        (self.refusing, self.refused) = (None, false);
        self.failing.take()
    }

    /// The failure that people should hear of.
    pub(super) fn current_error(&self) -> Option<&ApiError> {
        let (_, failure) = self.failing.as_ref()?;
        (self.refused || !failure.is_response()).then_some(failure)
    }
}
