//! The parts of a control plane that a process has: all of it, a controller's, or a node's.

use std::sync::mpsc::Sender;
use std::time::Duration;

use super::{SourceOptions, Wake};
use crate::expressions::Builder;
use crate::publish::Workers;
use crate::reconcile::{Distributor, NodeReconciler, ReconcileError, Reconciler};
use crate::source::{Directory, PollResult, Source};
use crate::steer::Steer;
use crate::store::StoreView;

/// Quiet time after a change in a cluster. Objects that are applied together arrive within milliseconds, and
/// an edit should be live as soon.
const CLUSTER_DEBOUNCE: Duration = Duration::from_millis(5);

/// Work of the compiler thread.
pub(super) trait Plane {
    /// The rest at the end.
    type End;

    /// Takes what is new and acts on it; `anyway` also if nothing is.
    async fn poll(&mut self, anyway: bool);

    /// Acts on what is there though nothing in it has changed.
    async fn again(&mut self);

    /// Tries again what did not work.
    async fn retry(&mut self);

    /// Gives a worker that took a dead one's place what is live.
    async fn adopt(&mut self, worker: usize) -> Result<(), ReconcileError>;

    /// True if there may be something new that no event has told of.
    fn differs(&mut self) -> bool;

    /// In how long it is worth another look, though nothing happens.
    fn due_in(&self) -> Option<Duration>;

    /// From here on this process alone serves, and keeps what it has on disk.
    fn begin_to_keep(&mut self);

    /// True if something failed that may work if it is tried again.
    fn is_unsettled(&self) -> bool;

    /// True if an address of this node is missing, which another host may give up at any time.
    fn lacks_addresses(&self) -> bool;

    /// True if edits wait for their expressions.
    fn is_building(&self) -> bool;

    /// Ends it.
    fn end(self) -> Self::End;
}

/// A reconciler of resources.
pub(super) trait OfResources {
    type End;
    fn build_by(&mut self, builder: Builder);
    async fn reconcile(&mut self, resources: &StoreView);
    async fn retry(&mut self, resources: &StoreView);
    async fn adopt(&mut self, worker: usize) -> Result<(), ReconcileError>;
    fn unreadable(&mut self, error: &str);
    fn waiting(&mut self, what: String, resources: &StoreView);
    fn settle(&mut self);
    fn is_unsettled(&self) -> bool;
    fn lacks_addresses(&self) -> bool;
    fn is_building(&self) -> bool;
    fn due_in(&self) -> Option<Duration>;
    fn end(self) -> Self::End;
}

/// Resources from a source, and what acts on them.
pub(super) struct ResourcePlane<R> {
    source: Source,
    reconciler: R,
    /// The objects as they were held last.
    held: StoreView,
    /// True if they ever were.
    has_read: bool,
}

impl<R: OfResources> ResourcePlane<R> {
    /// Opens the source, whose changes go to `wake`. Gives the quiet time after a change as well, and whether the first
    /// change after a longer pause waits for it.
    pub(super) fn open(options: SourceOptions, reconciler: R, wake: Sender<Wake>) -> (Self, Duration, bool) {
        let changed = move || {
            let _ = wake.send(Wake::Changed);
        };
        let (source, debounce, first_waits) = match options {
            SourceOptions::Directory(options) => {
                let debounce = options.delays.quiet;
                (Source::Directory(Box::new(Directory::new(options, changed))), debounce, true)
            }
            SourceOptions::Cluster(cluster) => {
                cluster.wake_by(changed);
                let last_good_writer = cluster.last_good_writer();
                (Source::Cluster(Box::new(cluster), last_good_writer), CLUSTER_DEBOUNCE, false)
            }
        };
        (Self { source, reconciler, held: StoreView::default(), has_read: false }, debounce, first_waits)
    }
}

impl<R: OfResources> Plane for ResourcePlane<R> {
    type End = R::End;

    async fn poll(&mut self, anyway: bool) {
        match self.source.poll(&mut self.held, anyway) {
            PollResult::Unreadable(why) => self.reconciler.unreadable(&why),
            PollResult::Waiting(what) => self.reconciler.waiting(what, &self.held),
            PollResult::Same if self.reconciler.due_in().is_some_and(|due| due.is_zero()) => {
                self.again().await
            }
            PollResult::Same => tracing::debug!("an event, but no change"),
            PollResult::New => {
                self.has_read = true;
                self.reconciler.reconcile(&self.held).await;
            }
        }
    }

    async fn again(&mut self) {
        if self.has_read {
            self.reconciler.reconcile(&self.held).await;
        }
    }

    /// Before anything was read, nothing may go live.
    async fn retry(&mut self) {
        if self.has_read {
            self.reconciler.retry(&self.held).await;
        }
    }

    async fn adopt(&mut self, worker: usize) -> Result<(), ReconcileError> {
        self.reconciler.adopt(worker).await
    }

    fn differs(&mut self) -> bool {
        self.source.catch_up(&self.held);
        self.source.differs()
    }

    fn due_in(&self) -> Option<Duration> {
        self.source.due_in().into_iter().chain(self.reconciler.due_in()).min()
    }

    fn begin_to_keep(&mut self) {
        self.source.begin_to_keep(&self.held);
        self.reconciler.settle();
    }

    fn is_unsettled(&self) -> bool {
        self.reconciler.is_unsettled()
    }

    fn lacks_addresses(&self) -> bool {
        self.reconciler.lacks_addresses()
    }

    fn is_building(&self) -> bool {
        self.reconciler.is_building()
    }

    fn end(self) -> R::End {
        self.reconciler.end()
    }
}

impl<W: Workers, S: Steer> OfResources for Reconciler<W, S> {
    type End = S;

    fn build_by(&mut self, builder: Builder) {
        self.build_by(builder);
    }

    async fn reconcile(&mut self, resources: &StoreView) {
        self.reconcile(resources).await;
    }

    async fn retry(&mut self, resources: &StoreView) {
        self.retry(resources).await;
    }

    async fn adopt(&mut self, worker: usize) -> Result<(), ReconcileError> {
        self.adopt(worker).await
    }

    fn unreadable(&mut self, error: &str) {
        self.unreadable(error);
    }

    fn waiting(&mut self, what: String, resources: &StoreView) {
        self.waiting(what, resources);
    }

    fn settle(&mut self) {
        self.settle();
    }

    fn is_unsettled(&self) -> bool {
        self.is_unsettled()
    }

    fn is_building(&self) -> bool {
        self.is_building()
    }

    fn lacks_addresses(&self) -> bool {
        self.lacks_addresses()
    }

    fn due_in(&self) -> Option<Duration> {
        self.due_in()
    }

    fn end(self) -> S {
        self.into_steer()
    }
}

impl OfResources for Distributor {
    type End = ();

    fn build_by(&mut self, builder: Builder) {
        self.build_by(builder);
    }

    async fn reconcile(&mut self, resources: &StoreView) {
        self.reconcile(resources).await;
    }

    async fn retry(&mut self, resources: &StoreView) {
        if self.is_unsettled() {
            self.reconcile(resources).await;
        }
    }

    /// There are no workers.
    async fn adopt(&mut self, _: usize) -> Result<(), ReconcileError> {
        Ok(())
    }

    fn unreadable(&mut self, error: &str) {
        self.unreadable(error);
    }

    fn waiting(&mut self, what: String, resources: &StoreView) {
        self.waiting(what, resources);
    }

    fn settle(&mut self) {
        self.settle();
    }

    fn is_unsettled(&self) -> bool {
        self.is_unsettled()
    }

    fn is_building(&self) -> bool {
        self.is_building()
    }

    /// It has no interface.
    fn lacks_addresses(&self) -> bool {
        false
    }

    fn due_in(&self) -> Option<Duration> {
        self.due_in()
    }

    fn end(self) {}
}

/// A node's plane: events come with what they tell.
impl<W: Workers, S: Steer> Plane for NodeReconciler<W, S> {
    type End = S;

    async fn poll(&mut self, anyway: bool) {
        self.follow(anyway).await;
    }

    async fn again(&mut self) {
        self.follow(true).await;
    }

    async fn retry(&mut self) {
        self.retry().await;
    }

    async fn adopt(&mut self, worker: usize) -> Result<(), ReconcileError> {
        self.adopt(worker).await
    }

    fn differs(&mut self) -> bool {
        false
    }

    fn due_in(&self) -> Option<Duration> {
        None
    }

    fn begin_to_keep(&mut self) {
        self.settle();
    }

    fn is_unsettled(&self) -> bool {
        self.is_unsettled()
    }

    fn lacks_addresses(&self) -> bool {
        self.lacks_addresses()
    }

    fn is_building(&self) -> bool {
        false
    }

    fn end(self) -> S {
        self.into_steer()
    }
}
