//! The watch that the reports come by.

use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt as _};
use kube::api::{Api, PartialObjectMeta};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Error};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::{MISSING_GRACE, ReportCache, ReportEvent};
use crate::cluster::failures::Failures;
use crate::cluster::lease::Leadership;
use crate::cluster::record::NodeRecord;

type EventStream = BoxStream<'static, watcher::Result<Event<ReportEvent>>>;

/// Follows the reports until the receiver is gone: whole ones for as long as this process leads.
pub(in crate::cluster) async fn follow(
    client: Client,
    namespace: String,
    reports: watch::Sender<ReportCache>,
    mut leadership: Leadership,
) {
    let mut failures = Failures::new(Duration::from_millis(500), Duration::from_secs(5));
    while !reports.is_closed() {
        let leads = leadership.since().is_some();
        reports.send_modify(ReportCache::begin);
        let listening = listen(events(client.clone(), &namespace, leads), &reports, &mut failures);
        let turned = async {
            while leadership.since().is_some() == leads {
                leadership.changed().await;
            }
        };
        tokio::select! {
            () = listening => {}
            () = turned => {}
            () = reports.closed() => {}
        }
    }
}

/// A watch of the reports, or of their metadata alone.
fn events(client: Client, namespace: &str, whole: bool) -> EventStream {
    let config = watcher::Config::default();
    if whole {
        let records: Api<NodeRecord> = Api::namespaced(client, namespace);
        watcher(records, config).map(|event| event.map(said)).boxed()
    } else {
        let records: Api<PartialObjectMeta<NodeRecord>> = Api::namespaced(client, namespace);
        watcher(records, config).map(|event| event.map(said)).boxed()
    }
}

fn said<T: Into<ReportEvent>>(event: Event<T>) -> Event<ReportEvent> {
    match event {
        Event::Init => Event::Init,
        Event::InitApply(record) => Event::InitApply(record.into()),
        Event::InitDone => Event::InitDone,
        Event::Apply(record) => Event::Apply(record.into()),
        Event::Delete(record) => Event::Delete(record.into()),
    }
}

/// Passes on what one watch brings, which ends with the receiver.
async fn listen(mut events: EventStream, reports: &watch::Sender<ReportCache>, failures: &mut Failures) {
    // A list replaces everything known.
    let mut listed = Vec::new();
    // Since when there is said to be nothing to read.
    let mut none_since: Option<Instant> = None;
    while let Some(event) = events.next().await {
        let now = Instant::now();
        match event {
            // Says that a list is about to be asked for, and nothing of the server.
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(said)) => listed.push(said),
            Ok(event) => {
                failures.passed();
                none_since = None;
                let list = std::mem::take(&mut listed);
                reports.send_if_modified(|known| known.apply(event, list, now));
            }
            Err(error) => {
                none_since = none_since.or(Some(now)).filter(|_| is_none_to_be_had(&error));
                let believed = none_since.is_some_and(|since| now >= since + MISSING_GRACE);
                reports.send_if_modified(|known| {
                    known.fail(now);
                    let news = believed && !known.complete;
                    known.complete |= believed;
                    news
                });
                sleep(failures.failed(explain(&error))).await;
            }
        }
        if reports.is_closed() {
            return;
        }
    }
}

/// HTTP status of the server's response in place of a list or a watch.
pub(in crate::cluster) fn code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(Error::Api(status))
        | watcher::Error::WatchStartFailed(Error::Api(status)) => Some(status.code),
        _ => None,
    }
}

/// True if nothing can be read: no process of this cluster can report, or this one may not read what they do.
fn is_none_to_be_had(error: &watcher::Error) -> bool {
    matches!(code(error), Some(403 | 404))
}

fn explain(error: &watcher::Error) -> String {
    match code(error) {
        Some(404) => {
            "the cluster has no resource nodereports.sluice.dev: only this node counts for what is programmed; run \
             `kubectl apply -f deploy/crds`"
                .to_owned()
        }
        Some(403) => {
            "nodereports: not allowed, so that only this node counts for what is programmed; allow verbs list and \
             watch on nodereports in group sluice.dev"
                .to_owned()
        }
        _ => format!("nodereports: {error}; tried again"),
    }
}
