//! What the other nodes say.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt as _, pin_mut};
use gateway_translate::NodeReport;
use kube::api::Api;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Error};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::backoff::Backoff;
use super::record::{NodeRecord, RecordStatus};

/// A node that has not said anything for this long, by our clock, has no say any more: four times what it takes to
/// renew a report.
const SILENCE: Duration = Duration::from_secs(40);

/// The reports of a cluster as a watch brings them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    records: BTreeMap<String, (RecordStatus, Instant)>,
    /// Whether a whole list has arrived, or there is none to be had.
    complete: bool,
}

impl Heard {
    fn hear(&mut self, record: NodeRecord) {
        let name = record.metadata.name.unwrap_or_default();
        let same = self.records.get(&name).filter(|(known, _)| *known == record.status);
        let since = same.map_or_else(Instant::now, |(_, since)| *since);
        self.records.insert(name, (record.status, since));
    }

    /// Whether whoever is not among them has not reported.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// The reports of those who are not silent, by node.
    pub(super) fn current(&self, now: Instant) -> BTreeMap<String, NodeReport> {
        let current = self.records.iter().filter(|(_, (_, since))| now < *since + SILENCE);
        current.map(|(node, (status, _))| (node.clone(), NodeReport::from(status))).collect()
    }
}

/// Follows the reports until the receiver is gone.
pub(super) async fn follow(client: Client, namespace: String, heard: watch::Sender<Heard>) {
    let records: Api<NodeRecord> = Api::namespaced(client, &namespace);
    let fresh = || Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
    let (mut backoff, mut trouble) = (fresh(), String::new());
    let stream = watcher(records, watcher::Config::default());
    pin_mut!(stream);
    // What a list brings replaces all that was known.
    let mut listed = None;
    while let Some(event) = stream.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                if is_missing(&error) {
                    heard.send_modify(|known| known.complete = true);
                }
                let error = explain(&error);
                if error != trouble {
                    warn!("{error}");
                }
                trouble = error;
                tokio::select! {
                    () = sleep(backoff.pause()) => continue,
                    () = heard.closed() => return,
                }
            }
        };
        (backoff, trouble) = (fresh(), String::new());
        match event {
            Event::Init => listed = Some(Heard::default()),
            Event::InitApply(record) => {
                if let Some(list) = &mut listed {
                    list.hear(record);
                }
            }
            Event::InitDone => {
                let list = listed.take().unwrap_or_default();
                heard.send_modify(|known| known.replace(list));
            }
            Event::Apply(record) => heard.send_modify(|known| known.hear(record)),
            Event::Delete(record) => {
                let name = record.metadata.name.unwrap_or_default();
                heard.send_modify(|known| drop(known.records.remove(&name)));
            }
        }
        if heard.is_closed() {
            return;
        }
    }
}

impl Heard {
    /// Becomes the list, but for the times since when what is said was said.
    fn replace(&mut self, mut list: Self) {
        for (name, (status, since)) in &mut list.records {
            if let Some((known, before)) = self.records.get(name)
                && known == status
            {
                *since = *before;
            }
        }
        *self = Self { complete: true, ..list };
    }
}

/// Whether no process of this cluster can report.
fn is_missing(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(Error::Api(status))
        | watcher::Error::WatchStartFailed(Error::Api(status)) => status.code == 404,
        _ => false,
    }
}

fn explain(error: &watcher::Error) -> String {
    let api = match error {
        watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error) => Some(error),
        _ => None,
    };
    match api {
        Some(Error::Api(status)) if status.code == 404 => {
            "the cluster has no resource nodereports.sluice.dev: only this node counts for what is programmed; run \
             `kubectl apply -f deploy/crds`"
                .to_owned()
        }
        Some(Error::Api(status)) if status.code == 403 => {
            "nodereports: not allowed, so that only this node counts for what is programmed; allow verbs list and \
             watch on nodereports in group sluice.dev"
                .to_owned()
        }
        _ => format!("nodereports: {error}; tried again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, generation: u64) -> NodeRecord {
        let mut record = NodeRecord::default();
        record.metadata.name = Some(name.to_owned());
        record.status.generation = generation;
        record
    }

    #[test]
    fn a_silent_node_has_no_say_and_a_list_wakes_nobody() {
        let mut heard = Heard::default();
        heard.hear(record("a", 1));
        let said = heard.records["a"].1;
        assert_eq!(heard.current(said).len(), 1);
        let mut list = Heard::default();
        for name in ["a", "b"] {
            list.records.insert(name.into(), (record(name, 1).status, said + SILENCE));
        }
        heard.replace(list);
        assert_eq!(heard.current(said + SILENCE).keys().collect::<Vec<_>>(), ["b"], "a said nothing new");
        heard.replace(Heard::default());
        assert!(heard.current(said).is_empty(), "who is not listed is gone");
    }
}
