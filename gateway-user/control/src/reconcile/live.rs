//! Publishing a configuration and steering to it, in an order in which no connection is lost.

use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

use gateway_ir::{Endpoints, Generation};
use gateway_proxy::worker::WorkerSockets;
use gateway_snapshot::compile_from;
use gateway_steer::{Rejection, SteerPlan};
use gateway_sync::item::Desired;
use jiff::Timestamp;
use tracing::debug;

use super::show::announce;
use super::{Applier, QUEUES_EMPTY, ReconcileError, unharmed};
use crate::plan::{union, without};
use crate::publish::{self, Retired, Workers};
use crate::steer::Steer;
use crate::view::{Live, View};

impl<W: Workers, S: Steer> Applier<W, S> {
    /// Compiles, prepares, steers and commits what is desired, as far as it is not live already, and notes the new
    /// generation in `view`.
    ///
    /// # Errors
    /// [`ReconcileError`], whose variants tell which generation is live.
    pub(super) async fn bring_live(
        &mut self,
        view: &mut View,
        desired: &Desired,
    ) -> Result<(), ReconcileError> {
        let ir = &desired.ir;
        let wanted = self.here(ir);
        // For ports that are live already nobody is asked at each change of a route: the kernel goes through its table of
        // connections to tell who listens. They are looked at every ten seconds.
        let is_live = view.live.as_ref().is_some_and(|live| *live.plan == wanted && live.refused.is_empty());
        let asks = std::mem::take(&mut self.ports_changed) || self.unsettled || !is_live;
        let mut refused = if asks { self.rejections(&wanted, desired) } else { Vec::new() };
        let plan = without(&wanted, &refused);
        let (endpoints, own) = self.guard(&desired.endpoints, &plan);
        let endpoints = &endpoints;
        view.own_endpoints = own;
        let same = view.live.as_ref().is_some_and(|live| live.ir == *ir && *live.plan == plan);
        if same && !self.unsettled {
            return self.follow_endpoints(view, endpoints, &refused).await;
        }
        self.generation = Generation(self.generation.0 + 1);
        let generation = self.generation;
        let begun = Instant::now();
        let predecessor = view.live.as_ref().map(|live| &*live.snapshot);
        let compile = || compile_from(&self.library, ir, generation, predecessor);
        let snapshot = Arc::new(unharmed("compiling", compile)?);
        let compiled = begun.elapsed();

        // Until the commit both generations are in use, so the addresses of either's clusters must be known.
        let both = union(view.live.as_ref(), endpoints);
        self.tell_endpoints(&both).await;
        let prepared = self.steer.prepare(&plan);
        let sockets = of_workers(prepared.listeners, prepared.datagrams);
        self.held_ports.note(&prepared.refused, desired);
        refused.extend(prepared.refused);
        let plan = without(&plan, &refused);
        let taken = publish::prepare(&self.workers, generation, &snapshot, sockets).await;
        if let Err(error) = taken {
            self.steer.abandon();
            return Err(error.into());
        }
        let retiring = self.withdraw_removed(view, &plan).await?;
        self.tell(publish::commit(&self.workers, generation, &retiring).await);
        self.tell_endpoints(endpoints).await;
        let steered = self.steer.apply(&plan);
        self.unsettled = steered.is_err();
        refused.extend(steered.as_ref().into_iter().flatten().cloned());
        let plan = without(&plan, &refused);
        debug!(%generation, compile_us = compiled.as_micros(), "published");

        let first = view.live.is_none();
        view.tally.published += 1;
        let live = Live {
            generation,
            since: Timestamp::now(),
            ir: Arc::clone(ir),
            snapshot,
            endpoints: Arc::clone(endpoints),
            plan: Arc::new(plan),
            refused: refused.into(),
        };
        announce(&live);
        // Not ready before steering is: with none, no connection arrives.
        if !first || steered.is_ok() {
            view.live = Some(live);
        }
        Ok(steered.map(drop)?)
    }

    /// Endpoints live outside the snapshot: when only they change, nothing is compiled or prepared.
    pub(super) async fn follow_endpoints(
        &mut self,
        view: &mut View,
        endpoints: &Arc<Endpoints>,
        refused: &[Rejection],
    ) -> Result<(), ReconcileError> {
        let Some(live) = &mut view.live else { return Ok(()) };
        live.refused = refused.into();
        if live.endpoints != *endpoints {
            live.endpoints = Arc::clone(endpoints);
            view.tally.endpoint_updates += 1;
            self.tell_endpoints(endpoints).await;
        }
        Ok(())
    }

    /// Gives every worker the addresses behind clusters, unless all of them have these: an edit of a route changes none.
    async fn tell_endpoints(&mut self, table: &Arc<Endpoints>) {
        if self.told.as_ref() == Some(table) {
            return;
        }
        let missing = publish::endpoints(&self.workers, table).await;
        self.told = missing.is_empty().then(|| Arc::clone(table));
        self.tell(missing);
    }

    /// Stops steering to binds that the plan no longer has, and waits until workers accepted what was queued
    /// for them: those connections are served by the tables that know their listener. Returns the sockets to
    /// close.
    pub(super) async fn withdraw_removed(
        &mut self,
        view: &View,
        plan: &SteerPlan,
    ) -> Result<Retired, ReconcileError> {
        let retiring =
            Retired { listeners: self.steer.retiring(plan), datagrams: self.steer.retiring_datagrams(plan) };
        let Some(live) = &view.live else { return Ok(retiring) };
        let kept: SteerPlan = live.plan.binds.intersection(&plan.binds).copied().collect();
        // Where workers have sockets to close, closing them is what withdraws a bind.
        if kept.binds.len() < live.plan.binds.len() && retiring.listeners.is_empty() {
            if let Err(error) = self.steer.apply(&kept) {
                publish::abort(&self.workers, self.generation);
                self.steer.abandon();
                return Err(error.into());
            }
            tokio::time::sleep(QUEUES_EMPTY).await;
        }
        Ok(retiring)
    }
}

/// The sockets of each worker together.
fn of_workers(listeners: Vec<Vec<TcpListener>>, mut datagrams: Vec<Vec<UdpSocket>>) -> Vec<WorkerSockets> {
    let both = listeners.into_iter().enumerate().map(|(worker, listeners)| WorkerSockets {
        listeners,
        datagrams: datagrams.get_mut(worker).map(std::mem::take).unwrap_or_default(),
    });
    both.collect()
}
