//! The running process on its control thread: from the first configuration, through signals, dead workers and
//! take-overs, to the end of its drain.

use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use gateway_control::cluster::PoolDuty;
use gateway_control::engine::Engine;
use gateway_control::steer::SharedSteering;
use gateway_control::stream::Following;
use gateway_io::file::FileThread;
use gateway_proxy::worker::{DrainLimits, Heartbeat};
use gateway_steer::SteeringPath;
use tracing::{error, info, warn};

use crate::admin::{Facts, Servers, Shared, Sockets};
use crate::confinement::Denials;
use crate::flags::Settings;
use crate::handoff::{self, FailureCounters, HandoffClient, HandoffServer, Release, Request, Steering};
use crate::handoff_state::HandoffState;
use crate::helper::HelperWatch;
use crate::instance::Instance;
use crate::membership::Membership;
use crate::notify::Manager;
use crate::signals::{Order, Orders};
use crate::supervisor::Supervisor;
use crate::workers::Workers;

/// Time after a take-over by a process that steers by other means, for handshakes to end that began at our
/// sockets, of which it has none. A SYN-ACK is followed by the client's ACK within a round trip.
const HANDSHAKES: Duration = Duration::from_secs(1);

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
}

/// The process that serves until we do.
pub(crate) struct TakingOver {
    pub(crate) handoff_client: HandoffClient,
    /// True if we accept from its sockets.
    pub(crate) same_sockets: bool,
}

impl TakingOver {
    /// From the process at the other end of `handoff_client`, by one that steers on `path`.
    pub(crate) fn new(handoff_client: HandoffClient, path: &SteeringPath) -> Self {
        let same_sockets = handoff_client.offer().shares_sockets(path);
        Self { handoff_client, same_sockets }
    }
}

/// Why serving ends.
enum Cause {
    Signal(&'static str),
    /// Another process serves.
    TakenOver(Release),
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
        let TakingOver { handoff_client, same_sockets } = taking_over;
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
        let took_over = tokio::task::spawn_blocking(move || handoff_client.ready(same_sockets)).await??;
        // Before anybody can learn that this process is the one: who asks from here on is told of this
        // process.
        sockets.open_admin_socket(self.instance.dir());
        self.instance.settle()?;
        let settled = self.steering.finish_takeover();
        self.engine.resume();
        self.workers.listen(settled.listeners);
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

    /// Gives up a take-over: the other process has everything.
    async fn abort(self) -> anyhow::Result<()> {
        self.steering.close();
        let limits = after_take_over(self.settings, true);
        drain(&self.workers, self.engine, self.orders, limits, 1).await
    }

    /// Listens for those who take over from us; being unable to is no reason not to serve.
    fn handoff_server(&self, received: Option<OwnedFd>) -> Option<HandoffServer> {
        let path = handoff::socket_path(self.instance.dir());
        let started = HandoffServer::start(&path, received, &self.failures);
        started.inspect_err(|error| warn!("no other process can take over: {error:#}")).ok()
    }

    async fn serve(
        mut self,
        mut servers: Servers,
        mut handoff_server: Option<HandoffServer>,
    ) -> anyhow::Result<Option<Instance>> {
        let mut denials = Denials::default();
        let cause = loop {
            denials.report();
            if let Some(helper) = &mut self.helper {
                helper.look(&self.steering, &self.shared.readiness);
            }
            tokio::select! {
                order = self.orders.next() => match order {
                    Order::Reload => self.reload(),
                    Order::Stop(signal) => break Cause::Signal(signal),
                },
                () = self.supervisor.supervise(&self.workers, &self.engine) => {}
                request = next(&mut handoff_server) => {
                    if let Some(handoff_server) = &handoff_server
                        && let Some(cause) = self.hand_over(handoff_server, &servers, request).await?
                    {
                        break cause;
                    }
                }
            }
            if self.engine.has_ended() {
                bail!("the compiler thread ended unexpectedly; restarting the process is the only way on");
            }
        };
        let Self {
            settings,
            workers,
            engine,
            orders,
            shared,
            instance,
            manager,
            membership,
            steering,
            following,
            helper,
            ..
        } = self;
        match cause {
            Cause::Signal(signal) => {
                info!("{signal}: draining");
                // A new process waits from now on until we have ended.
                drop(handoff_server);
                instance.stop_listening();
                shared.readiness.drain();
                steering.release();
                manager.stopping(settings.drain_max.0);
                let (accept, max) = (settings.drain_min.0, settings.drain_max.0);
                // `servers` stay: probes are served until the end.
                let drain = drain(&workers, engine, orders, DrainLimits { accept, idle: accept, max }, 1);
                tokio::join!(drain, leave(membership, following, true)).0?;
                Ok(Some(instance))
            }
            Cause::TakenOver(release) => {
                servers.hand_over(release.opens_admin_socket);
                // Links first: where the other one has sockets of its own, they now get what is new.
                steering.close();
                if let Some(helper) = &helper {
                    helper.succeeded();
                }
                drop(handoff_server);
                // At once: should the other one die while we drain, a third must find the directory free.
                instance.leave();
                // While it waits for our last word: what it says itself comes after this.
                manager.main_is(release.pid);
                let limits = after_take_over(settings, release.same_sockets);
                release.done();
                // Whoever started us may tell us to end, now that there is another: that is what we do.
                let left = leave(membership, following, false);
                tokio::join!(drain(&workers, engine, orders, limits, 2), left).0?;
                Ok(None)
            }
        }
    }

    /// Serves one wish to take over. Why to end, if we are to.
    async fn hand_over(
        &mut self,
        handoff_server: &HandoffServer,
        servers: &Servers,
        request: Request,
    ) -> anyhow::Result<Option<Cause>> {
        let handoff_state = HandoffState {
            handoff_server,
            instance: &self.instance,
            servers,
            workers: &self.workers,
            engine: &self.engine,
            steering: &self.steering,
            kind: self.kind,
            failures: &self.failures,
        };
        let mut handing_over = pin!(handoff_state.hand_over(request));
        let mut asked_to_stop = None;
        let handed_over = loop {
            tokio::select! {
                handed_over = &mut handing_over => break handed_over,
                order = self.orders.next() => match (order, asked_to_stop) {
                    (Order::Reload, _) => self.reload(),
                    (Order::Stop(signal), None) => {
                        info!("{signal}: once it is clear who serves");
                        asked_to_stop = Some(signal);
                    }
                    (Order::Stop(signal), Some(_)) => {
                        bail!("{signal} again: ended at once, connections were cut")
                    }
                },
            }
        };
        Ok(handed_over.map(Cause::TakenOver).or(asked_to_stop.map(Cause::Signal)))
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

/// Says to others that this process speaks for the node no more, and with `last` that none does.
async fn leave(membership: Option<Membership>, following: Option<Following>, last: bool) {
    if let Some(following) = following {
        // It may wait for its last word to be taken.
        drop(tokio::task::spawn_blocking(move || following.leave(last)).await);
    }
    if let Some(membership) = membership {
        membership.leave(last).await;
    }
}

/// Lets workers finish. So many signals end all at once.
async fn drain(
    workers: &Workers,
    engine: Engine<SharedSteering>,
    mut orders: Orders,
    limits: DrainLimits,
    signals: u32,
) -> anyhow::Result<()> {
    // Workers that drain take no new generation. The thread ends beside: it may be compiling.
    drop(tokio::task::spawn_blocking(move || engine.stop()));
    let mut enough = pin!(async {
        for _ in 1..signals {
            let signal = orders.stop().await;
            info!("{signal}: draining already");
        }
        orders.stop().await
    });
    tokio::select! {
        _ = workers.drain(limits) => Ok(()),
        signal = &mut enough => bail!("{signal} again: ended at once, connections were cut"),
    }
}

/// Another process accepts. Kept connections have until the maximum for their next request, since one that is
/// closed while the client writes is a lost request.
fn after_take_over(settings: &Settings, same_sockets: bool) -> DrainLimits {
    let max = settings.drain_max.0;
    let accept = if same_sockets { Duration::ZERO } else { HANDSHAKES };
    DrainLimits { accept, idle: max, max }
}

async fn next(handoff_server: &mut Option<HandoffServer>) -> Request {
    match handoff_server {
        Some(handoff_server) => handoff_server.next().await,
        None => std::future::pending().await,
    }
}
