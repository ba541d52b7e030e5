//! The giver's part of a take-over, on the control thread: collect, wait, let go or take back.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::time::Duration;

use futures_channel::oneshot;
use gateway_control::engine::Engine;
use gateway_control::steer::SharedSteering;
use tracing::{info, warn};

use crate::admin::Servers;
use crate::cmd::version::VERSIONS;
use crate::fleet::Fleet;
use crate::instance::Instance;
use crate::takeover::{Giver, Handoff, Item, Offer, Release, Request, Steering};

/// For a configuration that is just being made live.
const HOLDING: Duration = Duration::from_secs(20);

/// Everything that another process gets a part of.
pub(crate) struct Possessions<'a> {
    pub(crate) giver: &'a Giver,
    pub(crate) instance: &'a Instance,
    pub(crate) servers: &'a Servers,
    pub(crate) fleet: &'a Fleet,
    pub(crate) engine: &'a Engine<SharedSteering>,
    pub(crate) steering: &'a SharedSteering,
    pub(crate) kind: Steering,
}

/// What goes over the socket.
type Items = Vec<(Item, OwnedFd)>;

impl Possessions<'_> {
    /// Serves one wish. `Some` when the other process serves all there is and we are to go; `None` when all is as before.
    pub(crate) async fn hand_over(&self, request: Request) -> Option<Release> {
        let peer = format!("sluice {} (pid {})", request.peer.version, request.peer.pid);
        info!("{peer} asks to take over");
        let (items, group) = match self.collect().await {
            Ok(collected) => collected,
            Err(reason) => {
                warn!("{peer} cannot take over: {reason}");
                self.engine.resume();
                request.refuse(reason);
                return None;
            }
        };
        let (outcome, ended) = oneshot::channel();
        request.accept(Handoff { offer: self.offer(items.len()), items, outcome });
        let reason = match ended.await {
            Ok(Ok(release)) => {
                info!("{peer} serves; draining");
                return Some(release);
            }
            Ok(Err(reason)) => reason,
            Err(_) => "the connection to it broke".to_owned(),
        };
        if let Some(Err(error)) = group.map(|socket| self.steering.reclaim(&socket)) {
            warn!("{error}");
        }
        self.engine.resume();
        warn!("{peer} did not take over, so this process serves on: {reason}");
        None
    }

    fn offer(&self, items: usize) -> Offer {
        Offer {
            version: VERSIONS.version.to_owned(),
            pid: std::process::id(),
            serial: self.instance.serial(),
            made: self.instance.made(),
            steering: self.kind,
            items,
        }
    }

    /// Duplicates of all that is handed over, while no configuration changes it; and one of the workers' own sockets.
    async fn collect(&self) -> Result<(Items, Option<TcpListener>), String> {
        let held = tokio::time::timeout(HOLDING, self.engine.hold()).await;
        held.map_err(|_| "it is making a configuration live that takes long".to_owned())?;
        let none_left = |error: std::io::Error| format!("it has no descriptor left: {error}");
        let mut items = vec![
            (Item::Lock, self.instance.lock().map_err(none_left)?),
            (Item::Takeover, self.giver.socket().map_err(none_left)?),
        ];
        for socket in self.servers.sockets().map_err(none_left)? {
            let address = socket.local_addr().map_err(none_left)?;
            items.push((Item::Admin { address }, socket.into()));
        }
        let mut group = None;
        for (slot, sockets) in self.fleet.listeners().await?.into_iter().enumerate() {
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
        Ok((items, group))
    }
}
