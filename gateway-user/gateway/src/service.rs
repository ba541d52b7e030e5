//! The running process on its control thread: from the first configuration, through signals, dead workers and
//! take-overs, to the end of its drain.

mod ending;
mod serving;

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use gateway_control::cluster::PoolDuty;
use gateway_control::engine::Engine;
use gateway_control::steer::SharedSteering;
use gateway_control::stream::Following;
use gateway_io::file::FileThread;
use gateway_io::socket_cookie;
use gateway_proxy::worker::{Clients, HandedFlow, Heartbeat};
use gateway_steer::SteeringPath;
use tracing::{error, info, warn};

use self::ending::{after_take_over, drain};
use crate::admin::{Facts, ProbeServer, Shared, Sockets};
use crate::flags::Settings;
use crate::handoff::{
    self, FailureCounters, FlowTotals, HandoffClient, HandoffServer, Name, ReceivedFlows, Release, Steering,
};
use crate::helper::HelperWatch;
use crate::instance::Instance;
use crate::membership::Membership;
use crate::notify::Manager;
use crate::signals::{Order, Orders};
use crate::supervisor::Supervisor;
use crate::workers::Workers;

/// Time between two signs of life of the control thread.
const WATCHDOG_INTERVAL: Duration = Duration::from_secs(1);

/// All parts of the running process.
pub(crate) struct Service<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) supervisor: Supervisor,
    pub(crate) workers: Arc<Workers>,
    pub(crate) engine: Engine<SharedSteering>,
    pub(crate) orders: Orders,
    pub(crate) shared: Shared,
    pub(crate) access_log: &'a FileThread,
    pub(crate) instance: Instance,
    pub(crate) kind: Steering,
    pub(crate) failures: FailureCounters,
    pub(crate) manager: Manager,
    /// In the cluster, once this process serves alone.
    pub(crate) membership: Option<Membership>,
    /// The pool of addresses, for whoever gives them in the cluster.
    pub(crate) pool: Option<PoolDuty>,
    pub(crate) steering: SharedSteering,
    /// The stream of a controller, if one is followed.
    pub(crate) following: Option<Following>,
    /// The connection to the helper, if there is one.
    pub(crate) helper: Option<HelperWatch>,
    /// Answers the probes of this process's own socket, if there is one.
    pub(crate) probes: ProbeServer,
}

/// The process that serves until we do.
pub(crate) struct TakingOver {
    pub(crate) handoff_client: HandoffClient,
    /// True if we accept from its sockets.
    pub(crate) same_sockets: bool,
    /// Flows of datagrams that this process goes on with at most.
    pub(crate) most_flows: usize,
    /// Where their clients' datagrams come to.
    pub(crate) clients: Clients,
}

impl TakingOver {
    /// From the process at the other end of `handoff_client`, by one that steers on `path`.
    pub(crate) fn new(
        handoff_client: HandoffClient,
        path: &SteeringPath,
        (most_flows, clients): (usize, Clients),
    ) -> Self {
        let same_sockets = handoff_client.offer().shares_sockets(path);
        // Those that may come to any worker have two descriptors until they have.
        let most_flows = if clients == Clients::AnyWorker { most_flows / 2 } else { most_flows };
        Self { handoff_client, same_sockets, most_flows, clients }
    }
}

/// Why serving ends.
enum Cause {
    Signal,
    /// Another process serves.
    TakenOver {
        release: Release,
        /// A signal came first, or meanwhile.
        asked_to_stop: bool,
    },
}

impl Service<'_> {
    /// Serves to the end of the drain. Gives the state directory back, unless another process has it.
    ///
    /// # Errors
    /// A take-over fails; a part of the process dies for which there is no replacement; a second signal.
    pub(crate) async fn run(
        mut self,
        taking_over: Option<TakingOver>,
        mut sockets: Sockets,
        takeover: Option<OwnedFd>,
    ) -> anyhow::Result<Option<Instance>> {
        tokio::spawn(stamp(self.shared.readiness.control()));
        if let Some(taking_over) = taking_over {
            let offer = taking_over.handoff_client.offer();
            let from = Name { pid: offer.pid, pod: offer.pod.clone() };
            self.probes.takes_over(from, &self.shared.readiness);
            match self.take_over(taking_over, &mut sockets).await {
                Ok(true) => {}
                Ok(false) => return self.abort().await.map(|()| None),
                Err(error) => {
                    error!("{error:#}");
                    self.abort().await?;
                    return Err(error);
                }
            }
        }
        self.probes.serves(&self.shared.readiness);
        self.engine.keep();
        self.following.iter().for_each(Following::keep);
        if let Some(cluster) = &self.shared.cluster {
            let (view, tally) = (self.shared.view.clone(), Arc::clone(&self.shared.cluster_tally));
            let pool = self.pool.take();
            self.membership = Some(Membership::join(self.settings, cluster, view, tally, pool, None, None)?);
        }
        sockets.open_admin_socket(self.instance.dir());
        let servers = sockets.serve(&self.shared)?;
        let handoff_server = self.handoff_server(takeover);
        self.manager.serve(&self.shared, self.shared.facts.took_over.is_some());
        self.serve(servers, handoff_server).await
    }

    /// Makes us the one. False if a signal asked to stop before that.
    async fn take_over(&mut self, taking_over: TakingOver, sockets: &mut Sockets) -> anyhow::Result<bool> {
        let TakingOver { handoff_client, same_sockets, most_flows, clients } = taking_over;
        let pid = handoff_client.offer().pid;
        {
            let mut live = pin!(handoff::live(&handoff_client, self.shared.view.clone()));
            loop {
                tokio::select! {
                    live = &mut live => break live?,
                    order = self.orders.next() => match order {
                        Order::Reload => self.reload(),
                        Order::Stop(signal) => {
                            info!("{signal} before the take-over: sluice (pid {pid}) serves on");
                            return Ok(false);
                        }
                    },
                }
            }
        }
        // From here on there is no way back; a signal has to wait for what becomes of it. Sockets wait for
        // it, so their binds must not change.
        self.engine.hold().await;
        let ready = move || handoff_client.ready(same_sockets, most_flows);
        let (mut took_over, flows) = tokio::task::spawn_blocking(ready).await??;
        // Before anybody can learn that this process is the one: who asks from here on is told of this
        // process.
        sockets.open_admin_socket(self.instance.dir());
        self.instance.settle()?;
        let settled = self.steering.finish_takeover();
        self.engine.resume();
        self.workers.listen(settled.listeners);
        took_over.flows = self.adopt_flows(settled.datagrams, flows, clients).await;
        settled.failed.iter().for_each(|error| error!("{error}"));
        let facts = Facts::clone(&self.shared.facts);
        let steering_detail = settled.path.map_or(facts.steering_detail.clone(), |path| path.to_string());
        info!(
            "took over from sluice {} ({}) within {} ms; steering by {steering_detail}",
            took_over.version,
            took_over.name(),
            took_over.took.as_millis()
        );
        self.shared.facts = Arc::new(Facts { took_over: Some(took_over), steering_detail, ..facts });
        Ok(true)
    }

    /// Serves sockets for datagrams, and goes on with the flows over them. Each goes to the worker that has the socket which its
    /// client's datagrams come to.
    async fn adopt_flows(
        &self,
        sockets: Vec<Vec<UdpSocket>>,
        received: ReceivedFlows,
        clients: Clients,
    ) -> FlowTotals {
        let ReceivedFlows { flows, broken, kept, .. } = received;
        let mut slots = BTreeMap::new();
        for (slot, sockets) in sockets.iter().enumerate() {
            slots.extend(sockets.iter().filter_map(|socket| Some((socket_cookie(socket).ok()?, slot))));
        }
        let mut of_slots: Vec<Vec<HandedFlow>> = sockets.iter().map(|_| Vec::new()).collect();
        let mut ended = broken;
        for flow in flows {
            match slots.get(&flow.listener).and_then(|slot| of_slots.get_mut(*slot)) {
                Some(of_slot) => of_slot.push(flow),
                None => ended += 1,
            }
        }
        let adopted = self.workers.adopt_flows(sockets, of_slots, clients).await;
        if clients == Clients::AnyWorker {
            self.workers.adopt_flows(Vec::new(), Vec::new(), Clients::Here).await;
        }
        let totals = FlowTotals { adopted: adopted.flows, ended: ended + adopted.ended, kept };
        let FlowTotals { adopted, ended, kept } = totals;
        if adopted + ended + kept > 0 {
            info!(
                "flows of datagrams: {adopted} go on here, {ended} ended, {kept} stay in the process before until they end"
            );
        }
        totals
    }

    /// Gives up a take-over: the other process has everything.
    async fn abort(self) -> anyhow::Result<()> {
        self.steering.close();
        let limits = after_take_over(self.settings, true);
        let mut orders = self.orders;
        drain(&self.workers, self.engine, &mut orders, limits, 1).await.map(drop)
    }

    /// Listens for those who take over from us; being unable to is no reason not to serve.
    fn handoff_server(&self, received: Option<OwnedFd>) -> Option<HandoffServer> {
        let path = handoff::socket_path(self.instance.dir());
        let started = HandoffServer::start(&path, received, &self.failures);
        started.inspect_err(|error| warn!("no other process can take over: {error:#}")).ok()
    }

    fn reload(&self) {
        self.access_log.reopen();
        let applied = self.engine.reload();
        self.manager.reloading(&self.shared, applied);
    }
}

/// Shows that the control thread's loop turns.
async fn stamp(heartbeat: Arc<Heartbeat>) {
    loop {
        heartbeat.stamp();
        tokio::time::sleep(WATCHDOG_INTERVAL).await;
    }
}
