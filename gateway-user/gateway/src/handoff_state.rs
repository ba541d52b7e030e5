//! The old process's part of a hot restart, on the control thread: collect, wait, then release or abort.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::time::Duration;

use futures_channel::oneshot;
use gateway_control::engine::Engine;
use gateway_control::steer::SharedSteering;
use gateway_proxy::worker::Clients;
use gateway_tls::Tickets;
use nix::unistd::geteuid;
use tracing::{info, warn};

use crate::admin::Servers;
use crate::handoff::{
    self, FailureCounters, Handoff, HandoffError, HandoffServer, Item, Name, Offer, Reason, Release, Request,
    Steering,
};
use crate::instance::Instance;
use crate::workers::{GivenUp, Workers};

/// Limit for a configuration that is just being made live.
const HOLD_TIMEOUT: Duration = Duration::from_secs(20);

/// Everything that another process gets a part of.
pub(crate) struct HandoffState<'a> {
    pub(crate) handoff_server: &'a HandoffServer,
    pub(crate) instance: &'a Instance,
    pub(crate) servers: &'a Servers,
    pub(crate) workers: &'a Workers,
    pub(crate) engine: &'a Engine<SharedSteering>,
    pub(crate) steering: &'a SharedSteering,
    pub(crate) kind: Steering,
    pub(crate) failures: &'a FailureCounters,
    /// Keys of session tickets, unless there are none.
    pub(crate) tickets: Option<&'a Tickets>,
}

/// Descriptors and their descriptions, as they are sent.
type Items = Vec<(Item, OwnedFd)>;

impl HandoffState<'_> {
    /// Serves one wish. `Some` when the other process serves all there is and we are to go; `None` when all
    /// is as before.
    pub(crate) async fn hand_over(&self, request: Request) -> Option<Release> {
        let peer = format!("sluice {} ({})", request.peer.version, request.peer.name);
        info!("{peer} asks to take over");
        if request.peer.stays_root && !geteuid().is_root() {
            warn!(
                "{peer} stays root and cannot add sockets to those of uid {}: it needs as many workers or fewer, and one that \
                 dies there is not replaced; to go back to its version, start this one with --user=keep in between",
                geteuid()
            );
        }
        let (items, group) = match self.collect(request.peer.datagrams).await {
            Ok(collected) => collected,
            Err(failure) => {
                warn!("{peer} cannot take over: {failure}");
                self.steering.seal();
                self.engine.resume();
                // The connection's thread counts it.
                request.refuse(failure);
                return None;
            }
        };
        let (outcome, ended) = oneshot::channel();
        let offer = self.offer(request.protocol, items.len());
        request.accept(Handoff { offer, items, outcome });
        let failure = match ended.await {
            Ok(Ok(release)) => match self.let_go(&release).await {
                Ok(()) => {
                    info!("{peer} serves; draining");
                    return Some(release);
                }
                Err(failure) => failure,
            },
            Ok(Err(failure)) => failure,
            Err(_) => HandoffError::new(Reason::Lost, "the connection to it broke"),
        };
        self.failures.count(failure.reason);
        if let Some(Err(error)) = group.map(|socket| self.steering.reclaim(&socket)) {
            warn!("{error}");
        }
        self.steering.seal();
        self.engine.resume();
        warn!("{peer} did not take over, so this process serves on: {failure}");
        None
    }

    /// Sees that the new process is still there, and gives it flows of datagrams.
    async fn let_go(&self, release: &Release) -> Result<(), HandoffError> {
        self.check_release(release)?;
        match release.flows {
            Some(most) if self.instance.is_ours() => self.hand_over_flows(release, most).await,
            // It has given us up, serves from our sockets already, and hears nothing of flows.
            Some(_) => {
                self.workers.hand_over_flows(0).await;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Gives the new process flows, and the datagrams of all clients. If it ends meanwhile everything is as before.
    async fn hand_over_flows(&self, release: &Release, most: usize) -> Result<(), HandoffError> {
        let GivenUp { flows, kept } = self.workers.hand_over_flows(most).await;
        let all = flows.iter().map(Vec::len).sum::<usize>();
        let (flows, sent, result) = release.send_flows(flows, kept).await;
        handoff::stop_at("flows");
        if let Err(failure) = self.check_release(release) {
            self.workers.adopt_flows(Vec::new(), flows, Clients::Here).await;
            return Err(failure);
        }
        if let Err(error) = result {
            warn!("{} of {all} flows of datagrams were not handed over, and end here: {error}", all - sent);
            let mut sent = sent;
            let rest = flows.into_iter().map(|mut flows| {
                let gone = sent.min(flows.len());
                sent -= gone;
                flows.split_off(gone)
            });
            self.workers.adopt_flows(Vec::new(), rest.collect(), Clients::Elsewhere).await;
        } else if all + kept > 0 {
            info!("{all} flows of datagrams were handed over, and {kept} stay here until they end");
        }
        Ok(())
    }

    /// True if the new process, which was ready once, still is. This process may have been stopped meanwhile,
    /// or busy for long: a new process that waits too long takes the directory, and whatever becomes of it
    /// then, it is ours no more.
    fn check_release(&self, release: &Release) -> Result<(), HandoffError> {
        handoff::stop_at("letting-go");
        if release.is_wanted() || !self.instance.is_ours() {
            return Ok(());
        }
        Err(HandoffError::new(Reason::Vanished, "it ended before this process had let go"))
    }

    fn offer(&self, protocol: u32, items: usize) -> Offer {
        let name = Name::own();
        Offer {
            protocol,
            version: handoff::version(),
            pid: name.pid,
            pod: name.pod,
            serial: self.instance.serial(),
            made: self.instance.made(),
            steering: self.kind,
            items,
        }
    }

    /// Duplicates of all that is handed over, while no configuration changes it; and one of the workers' own
    /// sockets. Those for `datagrams` go to whom receives from them.
    async fn collect(&self, datagrams: bool) -> Result<(Items, Option<TcpListener>), HandoffError> {
        let held = tokio::time::timeout(HOLD_TIMEOUT, self.engine.hold()).await;
        held.map_err(|_| {
            HandoffError::new(Reason::Busy, "it is making a configuration live that takes long")
        })?;
        let none_left = |error: std::io::Error| {
            HandoffError::new(Reason::Collect, format!("it has no descriptor left: {error}"))
        };
        let unheard = |message| HandoffError::new(Reason::Collect, message);
        let mut items = vec![
            (Item::Lock, self.instance.lock().map_err(none_left)?),
            (Item::Takeover, self.handoff_server.socket().map_err(none_left)?),
        ];
        if let Some(tickets) = self.tickets {
            items.push((Item::Tickets, handoff::tickets_memory(&tickets.export()).map_err(none_left)?));
        }
        for socket in self.servers.sockets().map_err(none_left)? {
            let address = socket.local_addr().map_err(none_left)?;
            items.push((Item::Admin { address }, socket.into()));
        }
        let mut group = None;
        for (slot, sockets) in self.workers.listeners().await.map_err(unheard)?.into_iter().enumerate() {
            for socket in sockets {
                let item = match self.kind {
                    Steering::Ebpf => Item::Worker { slot },
                    Steering::Reuseport => {
                        Item::Bind { slot, address: socket.local_addr().map_err(none_left)? }
                    }
                };
                if group.is_none() {
                    group = Some(socket.try_clone().map_err(none_left)?);
                }
                items.push((item, socket.into()));
            }
        }
        for socket in self.steering.lend_placeholders().map_err(none_left)? {
            items.push((
                Item::Placeholder { address: socket.local_addr().map_err(none_left)? },
                socket.into(),
            ));
        }
        if datagrams {
            self.collect_datagrams(&mut items).map_err(none_left)?;
        }
        Ok((items, group))
    }

    fn collect_datagrams(&self, items: &mut Items) -> std::io::Result<()> {
        let mut before = None;
        let mut slot = 0;
        for socket in self.steering.lend_datagrams()? {
            let address = socket.local_addr()?;
            slot = if before == Some(address) { slot + 1 } else { 0 };
            before = Some(address);
            items.push((Item::Datagrams { slot, address }, socket.into()));
        }
        Ok(())
    }
}
