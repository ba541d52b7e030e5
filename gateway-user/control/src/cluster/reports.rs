//! Reports of the other nodes.
//!
//! The leader keeps the reports. A follower keeps the version of each node's report and the time it changed:
//! a new leader must know how long each node has been silent.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt as _};
use gateway_translate::NodeReport;
use kube::api::{Api, ObjectMeta, PartialObjectMeta};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Error};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::lease::Leadership;
use super::record::{NodeRecord, RecordStatus};
use super::reporter::RENEW_INTERVAL;

/// Reports older than this, by our clock, are ignored: four times what it takes to
/// renew a report.
const REPORT_TIMEOUT: Duration = Duration::from_secs(40);

/// Renewals come every ten seconds, this node's own among them. Without any for this long we hear nothing:
/// then silence says nothing of anybody.
const WATCH_TIMEOUT: Duration = Duration::from_secs(20);
/// No definition of reports, or no right to read them, is believed once it has lasted this long: while a
/// cluster is being set up, or its API server begins, either may pass.
const MISSING_GRACE: Duration = Duration::from_secs(5);

/// One node's report in an event of the watch.
#[derive(Clone, Debug, Default, PartialEq)]
struct ReportEvent {
    node: String,
    /// Changes whenever the node says anything.
    version: Option<String>,
    /// Absent where the report itself is not asked for.
    status: Option<RecordStatus>,
}

/// The last report of one node.
#[derive(Clone, Debug)]
struct NodeState {
    version: Option<String>,
    status: Option<RecordStatus>,
    /// From when its silence is counted.
    since: Instant,
}

/// The reports of a cluster as a watch brings them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct ReportCache {
    records: BTreeMap<String, NodeState>,
    /// True if a whole list of reports has arrived, or there is none to be had.
    complete: bool,
    /// When anything was heard last.
    last: Option<Instant>,
    /// When the watch failed, if it has not brought anything since.
    failed: Option<Instant>,
}

impl ReportCache {
    /// Takes what a node says; gives whether that is news: that it is still there is none.
    fn observe(&mut self, said: ReportEvent, now: Instant) -> bool {
        let back = self.mark_received(now);
        let known = self.records.get(&said.node);
        let news = back
            || known.is_none_or(|known| {
                now >= known.since + REPORT_TIMEOUT
                    || known.status.as_ref().map(content) != said.status.as_ref().map(content)
            });
        let since = known.filter(|known| known.is_same_report(&said)).map_or(now, |known| known.since);
        self.records.insert(said.node, NodeState { version: said.version, status: said.status, since });
        news
    }

    /// Something was heard. After a time in which nothing could be, everybody who had a say before it has a
    /// full `REPORT_TIMEOUT` to speak again: they may have lost the server as we did. If it was short that
    /// time alone is not counted: a watch that breaks again and again must not keep a dead node alive. Gives
    /// whether there was such a time.
    fn mark_received(&mut self, now: Instant) -> bool {
        let ended = self.received_until(now);
        let deaf = now - ended;
        if !deaf.is_zero() {
            for known in self.records.values_mut().filter(|known| ended < known.since + REPORT_TIMEOUT) {
                known.since = if deaf < RENEW_INTERVAL { (known.since + deaf).min(now) } else { now };
            }
        }
        (self.last, self.failed) = (Some(now), None);
        !deaf.is_zero()
    }

    /// The watch has failed: until it brings something again, nobody can be heard.
    fn fail(&mut self, now: Instant) {
        self.failed = Some(self.failed.unwrap_or(now));
    }

    /// Until when we would have heard who speaks.
    fn received_until(&self, now: Instant) -> Instant {
        let deaf = self.last.map(|last| last + WATCH_TIMEOUT);
        [deaf, self.failed].into_iter().flatten().fold(now, Instant::min)
    }

    /// True if all nodes that have reported are among them.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Begins anew with reports or, after a leadership, without: what they say is forgotten, and not when
    /// they spoke.
    fn begin(&mut self) {
        self.complete = false;
        self.records.values_mut().for_each(|known| known.status = None);
    }

    /// The reports of those who are not silent, by node. Nobody is found to be silent while nothing can be
    /// heard, nor before a whole `REPORT_TIMEOUT` of the leadership that began at `leads_since`.
    pub(super) fn current(&self, now: Instant, leads_since: Option<Instant>) -> BTreeMap<String, NodeReport> {
        let at = self.received_until(now);
        let counts = |since: Instant| {
            at < since + REPORT_TIMEOUT
                || leads_since.is_some_and(|won| won < since + REPORT_TIMEOUT && at < won + REPORT_TIMEOUT)
        };
        let current = self.records.iter().filter(|(_, known)| counts(known.since));
        let reports = current
            .filter_map(|(node, known)| Some((node.clone(), NodeReport::from(known.status.as_ref()?))));
        reports.collect()
    }
}

/// A record without its time.
fn content(status: &RecordStatus) -> RecordStatus {
    RecordStatus { renew_time: None, ..status.clone() }
}

impl NodeState {
    /// True if the report is unchanged. A follower that starts to read reports compares versions alone.
    fn is_same_report(&self, said: &ReportEvent) -> bool {
        let both = self.status.as_ref().zip(said.status.as_ref());
        self.version == said.version && both.is_none_or(|(known, status)| known == status)
    }
}

impl ReportEvent {
    fn new(metadata: ObjectMeta, status: Option<RecordStatus>) -> Self {
        Self { node: metadata.name.unwrap_or_default(), version: metadata.resource_version, status }
    }
}

impl From<NodeRecord> for ReportEvent {
    fn from(record: NodeRecord) -> Self {
        Self::new(record.metadata, Some(record.status))
    }
}

impl From<PartialObjectMeta<NodeRecord>> for ReportEvent {
    fn from(record: PartialObjectMeta<NodeRecord>) -> Self {
        Self::new(record.metadata, None)
    }
}

type EventStream = BoxStream<'static, watcher::Result<Event<ReportEvent>>>;

/// Follows the reports until the receiver is gone: whole ones for as long as this process leads.
pub(super) async fn follow(
    client: Client,
    namespace: String,
    reports: watch::Sender<ReportCache>,
    mut leadership: Leadership,
) {
    let mut failures = Backoff::new(Duration::from_millis(500), Duration::from_secs(5));
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
async fn listen(mut events: EventStream, reports: &watch::Sender<ReportCache>, failures: &mut Backoff) {
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

impl ReportCache {
    /// Takes an event, or the list that one ends; gives whether it is news.
    fn apply(&mut self, event: Event<ReportEvent>, list: Vec<ReportEvent>, now: Instant) -> bool {
        match event {
            Event::Apply(said) | Event::InitApply(said) => self.observe(said, now),
            Event::Delete(said) => {
                let back = self.mark_received(now);
                self.records.remove(&said.node).is_some() || back
            }
            Event::InitDone => {
                self.replace(list, now);
                true
            }
            Event::Init => false,
        }
    }

    /// Becomes the list, but for the times since when what is said was said.
    fn replace(&mut self, list: Vec<ReportEvent>, now: Instant) {
        self.mark_received(now);
        let mut known = std::mem::take(&mut self.records);
        for said in list {
            self.records.extend(known.remove_entry(&said.node));
            self.observe(said, now);
        }
        self.complete = true;
    }
}

/// HTTP status of the server's response in place of a list or a watch.
pub(super) fn code(error: &watcher::Error) -> Option<u16> {
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

    fn record(name: &str, generation: u64) -> ReportEvent {
        let status = RecordStatus { generation, ..RecordStatus::default() };
        ReportEvent { node: name.to_owned(), version: None, status: Some(status) }
    }

    /// The same where reports are not asked for.
    fn sign(name: &str, version: &str) -> ReportEvent {
        ReportEvent { node: name.to_owned(), version: Some(version.to_owned()), status: None }
    }

    fn names(reports: &ReportCache, now: Instant) -> Vec<String> {
        reports.current(now, None).into_keys().collect()
    }

    /// `who` renews every ten seconds, and is heard.
    fn renew(reports: &mut ReportCache, who: &[&str], from: Instant, times: u32) -> Instant {
        for n in 1..=times {
            for name in who {
                let program = format!("{n} {from:?}");
                let status = RecordStatus { program, ..RecordStatus::default() };
                reports.observe(
                    ReportEvent { status: Some(status), ..record(name, 1) },
                    from + RENEW_INTERVAL * n,
                );
            }
        }
        from + RENEW_INTERVAL * times
    }

    #[test]
    fn a_silent_node_has_no_say_and_a_list_wakes_nobody() {
        let (mut reports, start) = (ReportCache::default(), Instant::now());
        reports.replace(vec![record("a", 1), record("b", 1)], start);
        let now = renew(&mut reports, &["b"], start, 3);
        assert_eq!(names(&reports, now), ["a", "b"]);
        let now = renew(&mut reports, &["b"], now, 1);
        assert_eq!(names(&reports, now), ["b"]);
        let b = ReportEvent { status: reports.records["b"].status.clone(), ..record("b", 1) };
        reports.replace(vec![record("a", 1), b], now);
        assert_eq!(names(&reports, now), ["b"], "a said nothing new");
        reports.replace(Vec::new(), now);
        assert!(reports.current(now, None).is_empty(), "who is not listed is gone");
    }

    #[test]
    fn silence_is_not_counted_while_nothing_can_be_heard() {
        let (mut reports, start) = (ReportCache::default(), Instant::now());
        reports.replace(["a", "b", "gone"].map(|name| record(name, 1)).into(), start);
        let cut = renew(&mut reports, &["a", "b"], start, 4);
        assert_eq!(names(&reports, cut), ["a", "b"]);
        // The server is gone for long, and the watch says so.
        let mut failed = reports.clone();
        failed.fail(cut + Duration::from_secs(1));
        failed.fail(cut + Duration::from_secs(90));
        // Or it says nothing.
        for mut reports in [failed, reports] {
            let back = cut + Duration::from_secs(100);
            assert_eq!(names(&reports, back), ["a", "b"]);
            // This node's own report is what is heard first; b's is late.
            assert!(reports.observe(record("a", 2), back));
            let now = renew(&mut reports, &["a"], back, 3);
            assert_eq!(names(&reports, now), ["a", "b"], "who was gone before does not come back");
            let now = renew(&mut reports, &["a"], now, 1);
            assert_eq!(names(&reports, now), ["a"], "b has had its time");
        }
    }

    #[test]
    fn a_watch_that_breaks_again_and_again_keeps_no_dead_node_alive() {
        let (mut reports, start) = (ReportCache::default(), Instant::now());
        reports.replace(vec![record("a", 1), record("dead", 1)], start);
        let mut now = start;
        for _ in 0..6 {
            now = renew(&mut reports, &["a"], now, 1);
            reports.fail(now);
            now += Duration::from_secs(2);
            let list = reports
                .records
                .iter()
                .map(|(name, known)| ReportEvent { status: known.status.clone(), ..record(name, 0) });
            reports.replace(list.collect(), now);
        }
        assert_eq!(names(&reports, now), ["a"]);
    }

    #[test]
    fn a_leader_that_begins_hears_for_a_while_before_it_judges() {
        let (mut reports, start) = (ReportCache::default(), Instant::now());
        reports.replace(vec![record("a", 1), record("b", 1)], start);
        let won = start + Duration::from_secs(35);
        let now = renew(&mut reports, &["b"], start, 7);
        assert_eq!(names(&reports, now), ["b"]);
        let at = |now| reports.current(now, Some(won)).into_keys().collect::<Vec<_>>();
        assert_eq!(
            (at(now), at(won + REPORT_TIMEOUT)),
            (vec!["a".to_owned(), "b".to_owned()], vec!["b".to_owned()])
        );
        let late = reports.current(now, Some(start + REPORT_TIMEOUT));
        assert_eq!(late.into_keys().collect::<Vec<_>>(), ["b"], "a was silent before");
    }

    #[test]
    fn that_a_node_is_still_there_is_no_news() {
        let (mut reports, start) = (ReportCache::default(), Instant::now());
        reports.replace(vec![record("a", 1), record("b", 1)], start);
        let renewed = |generation, second| {
            let renew_time = Some(MicroTime(Timestamp::from_second(second).unwrap()));
            let status = RecordStatus { generation, renew_time, ..RecordStatus::default() };
            ReportEvent { status: Some(status), ..record("a", 0) }
        };
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!reports.observe(renewed(1, 10), at(10)) && !reports.observe(renewed(1, 20), at(20)));
        assert!(reports.observe(renewed(2, 30), at(30)), "it runs something else");
        let b = ReportEvent { status: renewed(1, 45).status, ..record("b", 1) };
        assert!(reports.observe(b, at(45)), "it was silent");
    }

    #[test]
    fn who_does_not_lead_knows_who_speaks_and_not_what_is_said() {
        let (mut reports, start) = (ReportCache::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        reports.replace(vec![sign("a", "1"), sign("dead", "1")], start);
        for (version, seconds) in [("2", 10), ("3", 20), ("4", 30), ("5", 41)] {
            assert!(!reports.observe(sign("a", version), at(seconds)), "nobody waits for it");
        }
        assert!(reports.current(at(41), None).is_empty());
        // The leader falls silent, and this process wins. The reports come by a list of their own.
        let won = at(42);
        reports.begin();
        assert!(!reports.is_complete(), "nothing is planned before they are here");
        let whole =
            |name, version: &str| ReportEvent { version: Some(version.to_owned()), ..record(name, 1) };
        reports.replace(vec![whole("a", "5"), whole("dead", "1")], won);
        assert!(reports.is_complete());
        let names = |reports: &ReportCache| reports.current(won, Some(won)).into_keys().collect::<Vec<_>>();
        assert_eq!(names(&reports), ["a"], "it was heard while another led that the other is dead");
        reports.begin();
        assert!(names(&reports).is_empty() && !reports.is_complete(), "another leads again");
    }
}
