//! The leader's loop: whatever changes, plan and write.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use gateway_api_types::{Kind, ObjectKey};
use gateway_ir::ObjectName;
use gateway_translate::{NodeReport, object_kind};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::ObservedObjects;
use super::dangling::Dangling;
use super::events::Events;
use super::infrastructure::InfrastructureFaults;
use super::lease::Leadership;
use super::plan::{Inputs, plan};
use super::reporter::OwnReport;
use super::reports::ReportCache;
use super::tally::ClusterTally;
use super::writer::Writer;
use crate::view::View;

/// Time after a pass for changes to gather, which are planned together.
const BATCH_DELAY: Duration = Duration::from_millis(25);
/// Interval at which a pass finds nodes that fell silent, if nothing else wakes it.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Time for nodes to apply a Gateway before its status says that they have not.
const APPLY_GRACE: Duration = Duration::from_secs(10);

/// Inputs of the loop.
pub(super) struct Statuses {
    /// The node that this process serves on; `None` on a controller, which serves on none.
    pub(super) node: Option<String>,
    /// The report for it.
    pub(super) own: OwnReport,
    pub(super) controller: String,
    pub(super) seen: Arc<dyn ObservedObjects>,
    /// Says that what was seen has changed.
    pub(super) seen_changed: watch::Receiver<u64>,
    pub(super) view: watch::Receiver<Arc<View>>,
    pub(super) reports: watch::Receiver<ReportCache>,
    pub(super) leadership: Leadership,
    pub(super) writer: Writer,
    pub(super) tally: Arc<ClusterTally>,
    /// Gateways that nodes are applying, and since when.
    pub(super) waiting: HashMap<(Kind, ObjectName), Instant>,
    /// Routes that name no Gateway, and since when.
    pub(super) dangling: Dangling,
    /// The namespaces that are read; empty is all.
    pub(super) namespaces: Vec<String>,
    /// Gateways that have not what their infrastructure asks for.
    pub(super) infrastructure_faults: watch::Receiver<Arc<InfrastructureFaults>>,
    /// Time for which such a route is left alone.
    pub(super) tell_after: Duration,
    pub(super) events: Events,
}

impl Statuses {
    /// Runs until `stop` says true or its sender is gone.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut next = Instant::now();
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = self.woken(next) => {}
            }
            let leads = self.leadership.holds();
            self.tally.lead(leads);
            let again = if leads { self.pass().await } else { None };
            if !leads {
                // Another one counts how long nodes take.
                self.waiting.clear();
                self.dangling.clear();
            }
            next =
                again.unwrap_or_else(|| Instant::now() + POLL_INTERVAL).min(Instant::now() + POLL_INTERVAL);
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = sleep(BATCH_DELAY) => {}
            }
        }
    }

    /// Until anything changes that a plan is made from, or the time has come.
    async fn woken(&mut self, next: Instant) {
        tokio::select! {
            Ok(()) = self.view.changed() => {}
            Ok(()) = self.reports.changed() => {}
            Ok(()) = self.seen_changed.changed() => {}
            Ok(()) = self.infrastructure_faults.changed() => {}
            () = self.leadership.changed() => {}
            () = sleep_until(next) => {}
        }
    }

    /// Plans and writes; gives when to do so again though nothing changes.
    async fn pass(&mut self) -> Option<Instant> {
        let view = Arc::clone(&self.view.borrow_and_update());
        let complete = self.reports.borrow_and_update().is_complete();
        if view.tally.reconciled == 0 || !complete {
            // The status is not known yet, or the other nodes' reports are not.
            return None;
        }
        let now = Instant::now();
        let reports = self.reports(now);
        let overdue: BTreeSet<_> = self
            .waiting
            .iter()
            .filter(|(_, since)| now >= **since + APPLY_GRACE)
            .map(|(name, _)| name.clone())
            .collect();
        let infrastructure = Arc::clone(&self.infrastructure_faults.borrow_and_update());
        let planned = plan(
            Inputs {
                translated: &view.translated,
                reports: &reports,
                controller: &self.controller,
                overdue: &overdue,
                infrastructure: &infrastructure,
                now: Timestamp::now(),
            },
            &*self.seen,
        );
        self.waiting.retain(|name, _| planned.waiting.contains(name));
        for name in &planned.waiting {
            self.waiting.entry(name.clone()).or_insert(now);
        }
        let advice = self.advise(&view, now);
        let patience =
            self.waiting.values().map(|since| *since + APPLY_GRACE).filter(|when| *when > now).min();
        // Writing takes as long as the server likes; meanwhile the view is replaced, and the old one would be
        // held.
        drop((view, reports));
        let again = self.writer.write(planned.changes).await;
        self.writer.tidy(Instant::now());
        [patience, advice, again].into_iter().flatten().min()
    }

    /// Tells the owners of routes that name no Gateway; gives when to look again.
    fn advise(&mut self, view: &View, now: Instant) -> Option<Instant> {
        let mut missing = view.translated.missing_gateways.clone();
        // Objects in namespaces that are not watched are unknown here.
        missing.retain(|_, one| {
            self.namespaces.is_empty() || self.namespaces.iter().any(|name| **name == *one.wanted.namespace)
        });
        let (due, next) = self.dangling.due(&missing, self.tell_after, now);
        for (route, one) in due {
            let key = ObjectKey::new(&*route.object.namespace, &*route.object.name);
            let kind = object_kind(route.kind);
            if let Some(object) = self.seen.object(kind, &key)
                && object.metadata().generation == one.generation
            {
                self.events.tell_once(kind, object.metadata(), "NoMatchingParent", &one.message);
            }
        }
        next
    }

    /// Of this node what it is about to report; of the others what they have.
    fn reports(&mut self, now: Instant) -> BTreeMap<String, NodeReport> {
        let mut reports = self.reports.borrow_and_update().current(now, self.leadership.since());
        match (&self.node, self.own.current()) {
            (Some(node), Some(own)) => drop(reports.insert(node.clone(), own)),
            (Some(node), None) => drop(reports.remove(node)),
            (None, _) => {}
        }
        reports
    }
}
