//! Serving until a signal or another process ends it: dead workers, the helper, those who ask to take over.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use gateway_control::view::View;
use gateway_proxy::worker::DrainLimits;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::info;

use super::ending::{After, after_take_over, drain, leave, succeeded};
use super::{Cause, Service};
use crate::admin::Servers;
use crate::confinement::Denials;
use crate::handoff::{HandoffServer, Request};
use crate::handoff_state::HandoffState;
use crate::instance::Instance;
use crate::signals::Order;

/// Time after the signal to stop, and after `--drain-min`, in which successors that fail still get another chance.
const SUCCESSOR_LIMIT: Duration = Duration::from_secs(120);

/// Limit for a first configuration before another process may take over without one: longer than a node waits for its
/// controller before it serves its copy.
const CONFIGURATION_LIMIT: Duration = Duration::from_secs(10);

/// From the signal to stop until the listening sockets close. A pod that is deleted has a successor within seconds, which
/// asks for them: nobody could connect if they closed as it starts.
struct OpenDrain {
    signal: &'static str,
    /// When the sockets close.
    until: Instant,
    /// The latest that this is put off to.
    latest: Instant,
    /// The end, as controller and cluster are told it.
    left: JoinHandle<()>,
}

impl OpenDrain {
    /// A successor that came has failed: the next one has `wait`.
    fn wait_for_another(&mut self, wait: Duration) {
        self.until = self.until.max(Instant::now() + wait).min(self.latest);
    }
}

impl Service<'_> {
    pub(super) async fn serve(
        mut self,
        mut servers: Servers,
        mut handoff_server: Option<HandoffServer>,
    ) -> anyhow::Result<Option<Instance>> {
        let mut denials = Denials::default();
        let mut open_drain: Option<OpenDrain> = None;
        let mut configured = pin!(configured(self.shared.view.clone()));
        let mut may_hand_over = false;
        let cause = loop {
            denials.report();
            if let Some(helper) = &mut self.helper {
                helper.look(&self.steering, &self.shared.readiness);
            }
            let until = open_drain.as_ref().map(|open_drain| open_drain.until);
            tokio::select! {
                order = self.orders.next() => match (order, &open_drain) {
                    (Order::Reload, _) => self.reload(),
                    (Order::Stop(signal), None) => open_drain = Some(self.begin_drain(signal)),
                    (Order::Stop(signal), Some(_)) => {
                        bail!("{signal} again: ended at once, connections were cut")
                    }
                },
                () = self.supervisor.supervise(&self.workers, &self.engine) => {}
                () = reached(until) => break Cause::Signal,
                () = &mut configured, if !may_hand_over => may_hand_over = true,
                request = next(&mut handoff_server), if may_hand_over => {
                    if let Some(handoff_server) = &handoff_server
                        && let Some(cause) =
                            self.hand_over(handoff_server, &servers, request, &mut open_drain).await?
                    {
                        break cause;
                    }
                }
            }
            if self.engine.has_ended() {
                bail!("the compiler thread ended unexpectedly; restarting the process is the only way on");
            }
        };
        self.end(cause, &mut servers, handoff_server, open_drain).await
    }

    /// Begins the end that a signal asks for: clients are told, the sockets stay open.
    fn begin_drain(&mut self, signal: &'static str) -> OpenDrain {
        let (min, max) = (self.settings.drain_min.0, self.settings.drain_max.0);
        info!("{signal}: draining");
        self.shared.readiness.drain();
        self.manager.stopping(max);
        self.workers.announce_drain(max / 2, min / 2);
        let until = Instant::now() + min;
        let left = tokio::spawn(leave(self.membership.take(), self.following.take(), true));
        OpenDrain { signal, until, latest: until + SUCCESSOR_LIMIT, left }
    }

    /// Serves one wish to take over. Why to end, if we are to.
    async fn hand_over(
        &mut self,
        handoff_server: &HandoffServer,
        servers: &Servers,
        request: Request,
        open_drain: &mut Option<OpenDrain>,
    ) -> anyhow::Result<Option<Cause>> {
        let mut asked_to_stop = open_drain.as_ref().map(|open_drain| open_drain.signal);
        let handed_over = {
            let handoff_state = HandoffState {
                handoff_server,
                instance: &self.instance,
                servers,
                workers: &self.workers,
                engine: &self.engine,
                steering: &self.steering,
                kind: self.kind,
                failures: &self.failures,
                tickets: self.supervisor.tickets(),
            };
            let mut handing_over = pin!(handoff_state.hand_over(request));
            loop {
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
            }
        };
        if handed_over.is_none() {
            match (open_drain.as_mut(), asked_to_stop) {
                (Some(open_drain), _) => open_drain.wait_for_another(self.settings.drain_min.0),
                (None, Some(signal)) => *open_drain = Some(self.begin_drain(signal)),
                (None, None) => {}
            }
        }
        let asked_to_stop = asked_to_stop.is_some();
        Ok(handed_over.map(|release| Cause::TakenOver { release, asked_to_stop }))
    }

    /// The end: with another process in our place, or with none.
    async fn end(
        self,
        cause: Cause,
        servers: &mut Servers,
        handoff_server: Option<HandoffServer>,
        open_drain: Option<OpenDrain>,
    ) -> anyhow::Result<Option<Instance>> {
        let Self { settings, workers, engine, mut orders, instance, steering, helper, .. } = self;
        let was_draining = open_drain.is_some();
        let left = async {
            if let Some(open_drain) = open_drain {
                let _ = open_drain.left.await;
            }
        };
        match cause {
            Cause::Signal => {
                // A new process waits from now on until we have ended.
                drop(handoff_server);
                instance.stop_listening();
                steering.release();
                let rest = settings.drain_max.0.saturating_sub(settings.drain_min.0);
                // `servers` stay: probes are served until the end.
                let limits = DrainLimits { accept: Duration::ZERO, idle: Duration::ZERO, max: rest };
                tokio::join!(drain(&workers, engine, &mut orders, limits, 1), left).0?;
                Ok(Some(instance))
            }
            Cause::TakenOver { release, asked_to_stop } => {
                servers.hand_over(release.opens_admin_socket);
                // Links first: where the other one has sockets of its own, they now get what is new.
                steering.close();
                if let Some(helper) = &helper {
                    helper.succeeded();
                }
                drop(handoff_server);
                let dir = instance.dir().to_owned();
                // At once: should the other one die while we drain, a third must find the directory free.
                instance.leave();
                self.probes.succeeded_by(&release.name);
                // While it waits for our last word: what it says itself comes after this.
                self.manager.main_is(release.name.pid);
                let limits = after_take_over(settings, release.same_sockets);
                release.done();
                // Whoever started us may tell us to end, now that there is another: that is what we do.
                let signals = if was_draining { 1 } else { 2 };
                let others = leave(self.membership, self.following, false);
                let drained =
                    tokio::join!(drain(&workers, engine, &mut orders, limits, signals), others, left).0?;
                if !asked_to_stop && drained == After::NoSignal {
                    succeeded(settings, &mut orders, &dir).await;
                }
                Ok(None)
            }
        }
    }
}

/// Returns at that moment; never without one.
async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// Waits for the first configuration. A process that took over before it would have workers beside ours that know no route
/// yet, and clients that have waited would be told so.
async fn configured(mut view: watch::Receiver<Arc<View>>) {
    let live = view.wait_for(|view| view.live.is_some());
    // One that never comes must not keep the next version away.
    let _ = tokio::time::timeout(CONFIGURATION_LIMIT, live).await;
}

async fn next(handoff_server: &mut Option<HandoffServer>) -> Request {
    match handoff_server {
        Some(handoff_server) => handoff_server.next().await,
        None => std::future::pending().await,
    }
}
