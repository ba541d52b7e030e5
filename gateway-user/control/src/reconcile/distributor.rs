//! A controller: what is to be served goes to nodes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_sync::server::SharedTable;
use gateway_translate::TranslateOptions;
use jiff::Timestamp;
use tokio::sync::watch;

use super::planner::{Planned, Planner};
use super::show::Shown;
use super::tickets::TicketGiver;
use crate::addresses::Assigner;
use crate::expressions::Builder;
use crate::store::StoreView;
use crate::view::{StreamView, View};

/// Brings the table that nodes follow to what the resources say.
#[derive(Debug)]
pub struct Distributor {
    planner: Planner,
    table: Arc<SharedTable>,
    shown: Shown,
    tickets: TicketGiver,
}

impl Distributor {
    /// A distributor whose table is empty yet.
    pub fn new(options: TranslateOptions, table: Arc<SharedTable>, view: watch::Sender<Arc<View>>) -> Self {
        let (planner, shown) = (Planner::new(options), Shown::new(view));
        Self { planner, table, shown, tickets: TicketGiver::new() }
    }

    /// Gives Gateways the addresses that this one gives, where they leave the choice to us.
    #[must_use]
    pub fn assigning(self, assigner: Assigner) -> Self {
        Self { planner: self.planner.assigning(assigner), ..self }
    }

    /// As [`Reconciler::believing_unready_after`](super::Reconciler::believing_unready_after).
    #[must_use]
    pub fn believing_unready_after(self, patience: Duration) -> Self {
        Self { planner: self.planner.believing_unready_after(patience), ..self }
    }

    /// As [`Reconciler::due_in`](super::Reconciler::due_in).
    pub(crate) fn due_in(&self) -> Option<Duration> {
        self.planner.due_in().into_iter().chain(self.tickets.due_in()).min()
    }

    /// Has expressions built by a thread, so that edits which bring none wait for none.
    pub(crate) fn build_by(&mut self, builder: Builder) {
        self.planner.build_by(builder);
    }

    /// True if edits wait for their expressions.
    pub(crate) fn is_building(&self) -> bool {
        !self.shown.current().building.is_empty()
    }

    /// From here on this process alone decides.
    pub(crate) fn settle(&mut self) {
        self.planner.settle();
    }

    /// True if a fault of ours kept the newest resources from the table.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.shown.current().last_error.is_some()
    }

    /// Puts what `resources` say into the table.
    pub(crate) async fn reconcile(&mut self, resources: &StoreView) {
        let begun = Instant::now();
        let mut view = self.shown.copy();
        let serves = view.stream.is_some();
        match self.planner.plan(&mut view, resources, serves).await {
            Ok(Planned { mut desired, status }) => {
                desired.tickets = self.tickets.follow(&desired.ir);
                let version = self.table.update(desired);
                view.tally.published +=
                    u64::from(view.stream.as_ref().is_none_or(|told| told.version != version));
                view.stream = Some(StreamView { version, closed: 0 });
                view.since = view.since.after(&view.status, &status, Timestamp::now());
                view.status = Arc::new(status.clone());
                view.translated = Arc::new(status);
                view.last_error = None;
                view.count(begun);
            }
            Err(fault) => {
                view.tally.failed += 1;
                view.last_error = Some(fault.to_string());
            }
        }
        self.shown.show(view);
    }

    /// Says that the source cannot be read; nodes keep what they have.
    pub(crate) fn unreadable(&mut self, error: &str) {
        let mut view = self.shown.copy();
        view.tally.unreadable += 1;
        view.last_error = Some(error.to_owned());
        self.shown.show(view);
    }

    /// Says that the source has not shown everything yet, so that nodes are told nothing.
    pub(crate) fn waiting(&mut self, what: String, resources: &StoreView) {
        let mut view = self.shown.copy();
        view.waiting = Some(what);
        view.diagnostics = resources.diagnostics.as_slice().into();
        self.shown.show(view);
    }
}
