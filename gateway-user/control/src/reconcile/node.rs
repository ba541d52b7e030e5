//! A node: what its controller says is made live.

use std::sync::Arc;
use std::time::Instant;

use gateway_sync::frame::{Ack, Closed};
use gateway_sync::item::Desired;
use gateway_sync::key::Key;
use gateway_sync::replica::Replica;
use gateway_tls::Tickets;
use tokio::sync::watch;

use super::ReconcileError;
use super::applier::{self, Applier};
use super::show::Shown;
use super::tickets::TicketTaker;
use crate::publish::Workers;
use crate::steer::Steer;
use crate::stream::ack;
use crate::view::{StreamView, View};

/// The newest word of a controller.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// The configuration to serve; `None` before anything is known.
    pub desired: Option<Desired>,
    /// The controller's version of it.
    pub version: u64,
    /// Items that this node serves closed, 100 at most.
    pub closed: Vec<Closed>,
    /// All of them.
    pub closed_total: u64,
    /// The reason for having nothing, as long as there is nothing.
    pub waiting: Option<String>,
}

impl Received {
    /// The state that a replica holds.
    pub(crate) fn of(replica: &Replica) -> Self {
        let (closed, closed_total) = replica.closed();
        let (desired, version) = (Some(replica.desired().clone()), replica.version());
        Self { desired, version, closed, closed_total, waiting: None }
    }
}

/// Brings workers and steering to what a controller says, and acknowledges it.
#[derive(Debug)]
pub struct NodeReconciler<W, S> {
    applier: Applier<W, S>,
    received: watch::Receiver<Received>,
    acks: watch::Sender<Option<Ack>>,
    shown: Shown,
    /// Session tickets, if there are any.
    tickets: Option<TicketTaker>,
}

impl<W: Workers, S: Steer> NodeReconciler<W, S> {
    /// A node with nothing live yet. The outcome of each version is put into `acks`.
    pub fn new(
        applier: Applier<W, S>,
        received: watch::Receiver<Received>,
        acks: watch::Sender<Option<Ack>>,
        view: watch::Sender<Arc<View>>,
    ) -> Self {
        Self { applier, received, acks, shown: Shown::new(view), tickets: None }
    }

    /// Uses a controller's secrets for these session tickets.
    #[must_use]
    pub fn giving(self, tickets: Option<Tickets>) -> Self {
        Self { tickets: tickets.map(TicketTaker::new), ..self }
    }

    /// From here on no other process serves what this one does.
    pub(crate) fn settle(&mut self) {
        self.applier.settle();
    }

    /// The steering, to close it when all is over.
    pub(crate) fn into_steer(self) -> S {
        self.applier.into_steer()
    }

    /// Makes live what was received last, if it is not; `anyway` also if it is.
    pub(crate) async fn follow(&mut self, anyway: bool) {
        if !self.received.has_changed().unwrap_or(false) && !anyway {
            return;
        }
        let received = self.received.borrow_and_update().clone();
        let begun = Instant::now();
        let mut view = self.shown.copy();
        let Some(desired) = received.desired else {
            view.waiting = received.waiting;
            return self.shown.show(view);
        };
        if let Some(tickets) = &mut self.tickets {
            tickets.take(&desired.tickets);
        }
        view.waiting = None;
        view.closed = received.closed.iter().map(line).collect();
        view.stream = Some(StreamView { version: received.version, closed: received.closed_total });
        self.applier.apply(&mut view, &desired).await;
        view.count(begun);
        let ack = ack::of(&view, received.version, received.closed, received.closed_total);
        self.shown.show(view);
        self.acks.send_replace(Some(ack));
    }

    /// True if something failed or was refused that may work without another word of the controller.
    pub(crate) fn is_unsettled(&self) -> bool {
        applier::is_unsettled(&self.shown.current()) || self.lacks_addresses()
    }

    /// True if an address of this node is not on its interface.
    pub(crate) fn lacks_addresses(&self) -> bool {
        self.applier.lacks_addresses()
    }

    /// Tries again what failed or was refused and may work by now.
    pub(crate) async fn retry(&mut self) {
        let view = self.shown.current();
        if view.live.is_none() && view.last_error.is_none() {
            return;
        }
        if self.applier.look_again(&view).await {
            self.follow(true).await;
        }
    }

    /// As [`Reconciler::adopt`](super::Reconciler::adopt).
    pub(crate) async fn adopt(&mut self, worker: usize) -> Result<(), ReconcileError> {
        let view = self.shown.current();
        self.applier.adopt(&view, worker).await
    }
}

fn line(closed: &Closed) -> String {
    let key = Key::new(closed.kind, &closed.name);
    format!(
        "{key}: served closed, since this node's version does not know {}, which its controller's does",
        closed.needs
    )
}
