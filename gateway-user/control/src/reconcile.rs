//! From resources to the live configuration, in two halves: a [`Planner`] decides what is to be served, an [`Applier`] makes
//! it live on this node. A process that does both is a [`Reconciler`]; a controller has the first half, a node the second,
//! and between them is one type, [`Desired`](gateway_sync::item::Desired).

mod applier;
mod distributor;
mod error;
mod live;
mod marks;
mod node;
mod planner;
mod show;
mod tickets;
mod unready;

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_translate::TranslateOptions;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::addresses::Pool;
use crate::expressions::Builder;
use crate::own_ports::OwnPorts;
use crate::publish::Workers;
use crate::steer::Steer;
use crate::store::StoreView;
use crate::view::View;

pub use applier::Applier;
pub use distributor::Distributor;
pub use error::ReconcileError;
pub use node::{NodeReconciler, Received};
use planner::Planned;
pub use planner::Planner;
use show::Shown;

/// Time after the steering of a bind ends for workers to accept what its queues held, before the tables that
/// serve those connections are replaced. Accepting takes microseconds unless a worker is held up.
const QUEUES_EMPTY: Duration = Duration::from_millis(100);

/// Brings workers and steering to what the resources say.
#[derive(Debug)]
pub struct Reconciler<W, S> {
    planner: Planner,
    applier: Applier<W, S>,
    shown: Shown,
    /// Name of this node, by which it is decided which Gateways are served on it.
    node: String,
}

impl<W: Workers, S: Steer> Reconciler<W, S> {
    /// Nothing is live yet.
    pub fn new(workers: W, steer: S, options: TranslateOptions, view: watch::Sender<Arc<View>>) -> Self {
        let planner = Planner::new(options);
        let applier = Applier::new(workers, steer, Arc::clone(planner.library()));
        Self { planner, applier, shown: Shown::new(view), node: String::new() }
    }

    /// Serves the Gateways of the node of this name; without a name, those that are served on every node.
    #[must_use]
    pub fn serving_as(self, node: String) -> Self {
        Self { node, ..self }
    }

    /// Says where clients reach this node, for the status of Gateways that name no address.
    #[must_use]
    pub fn reached_at(self, addresses: Vec<IpAddr>) -> Self {
        Self { applier: self.applier.reached_at(addresses), ..self }
    }

    /// Has expressions built by a thread, so that edits which bring none wait for none.
    pub(crate) fn build_by(&mut self, builder: Builder) {
        self.planner.build_by(builder);
    }

    /// True if edits wait for their expressions.
    pub(crate) fn is_building(&self) -> bool {
        !self.shown.current().building.is_empty()
    }

    /// Says what endpoints must not lead to on this node.
    #[must_use]
    pub fn guarding(self, own_ports: OwnPorts) -> Self {
        Self { applier: self.applier.guarding(own_ports), ..self }
    }

    /// As [`Applier::taking_freed_ports_after`].
    #[must_use]
    pub fn taking_freed_ports_after(self, patience: Duration, takes_over: bool) -> Self {
        Self { applier: self.applier.taking_freed_ports_after(patience, takes_over), ..self }
    }

    /// Uses the endpoints of a Service on for so long when all of them become not ready at once. Zero, which is the default,
    /// believes it at once.
    #[must_use]
    pub fn believing_unready_after(self, patience: Duration) -> Self {
        Self { planner: self.planner.believing_unready_after(patience), ..self }
    }

    /// In how long resources that have not changed are to be looked at again.
    pub fn due_in(&self) -> Option<Duration> {
        self.planner.due_in()
    }

    /// Gives Gateways addresses of this pool where they leave the choice to us.
    #[must_use]
    pub fn with_pool(self, pool: Pool) -> Self {
        let Pool { assigner, own } = pool;
        Self { planner: self.planner.assigning(assigner), applier: self.applier.with_addresses(own), ..self }
    }

    /// From here on no other process serves what this one does: addresses that nobody has any more may go.
    pub fn settle(&mut self) {
        self.planner.settle();
        self.applier.settle();
    }

    /// The steering, to close it when all is over.
    pub fn into_steer(self) -> S {
        self.applier.into_steer()
    }

    /// Makes `resources` live, as far as they can be. Whatever happens is in the [`View`] afterwards and in
    /// the log.
    pub async fn reconcile(&mut self, resources: &StoreView) {
        let begun = Instant::now();
        let mut view = self.shown.copy();
        let serves = view.live.is_some();
        let Planned { desired, status } = match self.planner.plan(&mut view, resources, serves).await {
            Ok(planned) => planned,
            Err(fault) => return self.failed(view, &fault),
        };
        self.applier.apply(&mut view, &desired.seen_by(&self.node)).await;
        // A Gateway is called programmed only if what is live of it is what was asked for.
        let reported = match view.live {
            Some(_) => status.with_report_of(&self.node, &view.report),
            None => status.clone(),
        };
        view.since = view.since.after(&view.status, &reported, Timestamp::now());
        view.status = Arc::new(reported);
        view.translated = Arc::new(status);
        view.count(begun);
        self.shown.show(view);
    }

    fn failed(&mut self, mut view: View, fault: &ReconcileError) {
        view.tally.failed += 1;
        view.last_error = Some(fault.to_string());
        self.shown.show(view);
    }

    /// Says that the source cannot be read; what is live stays.
    pub fn unreadable(&mut self, error: &str) {
        let mut view = self.shown.copy();
        view.tally.unreadable += 1;
        view.last_error = Some(error.to_owned());
        self.shown.show(view);
    }

    /// Says that the source has not shown everything yet, so that nothing can be made live.
    pub fn waiting(&mut self, what: String, resources: &StoreView) {
        let mut view = self.shown.copy();
        view.waiting = Some(what);
        view.diagnostics = resources.diagnostics.as_slice().into();
        self.shown.show(view);
    }

    /// True if something failed or was refused that may work without a change of the resources.
    pub fn is_unsettled(&self) -> bool {
        applier::is_unsettled(&self.shown.current()) || self.lacks_addresses()
    }

    /// True if an address of this node is not on its interface.
    pub(crate) fn lacks_addresses(&self) -> bool {
        self.applier.lacks_addresses()
    }

    /// Tries again what failed or was refused and may work by now: a port that another program held, a worker
    /// that was being replaced. Cheap if there is nothing of that kind.
    pub async fn retry(&mut self, resources: &StoreView) {
        let view = self.shown.current();
        if self.applier.look_again(&view).await {
            self.reconcile(resources).await;
        }
    }

    /// Gives a worker that took a dead one's place what is live, and with it its sockets.
    ///
    /// # Errors
    /// There are no sockets, or the worker does not take it. To be tried again: without sockets it does
    /// nothing.
    pub async fn adopt(&mut self, worker: usize) -> Result<(), ReconcileError> {
        let view = self.shown.current();
        self.applier.adopt(&view, worker).await
    }
}

/// Runs one of the pure stages. A panic in it, which only a fault of ours can cause, must not take a serving
/// gateway down with it. Nothing is left half done: compilation changes nothing, and a translator that was
/// interrupted forgets what it knew.
fn unharmed<T>(what: &'static str, stage: impl FnOnce() -> T) -> Result<T, ReconcileError> {
    catch_unwind(AssertUnwindSafe(stage)).map_err(|_| ReconcileError::Fault(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_ours_is_an_error_and_not_the_end() {
        let error = unharmed("testing", || panic!("injected by a test")).map(|()| 0).unwrap_err();
        assert!(error.to_string().contains("internal fault while testing"), "{error}");
    }
}
