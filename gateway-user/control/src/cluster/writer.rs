//! Writes planned changes, each when its time has come.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use gateway_api_types::{Kind, ObjectKey};
use http::Request;
use http::header::CONTENT_TYPE;
use kube::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::change::Change;
use super::events::Events;
use super::failures::Failures;
use super::lease::Leadership;
use super::order::by_urgency;
use super::pace::Pace;
use super::tally::{ClusterTally, Outcome};

/// Most requests under way at once.
const MAX_CONCURRENT: usize = 16;
/// Time after which what has not been begun is planned anew: whoever edits a Gateway while thousands of
/// routes are written need not wait for the last of them.
const SLICE: Duration = Duration::from_millis(500);
/// Limit for the server's response to one write.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Limit for the watch to bring what was written, before it is written again.
const ECHO: Duration = Duration::from_secs(10);
/// One object's status may be written so often in a row, and then once per `REFILL_SECONDS`: enough for any
/// user, and no loop if another program writes back.
const BURST: f64 = 10.0;
const REFILL_SECONDS: f64 = 1.0;

/// Writes statuses, object by object.
pub(super) struct Writer {
    client: Client,
    leadership: Leadership,
    events: Events,
    tally: Arc<ClusterTally>,
    pace: Pace,
    objects: HashMap<(Kind, ObjectKey), PreviousWrites>,
}

/// Write history of one object.
struct PreviousWrites {
    /// The version that was patched last, and when: until the watch brings another there is nothing to do.
    patched: Option<(String, Instant)>,
    /// Writes that are left, as of then.
    tokens: (f64, Instant),
    /// When it may be tried again after a failure.
    again: Option<Instant>,
    failures: Failures,
    /// True if there is anything to write of it at present.
    planned: bool,
    /// Time since which every plan has had something to write of it that was not written.
    waits_since: Option<Instant>,
}

impl PreviousWrites {
    fn new(now: Instant) -> Self {
        let failures = Failures::new(Duration::from_millis(200), Duration::from_secs(30));
        Self { patched: None, tokens: (BURST, now), again: None, failures, planned: true, waits_since: None }
    }

    /// True if it says more than that nothing was done: what is not planned any more has come back, and
    /// tokens fill up.
    fn matters(&self, now: Instant) -> bool {
        let (tokens, since) = self.tokens;
        let full = tokens + now.duration_since(since).as_secs_f64() / REFILL_SECONDS >= BURST;
        self.planned || !full || self.again.is_some_and(|when| when > now)
    }

    /// When this change may be written, at the earliest; `None` for now.
    fn earliest(&mut self, change: &Change, now: Instant) -> Option<Instant> {
        let (tokens, since) = self.tokens;
        let filled = (tokens + now.duration_since(since).as_secs_f64() / REFILL_SECONDS).min(BURST);
        self.tokens = (filled, now);
        let echo = self.patched.as_ref().filter(|(version, _)| *version == change.resource_version);
        let echo = echo.map(|(_, when)| *when + ECHO);
        let token = (filled < 1.0).then(|| now + Duration::from_secs_f64((1.0 - filled) * REFILL_SECONDS));
        [echo, token, self.again].into_iter().flatten().filter(|when| *when > now).max()
    }
}

impl Writer {
    pub(super) fn new(
        client: Client,
        leadership: Leadership,
        events: Events,
        tally: Arc<ClusterTally>,
        pace: Pace,
    ) -> Self {
        Self { client, leadership, events, tally, pace, objects: HashMap::new() }
    }

    /// Writes what may be written now, as fast as the pace allows and the most urgent first. Gives when to plan again for what may not, if there is any.
    pub(super) async fn write(&mut self, changes: Vec<Change>) -> Option<Instant> {
        let now = Instant::now();
        let mut later: Option<Instant> = None;
        let mut due = Vec::new();
        let before: HashMap<_, _> = self
            .objects
            .iter_mut()
            .filter_map(|(object, previous)| {
                previous.planned = false;
                Some((object.clone(), previous.waits_since.take()?))
            })
            .collect();
        for change in changes {
            let object = (change.kind, change.key.clone());
            let since = before.get(&object).copied().unwrap_or(now);
            let previous = self.objects.entry(object).or_insert_with(|| PreviousWrites::new(now));
            (previous.planned, previous.waits_since) = (true, Some(since));
            match previous.earliest(&change, now) {
                Some(when) => later = Some(later.map_or(when, |other| other.min(when))),
                None => {
                    previous.tokens.0 -= 1.0;
                    due.push((change, since));
                }
            }
        }
        let (client, leadership, pace) = (&self.client, &self.leadership, &self.pace);
        let done: Vec<_> = stream::iter(by_urgency(due))
            .map(|change| async move {
                let admitted = match now.elapsed() < SLICE {
                    true => pace.admit(now + SLICE).await,
                    false => Err(Instant::now()),
                };
                let result = match admitted {
                    Ok(()) => write(client, leadership, &change).await,
                    Err(when) => Err(WriteError::Late(when)),
                };
                (change, result)
            })
            .buffer_unordered(MAX_CONCURRENT)
            .collect()
            .await;
        for (change, result) in done {
            if let Some(when) = self.conclude(&change, result) {
                later = Some(later.map_or(when, |other| other.min(when)));
            }
        }
        later
    }

    /// Forgets objects that are as they should be: after a start every route has been written once.
    pub(super) fn tidy(&mut self, now: Instant) {
        self.objects.retain(|_, previous| previous.matters(now));
        self.objects.shrink_to(self.objects.len() * 2);
    }

    fn conclude(&mut self, change: &Change, result: Result<(), WriteError>) -> Option<Instant> {
        let previous = self.objects.get_mut(&(change.kind, change.key.clone()))?;
        let outcome = match &result {
            Ok(()) => Outcome::Written,
            Err(WriteError::Stale) => Outcome::Conflict,
            Err(WriteError::NotLeading) => return None,
            Err(WriteError::Late(when)) => {
                previous.tokens.0 += 1.0;
                return Some(*when);
            }
            Err(WriteError::Failed(_)) => Outcome::Failed,
        };
        self.tally.status(change.kind, outcome);
        match result {
            Ok(()) | Err(WriteError::Stale | WriteError::NotLeading | WriteError::Late(_)) => {
                *previous =
                    PreviousWrites { tokens: previous.tokens, ..PreviousWrites::new(previous.tokens.1) };
                previous.patched = Some((change.resource_version.clone(), Instant::now()));
                if outcome == Outcome::Written {
                    self.events.tell(change);
                }
                debug!(
                    "{} {}: status {}, {} operations",
                    change.kind,
                    change.key,
                    outcome.as_str(),
                    change.ops.len()
                );
                None
            }
            Err(WriteError::Failed(error)) => {
                let said =
                    format!("{} {}: status not written: {error}; tried again", change.kind, change.key);
                previous.again = Some(Instant::now() + previous.failures.failed(said));
                previous.again
            }
        }
    }
}

/// Why a status was not written.
enum WriteError {
    /// The object is another one by now, or gone.
    Stale,
    /// Another process leads by now.
    NotLeading,
    /// It was not begun, and may be at this time: what is wanted may be something else by then.
    Late(Instant),
    /// For another reason.
    Failed(String),
}

async fn write(client: &Client, leadership: &Leadership, change: &Change) -> Result<(), WriteError> {
    if !leadership.holds() {
        return Err(WriteError::NotLeading);
    }
    let request = request(change).map_err(|error| WriteError::Failed(error.to_string()))?;
    match timeout(WRITE_TIMEOUT, client.request::<Value>(request)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(status))) => Err(judge(change, status.code, &status.message)),
        Ok(Err(error)) => Err(WriteError::Failed(error.to_string())),
        Err(_) => Err(WriteError::Failed(format!("no response within {}s", WRITE_TIMEOUT.as_secs()))),
    }
}

/// Operations for a version that is no longer there are a conflict (409), and if their places are gone too,
/// nonsense to the server before it gets to compare versions (422 of the patch, not of what it makes).
fn judge(change: &Change, code: u16, message: &str) -> WriteError {
    match code {
        404 | 409 => WriteError::Stale,
        422 if !message.contains("is invalid") => WriteError::Stale,
        403 => WriteError::Failed(format!(
            "{message}; allow verb patch on {}/status in group {}",
            change.kind.plural(),
            change.kind.group()
        )),
        _ => WriteError::Failed(format!("{message} ({code})")),
    }
}

/// The patch, which the server applies only to the version that it was made for.
fn request(change: &Change) -> Result<Request<Vec<u8>>, http::Error> {
    let kind = change.kind;
    let namespace = match kind.namespaced() {
        true => format!("namespaces/{}/", change.key.namespace),
        false => String::new(),
    };
    let (group, version, plural) = (kind.group(), kind.version(), kind.plural());
    let path = format!("/apis/{group}/{version}/{namespace}{plural}/{}/status", change.key.name);
    let version =
        json!({"op": "replace", "path": "/metadata/resourceVersion", "value": change.resource_version});
    let mut ops = vec![version];
    ops.extend(change.ops.iter().map(super::op::json));
    let request = Request::patch(path).header(CONTENT_TYPE, "application/json-patch+json");
    request.body(Value::Array(ops).to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::op::Op;

    fn change(version: &str) -> Change {
        Change {
            kind: Kind::Gateway,
            key: ObjectKey::new("edge", "gw"),
            resource_version: version.to_owned(),
            uid: String::new(),
            is_first: false,
            created: None,
            ops: vec![Op::Remove { path: "/status/addresses".to_owned() }],
            transitions: Vec::new(),
        }
    }

    #[test]
    fn a_patch_names_its_version() {
        let request = request(&change("7")).unwrap();
        let path = "/apis/gateway.networking.k8s.io/v1/namespaces/edge/gateways/gw/status";
        assert_eq!(request.uri(), path);
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        let version = json!({"op": "replace", "path": "/metadata/resourceVersion", "value": "7"});
        assert_eq!(body, json!([version, {"op": "remove", "path": "/status/addresses"}]));
    }

    #[test]
    fn an_object_rests_until_the_watch_has_caught_up_and_is_never_written_in_a_loop() {
        let now = Instant::now();
        let mut previous = PreviousWrites::new(now);
        previous.patched = Some(("7".to_owned(), now));
        assert!(previous.earliest(&change("7"), now).is_some(), "what was written has not come back");
        assert_eq!(previous.earliest(&change("8"), now), None);
        previous.tokens.0 = 0.5;
        let when = previous.earliest(&change("8"), now).unwrap();
        assert!(when > now && when < now + Duration::from_secs(1));
        assert_eq!(previous.earliest(&change("8"), now + Duration::from_secs(1)), None);
        assert_eq!(previous.earliest(&change("7"), now + ECHO), None, "the watch may have died");
    }

    #[test]
    fn what_is_written_and_has_come_back_is_forgotten() {
        let now = Instant::now();
        let mut previous = PreviousWrites::new(now);
        previous.patched = Some(("7".to_owned(), now));
        previous.tokens.0 -= 1.0;
        assert!(previous.matters(now + ECHO), "it has not come back");
        previous.planned = false;
        assert!(previous.matters(now), "it was written a moment ago");
        assert!(!previous.matters(now + Duration::from_secs(1)));
        previous.again = Some(now + ECHO);
        assert!(previous.matters(now + Duration::from_secs(1)), "it has failed");
    }
}
