//! The watch that the reports come by.

use std::collections::HashSet;
use std::time::Duration;

use gateway_api_types::ObjectKey;
use kube::core::ApiResource;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{MISSING_GRACE, ReportCache, ReportEvent};
use crate::backoff::Backoff;
use crate::cluster::failures::ErrorLog;
use crate::cluster::lease::Leadership;
use crate::cluster::record::NodeRecord;
use crate::kube_watch::{ApiError, Handler, Item, Watch};

/// First delay after a failure.
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// Longest delay: while nothing can be heard, no node is found to be silent.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);

/// Follows the reports until the receiver is gone: whole ones for as long as this process leads.
pub(in crate::cluster) async fn follow(
    client: Client,
    namespace: String,
    reports: watch::Sender<ReportCache>,
    mut leadership: Leadership,
) {
    let resource = ApiResource::erase::<NodeRecord>(&());
    let whole: Api<Item<false>> = Api::namespaced_with(client.clone(), &namespace, &resource);
    let metadata: Api<Item<true>> = Api::namespaced_with(client, &namespace, &resource);
    let handler = Keep { reports: reports.clone(), errors: ErrorLog::default(), none_since: None };
    let mut watch = Watch::new(handler).with_backoff(Backoff::new(RETRY_DELAY, MAX_RETRY_DELAY));
    while !reports.is_closed() {
        let leads = leadership.since().is_some();
        reports.send_modify(ReportCache::begin);
        let following = async {
            match leads {
                true => watch.run(&whole).await,
                false => watch.run(&metadata).await,
            }
        };
        let turned = async {
            while leadership.since().is_some() == leads {
                leadership.changed().await;
            }
        };
        tokio::select! {
            () = following => {}
            () = turned => {}
            () = reports.closed() => {}
        }
    }
}

/// Keeps what the watch brings.
struct Keep {
    reports: watch::Sender<ReportCache>,
    errors: ErrorLog,
    /// Since when there is said to be nothing to read.
    none_since: Option<Instant>,
}

impl Handler for Keep {
    fn apply<const META: bool>(&mut self, item: Item<META>) {
        let event = ReportEvent::from(item);
        self.reports.send_if_modified(|known| known.observe(event, Instant::now()));
    }

    fn delete(&mut self, key: ObjectKey) {
        self.reports.send_if_modified(|known| known.remove(&key.name, Instant::now()));
    }

    fn retain(&mut self, listed: &HashSet<ObjectKey>) {
        let nodes: HashSet<&str> = listed.iter().map(|key| key.name.as_str()).collect();
        self.reports.send_modify(|known| known.retain(&nodes, Instant::now()));
    }

    fn succeeded(&mut self) {
        self.errors.passed();
        self.none_since = None;
    }

    fn failed(&mut self, error: ApiError) -> Option<Duration> {
        let now = Instant::now();
        // No process of this cluster can report, or this one may not read what they do.
        self.none_since = self.none_since.or(Some(now)).filter(|_| error.is_response());
        let believed = self.none_since.is_some_and(|since| now >= since + MISSING_GRACE);
        self.reports.send_if_modified(|known| {
            known.fail(now);
            let news = believed && !known.complete;
            known.complete |= believed;
            news
        });
        self.errors.failed(explain(&error));
        None
    }
}

fn explain(error: &ApiError) -> String {
    match error {
        ApiError::Missing => {
            "the cluster has no resource nodereports.sluice.dev: only this node counts for what is programmed; run \
             `kubectl apply -f deploy/crds`"
                .to_owned()
        }
        ApiError::Denied { .. } => {
            "nodereports: not allowed, so that only this node counts for what is programmed; allow verbs list and \
             watch on nodereports in group sluice.dev"
                .to_owned()
        }
        _ => format!("nodereports: {error}; tried again"),
    }
}
