//! Steering by kernel programs: one listening socket per worker, and binds that are map entries.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use gateway_ir::BindAddress;

use crate::bpf::Programs;
use crate::gauge::Loads;
use crate::pins::{PinError, Pins};
use crate::{
    Applied, Counters, PinState, Refusal, RefusalReason, SteerBind, SteerError, SteerOptions, SteerPlan,
    sockets,
};

/// Loaded programs, attached unless a take-over is not that far yet. Fields are dropped in this order: pins first, since
/// a pinned link outlives its handle.
pub(crate) struct Kernel {
    pins: Result<Pins, String>,
    programs: Programs,
    port: u16,
    backlog: u32,
    live: BTreeSet<SteerBind>,
    untaken: Vec<TcpListener>,
    /// A duplicate of the only worker's socket: when it dies there is nobody for its queue to move to, so it must stay. Of
    /// several workers none is kept: it would keep a socket open whose worker died.
    spare: Option<TcpListener>,
    stage: Stage,
}

/// How far a take-over is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The process before us steers; nothing in the kernel was changed yet. Workers get `untaken` with new binds.
    Waiting,
    /// Both steer, to the same sockets.
    Beside,
    /// We alone; also where nobody was taken over from.
    Alone,
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
        let mut programs = Programs::load(slots(options)).map_err(OpenError::Unavailable)?;
        let (port, untaken) = worker_sockets(options, Vec::new()).map_err(OpenError::Fatal)?;
        enter_slots(&mut programs, &untaken).map_err(OpenError::Unavailable)?;
        programs.attach().map_err(OpenError::Unavailable)?;
        // Names can be done without; those that were given go with the directory.
        let pins = pins.and_then(|pins| programs.pin(pins.dir()).map(|()| pins));
        if let (Err(reason), false) = (&pins, programs.is_attached()) {
            return Err(OpenError::Unavailable(reason.clone()));
        }
        let (backlog, live) = (options.backlog, BTreeSet::new());
        let spare = spare(&untaken);
        Ok(Self { pins, programs, port, backlog, live, untaken, spare, stage: Stage::Alone })
    }

    /// Loads programs for the sockets of the process that is taken over from, by slot. Missing ones are made: they
    /// join the group, and get nothing as long as that process's program chooses. Superfluous ones are let go of: what
    /// that process does not accept from them moves on when it closes them.
    pub(crate) fn take_over(options: &SteerOptions, inherited: Vec<TcpListener>) -> Result<Self, OpenError> {
        let programs = Programs::load(slots(options)).map_err(OpenError::Unavailable)?;
        let (port, untaken) = worker_sockets(options, inherited).map_err(OpenError::Fatal)?;
        Ok(Self {
            pins: Err("not before the take-over is complete".to_owned()),
            programs,
            port,
            backlog: options.backlog,
            live: BTreeSet::new(),
            spare: spare(&untaken),
            untaken,
            stage: Stage::Waiting,
        })
    }

    /// Steers beside the process before us: slots first, so that our program finds sockets from its first choice on.
    fn join(&mut self) -> Result<(), String> {
        enter_slots(&mut self.programs, &self.untaken)?;
        self.programs.attach()?;
        self.stage = Stage::Beside;
        // The workers have theirs. Ours would keep a socket open whose worker died.
        self.untaken.clear();
        Ok(())
    }

    /// The process before us is gone from the kernel, or goes: pins what now is ours alone.
    pub(crate) fn settle(&mut self, options: &SteerOptions) {
        self.stage = Stage::Alone;
        self.pins = match Pins::claim(&options.bpffs, &options.instance) {
            Ok(pins) => self.programs.pin(pins.dir()).map(|()| pins),
            Err(PinError::NoPlace(reason)) => Err(reason),
            Err(PinError::Busy { dir, .. }) => Err(format!("{} is in use", dir.display())),
        };
    }

    /// Chooses in the group again, after a process that was to take over failed.
    pub(crate) fn reclaim(&mut self, socket: &TcpListener) -> Result<(), SteerError> {
        let what = "taking back the choice of workers".to_owned();
        self.programs.choose_in_group_of(socket).map_err(|reason| SteerError::Kernel { what, reason })
    }

    /// What workers get together with new tables: in a take-over their sockets, as duplicates for the case that the
    /// tables are refused and come again; else nothing.
    pub(crate) fn first_sockets(&self, workers: usize) -> Vec<Vec<TcpListener>> {
        let waiting = if self.stage == Stage::Waiting { self.untaken.as_slice() } else { &[] };
        // Without a duplicate (no descriptor is left) a worker has no share: its slot empties, the others have it.
        (0..workers)
            .map(|slot| waiting.get(slot).and_then(|s| s.try_clone().ok()).into_iter().collect())
            .collect()
    }

    pub(crate) fn take_sockets(&mut self) -> Vec<TcpListener> {
        match self.stage {
            // They may only be accepted from once there are tables.
            Stage::Waiting => Vec::new(),
            Stage::Beside | Stage::Alone => std::mem::take(&mut self.untaken),
        }
    }

    /// A new socket for a slot whose worker is gone; the old one, if it was kept.
    pub(crate) fn refill(&mut self, slot: u32) -> Result<TcpListener, SteerError> {
        let failed = |source| SteerError::Socket { what: format!("socket of worker {slot}"), source };
        if let Some(spare) = &self.spare {
            return spare.try_clone().map_err(failed);
        }
        let socket = sockets::listen(BindAddress::Any, self.port, self.backlog).map_err(failed)?;
        self.programs
            .set_slot(slot, &socket)
            .and_then(|()| self.programs.choose_in_group_of(&socket))
            .map_err(|reason| SteerError::Kernel { what: format!("slot of worker {slot}"), reason })?;
        Ok(socket)
    }

    /// The workers are about to close their sockets for good.
    pub(crate) fn let_go(&mut self) {
        self.spare = None;
    }

    /// Adds what is new, then removes what is gone: a bind that only moves between "every address" and a particular
    /// one is never without an entry. A bind that the kernel has no room for is refused alone; but in a take-over the
    /// process before us goes on, which has it.
    pub(crate) fn apply(&mut self, plan: &SteerPlan) -> Result<Applied, SteerError> {
        let new: Vec<SteerBind> = plan.binds.difference(&self.live).copied().collect();
        let removed: Vec<SteerBind> = self.live.difference(&plan.binds).copied().collect();
        let (mut added, mut refused) = (Vec::new(), Vec::new());
        for bind in new {
            match self.programs.add(bind.key()) {
                Ok(()) => added.push(bind),
                Err(reason) if self.stage == Stage::Waiting => return Err(SteerError::Bind { bind, reason }),
                Err(reason) => {
                    let message = format!("{reason}; it is tried again");
                    refused.push(Refusal { bind, reason: RefusalReason::KernelRefused, message });
                }
            }
        }
        self.live.extend(&added);
        if self.stage == Stage::Waiting {
            let what = "steering beside the process that is taken over from".to_owned();
            self.join().map_err(|reason| SteerError::Kernel { what, reason })?;
        }
        for bind in &removed {
            self.programs.remove(bind.key()).map_err(|reason| SteerError::Bind { bind: *bind, reason })?;
            self.live.remove(bind);
        }
        Ok(Applied { added, removed, refused })
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

/// A duplicate of the only socket.
fn spare(sockets: &[TcpListener]) -> Option<TcpListener> {
    match sockets {
        // Without a descriptor for it the death of the worker costs its queue; not worth more than that.
        [only] => only.try_clone().ok(),
        _ => None,
    }
}

fn slots(options: &SteerOptions) -> u32 {
    u32::try_from(options.workers).unwrap_or(u32::MAX)
}

/// Slots before the choice, so that the program never chooses among none.
fn enter_slots(programs: &mut Programs, sockets: &[TcpListener]) -> Result<(), String> {
    for (slot, socket) in (0..).zip(sockets) {
        programs.set_slot(slot, socket)?;
    }
    sockets.first().map_or(Ok(()), |socket| programs.choose_in_group_of(socket))
}

/// One socket per worker, all in one group: the given ones, and more on their port, or on one that the kernel chooses.
fn worker_sockets(
    options: &SteerOptions,
    mut sockets: Vec<TcpListener>,
) -> Result<(u16, Vec<TcpListener>), SteerError> {
    let failed = |source| SteerError::Socket { what: "listening sockets of the workers".into(), source };
    let listen = |port| sockets::listen(BindAddress::Any, port, options.backlog).map_err(failed);
    if sockets.is_empty() {
        sockets.push(listen(0)?);
    }
    let port = match sockets.first() {
        Some(first) => first.local_addr().map_err(failed)?.port(),
        None => 0,
    };
    sockets.truncate(options.workers);
    while sockets.len() < options.workers {
        sockets.push(listen(port)?);
    }
    Ok((port, sockets))
}
