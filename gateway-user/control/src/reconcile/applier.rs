//! The node's half: makes live what is to be served.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use gateway_ir::{Endpoints, Generation, Ir};
use gateway_proxy::worker::WorkerSockets;
use gateway_regex::Library;
use gateway_snapshot::compile_with;
use gateway_steer::{Rejection, SteerPlan};
use gateway_sync::item::Desired;
use gateway_translate::NodeReport;

use super::ReconcileError;
use crate::addresses::OwnAddresses;
use crate::held_ports::HeldPorts;
use crate::own_ports::{OwnEndpoint, OwnPorts};
use crate::plan::report;
use crate::publish::{self, Retired, Workers};
use crate::steer::Steer;
use crate::view::View;

/// Time for which a port that another program held has to have been free, unless that is set.
const FREED_PORTS_AFTER: Duration = Duration::from_secs(300);

/// Brings workers and steering to what is to be served.
#[derive(Debug)]
pub struct Applier<W, S> {
    pub(super) workers: W,
    pub(super) steer: S,
    /// Expressions that are built.
    pub(super) library: Arc<Library>,
    pub(super) generation: Generation,
    /// Where clients reach this node.
    addresses: Vec<IpAddr>,
    /// Addresses of Gateways that this node has, if they are not the node's.
    own: Option<OwnAddresses>,
    /// Ports of this node that endpoints must not lead to.
    pub(super) own_ports: OwnPorts,
    pub(super) held_ports: HeldPorts,
    /// Steering failed after a commit: the plan must be applied again though nothing else changed.
    pub(super) unsettled: bool,
    /// Something about the ports of what is live has changed by itself.
    pub(super) ports_changed: bool,
    /// The configuration that was to be served last.
    pub(super) desired: Desired,
    /// Endpoints that every worker has; `None` if some worker may have others.
    pub(super) told: Option<Arc<Endpoints>>,
    /// Endpoints as they were looked through last; `None` if the node's own addresses may be others since.
    guarded: Option<Guarded>,
}

/// Endpoints without those that lead to this node's own ports.
#[derive(Debug)]
struct Guarded {
    /// All of them.
    of: Arc<Endpoints>,
    /// The binds that were served.
    plan: SteerPlan,
    endpoints: Arc<Endpoints>,
    left_out: Arc<[OwnEndpoint]>,
}

impl<W: Workers, S: Steer> Applier<W, S> {
    /// An applier with nothing live yet.
    pub fn new(workers: W, steer: S, library: Arc<Library>) -> Self {
        Self {
            workers,
            steer,
            library,
            generation: Generation(0),
            addresses: Vec::new(),
            own: None,
            own_ports: OwnPorts::default(),
            held_ports: HeldPorts::new(FREED_PORTS_AFTER, false),
            unsettled: false,
            ports_changed: false,
            desired: Desired::default(),
            told: None,
            guarded: None,
        }
    }

    /// Says where clients reach this node, for the status of Gateways that name no address.
    #[must_use]
    pub fn reached_at(self, addresses: Vec<IpAddr>) -> Self {
        Self { addresses, ..self }
    }

    /// Says what endpoints must not lead to on this node.
    #[must_use]
    pub fn guarding(self, own_ports: OwnPorts) -> Self {
        Self { own_ports, ..self }
    }

    /// Says how long a port that another program held has to have been free before a listener gets it, and
    /// whether this process takes over from one that serves, so that no socket of a process that has
    /// died is about to close.
    #[must_use]
    pub fn taking_freed_ports_after(self, patience: Duration, takes_over: bool) -> Self {
        Self { held_ports: HeldPorts::new(patience, takes_over), ..self }
    }

    /// Puts this node's addresses of Gateways on an interface.
    #[must_use]
    pub fn with_addresses(self, own: OwnAddresses) -> Self {
        Self { own: Some(own), ..self }
    }

    /// From here on no other process serves what this one does: addresses that nobody has any more may go.
    pub fn settle(&mut self) {
        self.own.iter_mut().for_each(OwnAddresses::settle);
    }

    /// The steering, to close it when all is over.
    pub fn into_steer(self) -> S {
        self.steer
    }

    /// Makes `desired` live, as far as it can be, and notes in `view` what came of it.
    pub(super) async fn apply(&mut self, view: &mut View, desired: &Desired) {
        self.desired = desired.clone();
        if let Some(own) = &mut self.own {
            own.provide(&desired.addresses).await;
        }
        let result = self.bring_live(view, desired).await;
        view.tally.failed += u64::from(result.is_err());
        view.last_error = result.as_ref().err().map(ToString::to_string);
        if let Some(own) = &mut self.own
            && result.is_ok()
        {
            own.withdraw().await;
        }
        view.report = Arc::new(self.report(view));
    }

    fn report(&self, view: &View) -> NodeReport {
        report(view.live.as_ref(), &self.addresses)
    }

    /// Binds to steer on this node.
    pub(super) fn here(&self, ir: &Ir) -> SteerPlan {
        let plan = SteerPlan::of(ir);
        match &self.own {
            Some(own) => own.here(plan),
            None => plan,
        }
    }

    /// The binds of `wanted` that are not served.
    pub(super) fn rejections(&mut self, wanted: &SteerPlan, desired: &Desired) -> Vec<Rejection> {
        let refused = self.steer.check(wanted);
        self.held_ports.judge(wanted, refused, desired)
    }

    /// The endpoints without those that lead to this node's own ports while `plan` is served, and those. All of them are gone
    /// through only if something about it is new: the node's addresses are looked at every ten seconds.
    pub(super) fn guard(
        &mut self,
        endpoints: &Arc<Endpoints>,
        plan: &SteerPlan,
    ) -> (Arc<Endpoints>, Arc<[OwnEndpoint]>) {
        let known = self.guarded.as_ref();
        if let Some(same) = known.filter(|known| Arc::ptr_eq(&known.of, endpoints) && known.plan == *plan) {
            return (Arc::clone(&same.endpoints), Arc::clone(&same.left_out));
        }
        let (rest, left_out) = self.own_ports.without(endpoints, plan);
        let left_out: Arc<[_]> = left_out.into();
        let (of, plan) = (Arc::clone(endpoints), plan.clone());
        let guarded = Guarded { of, plan, endpoints: Arc::clone(&rest), left_out: Arc::clone(&left_out) };
        self.guarded = Some(guarded);
        (rest, left_out)
    }

    /// True if an address of this node is not on its interface, which is tried again as what is refused.
    pub(super) fn lacks_addresses(&self) -> bool {
        self.own.as_ref().is_some_and(OwnAddresses::lacks)
    }

    /// Looks at what failed or was refused and may work by now: a port that another program held, an address of the node
    /// that has come. True if what is live is to be made anew.
    pub(super) async fn look_again(&mut self, view: &View) -> bool {
        if let Some(own) = &mut self.own {
            own.retry().await;
        }
        self.steer.retry_placeholders();
        match &view.live {
            Some(live) if view.last_error.is_none() => {
                let wanted = self.here(&live.ir);
                let desired = self.desired.clone();
                let refused = self.rejections(&wanted, &desired);
                // An address of the node may have come or gone.
                let (endpoints, _) = self.own_ports.without(&desired.endpoints, &live.plan);
                let behind = self.steer.is_behind();
                self.unsettled |= behind;
                self.ports_changed = behind || refused != *live.refused;
                let others = endpoints != live.endpoints;
                if others {
                    self.guarded = None;
                }
                self.ports_changed || others
            }
            _ => true,
        }
    }

    /// Gives a worker that took a dead one's place what is live, and with it its sockets.
    ///
    /// # Errors
    /// There are no sockets, or the worker does not take it. To be tried again: without sockets it does
    /// nothing.
    pub(super) async fn adopt(&mut self, view: &View, worker: usize) -> Result<(), ReconcileError> {
        let (listeners, datagrams) = (self.steer.refill(worker)?, self.steer.refill_datagrams(worker)?);
        let one = publish::Only { workers: &self.workers, worker };
        let (generation, snapshot) = match &view.live {
            Some(live) => {
                self.tell(publish::endpoints(&one, &live.endpoints).await);
                (live.generation, Arc::clone(&live.snapshot))
            }
            // Nothing is steered yet, but the socket has to be in place by then.
            None => (Generation(0), Arc::new(compile_with(&Ir::default(), Generation(0), None))),
        };
        publish::prepare(&one, generation, &snapshot, vec![WorkerSockets { listeners, datagrams }]).await?;
        self.tell(publish::commit(&one, generation, &Retired::default()).await);
        Ok(())
    }
}

/// True if something failed or was refused that may work without a change of what is to be served.
pub(super) fn is_unsettled(view: &View) -> bool {
    let refused = view.live.iter().flat_map(|live| live.refused.iter());
    view.last_error.is_some() || refused.into_iter().any(|rejection| rejection.reason.is_transient())
}
