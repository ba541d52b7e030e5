//! Steering by kernel programs: one listening socket per worker, and binds that are map entries.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use gateway_ir::BindAddress;

use crate::bpf::Programs;
use crate::gauge::Loads;
use crate::pins::{PinError, Pins};
use crate::{Counters, PinState, SteerBind, SteerError, SteerOptions, SteerPlan, sockets};

/// Loaded, attached programs. Fields are dropped in this order: pins first, since a pinned link outlives its handle.
pub(crate) struct Kernel {
    pins: Result<Pins, String>,
    programs: Programs,
    port: u16,
    backlog: u32,
    live: BTreeSet<SteerBind>,
    untaken: Vec<TcpListener>,
}

/// Why kernel programs do not steer.
pub(crate) enum OpenError {
    /// They are not to be had here; another road may do.
    Unavailable(String),
    /// No road would do.
    Fatal(SteerError),
}

impl Kernel {
    pub(crate) fn open(options: &SteerOptions) -> Result<Self, OpenError> {
        let pins = match Pins::claim(&options.bpffs, &options.instance) {
            Ok(pins) => Ok(pins),
            Err(PinError::NoPlace(reason)) => Err(reason),
            Err(PinError::Busy { dir, pid }) => {
                return Err(OpenError::Fatal(SteerError::InstanceBusy { dir, pid }));
            }
        };
        let dir = pins.as_ref().ok().map(|pins| pins.dir().to_owned());
        let workers = u32::try_from(options.workers).unwrap_or(u32::MAX);
        let mut programs = Programs::load(workers, dir.as_deref()).map_err(OpenError::Unavailable)?;
        let (port, untaken) = worker_sockets(options).map_err(OpenError::Fatal)?;
        for (slot, socket) in (0..).zip(&untaken) {
            programs.set_socket(slot, socket).map_err(OpenError::Unavailable)?;
        }
        programs.attach(dir.as_deref()).map_err(OpenError::Unavailable)?;
        Ok(Self { pins, programs, port, backlog: options.backlog, live: BTreeSet::new(), untaken })
    }

    pub(crate) fn take_sockets(&mut self) -> Vec<TcpListener> {
        std::mem::take(&mut self.untaken)
    }

    /// A new socket for a slot whose worker is gone.
    pub(crate) fn refill(&mut self, slot: u32) -> Result<TcpListener, SteerError> {
        let socket = sockets::listen(BindAddress::Any, self.port, self.backlog)
            .map_err(|source| SteerError::Socket { what: format!("socket of worker {slot}"), source })?;
        self.programs
            .set_socket(slot, &socket)
            .map_err(|reason| SteerError::Kernel { what: format!("slot of worker {slot}"), reason })?;
        Ok(socket)
    }

    /// Adds what is new, then removes what is gone: a bind that only moves between "every address" and a particular
    /// one is never without an entry.
    pub(crate) fn apply(&mut self, plan: &SteerPlan) -> Result<(Vec<SteerBind>, Vec<SteerBind>), SteerError> {
        let added: Vec<SteerBind> = plan.binds.difference(&self.live).copied().collect();
        let removed: Vec<SteerBind> = self.live.difference(&plan.binds).copied().collect();
        for bind in &added {
            self.programs.add(bind.key()).map_err(|reason| SteerError::Bind { bind: *bind, reason })?;
            self.live.insert(*bind);
        }
        for bind in &removed {
            self.programs.remove(bind.key()).map_err(|reason| SteerError::Bind { bind: *bind, reason })?;
            self.live.remove(bind);
        }
        Ok((added, removed))
    }

    /// Whether the plan that was applied last has this bind.
    pub(crate) fn is_live(&self, bind: SteerBind) -> bool {
        self.live.contains(&bind)
    }

    pub(crate) fn counters(&self) -> Result<Counters, SteerError> {
        self.programs
            .counters()
            .map_err(|reason| SteerError::Kernel { what: "counters of the kernel programs".into(), reason })
    }

    pub(crate) fn loads(&self) -> Arc<Loads> {
        self.programs.loads()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn pin_state(&self) -> PinState {
        match &self.pins {
            Ok(pins) => PinState::Pinned(Path::to_owned(pins.dir())),
            Err(reason) => PinState::NotPinned(reason.clone()),
        }
    }
}

/// One socket per worker, all in one group on a port that the kernel chooses.
fn worker_sockets(options: &SteerOptions) -> Result<(u16, Vec<TcpListener>), SteerError> {
    let failed = |source| SteerError::Socket { what: "listening sockets of the workers".into(), source };
    let listen = |port| sockets::listen(BindAddress::Any, port, options.backlog).map_err(failed);
    let first = listen(0)?;
    let port = first.local_addr().map_err(failed)?.port();
    let mut sockets = vec![first];
    for _ in 1..options.workers {
        sockets.push(listen(port)?);
    }
    Ok((port, sockets))
}
