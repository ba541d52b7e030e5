//! The one way in: open, check, prepare, apply, close.

use std::collections::HashSet;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use crate::check::{self, CheckContext};
use crate::ebpf::{Kernel, OpenError};
use crate::gauge::Loads;
use crate::placeholder::PlaceholderState;
use crate::reuseport::Sockets;
use crate::{
    Counters, Gauge, Rejection, SteerBind, SteerError, SteerOptions, SteerPlan, SteeringMode, sockets,
};

/// Steering of this process in one network namespace, that of the thread that opened it. Dropping it takes the
/// programs off and removes the pins.
pub struct Steering {
    backend: SteeringBackend,
    options: SteerOptions,
    path: SteeringPath,
    loads: Arc<Loads>,
    /// Sockets of another kind of steering in the process that is taken over from: they are in nobody's way.
    outgoing: Vec<TcpListener>,
}

/// Listening sockets of a process that is taken over from.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Its workers' own, by slot, if it steers with kernel programs.
    pub workers: Vec<TcpListener>,
    /// Those of its binds, otherwise: any order, but for each bind in the order of slots.
    pub binds: Vec<TcpListener>,
    /// Sockets that are bound to what it steers with kernel programs and do not listen.
    pub placeholders: Vec<TcpListener>,
}

/// Sockets and path after a take-over has ended.
#[derive(Debug, Default)]
pub struct FinishedTakeover {
    /// The path as it is now.
    pub path: Option<SteeringPath>,
    /// Sockets for workers to accept from, one list for each.
    pub listeners: Vec<Vec<TcpListener>>,
    /// Prepared steps that failed. The process before us has let go, so there is no way back.
    pub failed: Vec<SteerError>,
}

/// The backend that connections take.
enum SteeringBackend {
    Kernel(Box<Kernel>),
    Sockets(Sockets),
}

/// Which backend is live, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SteeringPath {
    /// Kernel programs; no socket listens on the binds' own ports.
    Ebpf {
        /// Port of the workers' sockets; connections straight to it belong to no bind.
        internal_port: u16,
        /// True if programs and maps are pinned.
        pins: PinState,
    },
    /// A listening socket per worker and bind.
    ReusePort {
        /// Why there are no kernel programs.
        reason: String,
        /// Added to ports below [`lowest_port`](Self::ReusePort::lowest_port), if this process may not bind those.
        unprivileged_offset: Option<u16>,
        /// Lowest port that this process may bind; 0 when it may bind all.
        lowest_port: u16,
    },
}

/// True if maps, programs and the link have names on bpffs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinState {
    /// In this directory.
    Pinned(PathBuf),
    /// Nowhere, for this reason; steering works all the same.
    NotPinned(String),
}

/// Sockets for new binds.
#[derive(Debug, Default)]
pub struct Prepared {
    /// One list per worker; empty lists with kernel programs, and before a take-over is settled. They listen
    /// already: connections wait in their queues until the worker accepts, and are reset if the sockets are
    /// dropped.
    pub listeners: Vec<Vec<TcpListener>>,
    /// Binds for which there are no sockets.
    pub refused: Vec<Rejection>,
}

/// Changes that [`Steering::apply`] made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Binds steered from now on.
    pub added: Vec<SteerBind>,
    /// Binds no longer steered.
    pub removed: Vec<SteerBind>,
    /// Binds that the kernel did not take; calling again tries them again.
    pub refused: Vec<Rejection>,
}

impl Steering {
    /// Opens steering for the calling thread's network namespace.
    ///
    /// # Errors
    /// A setting is out of range; another process is this instance; the workers' sockets cannot be made; or kernel
    /// programs are demanded and cannot be had.
    pub fn open(mode: SteeringMode, options: SteerOptions) -> Result<Self, SteerError> {
        Self::open_with(mode, options, None)
    }

    /// Opens steering beside that of a process which is taken over from and which still serves. Until the first
    /// [`apply`](Self::apply) nothing changes for it. From then on both steer to sockets that both have; until
    /// [`finish_takeover`](Self::finish_takeover) no connection can wait in a socket that only we have, and dropping this gives the kernel
    /// back as it was, but for [`reclaim`](Self::reclaim). Workers get their first sockets from `finish_takeover`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn take_over(
        mode: SteeringMode,
        options: SteerOptions,
        inherited: Inherited,
    ) -> Result<Self, SteerError> {
        Self::open_with(mode, options, Some(inherited))
    }

    fn open_with(
        mode: SteeringMode,
        options: SteerOptions,
        inherited: Option<Inherited>,
    ) -> Result<Self, SteerError> {
        options.validate()?;
        let beside = inherited.is_some();
        let Inherited { workers, binds, placeholders } = inherited.unwrap_or_default();
        // Whoever steers by kernel programs has a socket for each worker.
        let without_programs = workers.is_empty();
        let kernel = |workers| match beside {
            true => Kernel::take_over(&options, workers, placeholders),
            false => Kernel::open(&options),
        };
        let reason = match mode {
            SteeringMode::ReusePort => "asked for".to_owned(),
            SteeringMode::Auto | SteeringMode::Ebpf => match kernel(workers) {
                Ok(kernel) => return Ok(Self::with_kernel(kernel, options, binds)),
                Err(OpenError::Fatal(e)) => return Err(e),
                Err(OpenError::Unavailable(reason)) if mode == SteeringMode::Ebpf => {
                    return Err(SteerError::Unavailable { reason });
                }
                Err(OpenError::Unavailable(reason)) => reason,
            },
        };
        let mut sockets = Sockets::new(&options);
        if beside {
            sockets.inherit(binds, without_programs);
        }
        let path = SteeringPath::ReusePort {
            reason,
            unprivileged_offset: sockets.offset(),
            lowest_port: sockets.lowest_port(),
        };
        let loads = Loads::unread()
            .map_err(|source| SteerError::Socket { what: "memory for gauges".into(), source })?;
        Ok(Self { backend: SteeringBackend::Sockets(sockets), options, path, loads, outgoing: Vec::new() })
    }

    fn with_kernel(kernel: Kernel, options: SteerOptions, outgoing: Vec<TcpListener>) -> Self {
        let path = SteeringPath::Ebpf { internal_port: kernel.port(), pins: kernel.pin_state() };
        let loads = kernel.loads();
        Self { backend: SteeringBackend::Kernel(Box::new(kernel)), options, path, loads, outgoing }
    }

    /// Ends a take-over: the process before us lets go, or has. Pins, lets go of its sockets that no bind
    /// took, and gives those that workers are to accept from.
    pub fn finish_takeover(&mut self) -> FinishedTakeover {
        self.outgoing.clear();
        let (listeners, failed) = match &mut self.backend {
            SteeringBackend::Kernel(kernel) => {
                let (sockets, failed) = kernel.finish_takeover();
                self.path = SteeringPath::Ebpf { internal_port: kernel.port(), pins: kernel.pin_state() };
                (sockets.into_iter().map(|socket| vec![socket]).collect(), failed)
            }
            SteeringBackend::Sockets(sockets) => sockets.finish_takeover(),
        };
        FinishedTakeover { path: Some(self.path.clone()), listeners, failed }
    }

    /// Undoes what a process that was to take over, and failed, did to the group of the workers' sockets, of
    /// which one is given: our program chooses again.
    ///
    /// # Errors
    /// The kernel refuses. Its program then goes on choosing among the same sockets.
    pub fn reclaim(&mut self, socket: &TcpListener) -> Result<(), SteerError> {
        match &mut self.backend {
            SteeringBackend::Kernel(kernel) => kernel.reclaim(socket),
            SteeringBackend::Sockets(_) => Ok(()),
        }
    }

    /// Makes the sockets and pins that this process has so far `uid`'s, the user that it goes on as: all
    /// sockets of a `SO_REUSEPORT` group must have one owner, and pins are removed by theirs. To be called
    /// before the first plan.
    ///
    /// # Errors
    /// Something belongs to another user and this thread lacks CAP_CHOWN.
    pub fn give_to(&self, uid: u32) -> Result<(), SteerError> {
        let given = match &self.backend {
            SteeringBackend::Kernel(kernel) => kernel.give_to(uid),
            SteeringBackend::Sockets(sockets) => sockets.give_to(uid),
        };
        given.map_err(|source| SteerError::Socket {
            what: format!("giving sockets and pins to uid {uid}"),
            source,
        })
    }

    /// Duplicates of the placeholder sockets, for a process that takes over. Until [`seal`](Self::seal) it
    /// can bind its own beside them.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn lend_placeholders(&mut self) -> std::io::Result<Vec<TcpListener>> {
        match &mut self.backend {
            SteeringBackend::Kernel(kernel) => kernel.placeholders().lend(),
            SteeringBackend::Sockets(_) => Ok(Vec::new()),
        }
    }

    /// Ends what [`lend_placeholders`](Self::lend_placeholders) began, after a take-over that failed.
    pub fn seal(&mut self) {
        if let SteeringBackend::Kernel(kernel) = &mut self.backend {
            kernel.placeholders().seal();
        }
    }

    /// Tries again to hold ports that could not be held. Cheap if all are.
    pub fn retry_placeholders(&mut self) {
        if let SteeringBackend::Kernel(kernel) = &mut self.backend {
            kernel.retry_placeholders();
        }
    }

    /// Which steered ports other programs are kept from; `None` where workers listen on them, or if it is not
    /// wanted.
    pub fn placeholders(&self) -> Option<PlaceholderState> {
        match &self.backend {
            SteeringBackend::Kernel(kernel) => {
                (self.options.placeholders > 0).then(|| kernel.placeholder_state())
            }
            SteeringBackend::Sockets(_) => None,
        }
    }

    /// Which backend is live, and why.
    pub fn path(&self) -> &SteeringPath {
        &self.path
    }

    /// The workers' own sockets, one each in the order of their slots, the first time it is called with
    /// kernel programs; nothing otherwise. A slot empties when its socket is closed.
    pub fn worker_listeners(&mut self) -> Vec<TcpListener> {
        match &mut self.backend {
            SteeringBackend::Kernel(kernel) => kernel.take_sockets(),
            SteeringBackend::Sockets(_) => Vec::new(),
        }
    }

    /// The sockets for the successor of a worker that died. With kernel programs a new one, since what waited
    /// in the old one has moved to other workers, or the old one if there is no other worker; without, the
    /// old ones with all that waits in them.
    ///
    /// # Errors
    /// There is no such slot, or the system gives no socket.
    pub fn refill(&mut self, slot: usize) -> Result<Vec<TcpListener>, SteerError> {
        let index = self.slot(slot)?;
        match &mut self.backend {
            SteeringBackend::Kernel(kernel) => kernel.refill(index).map(|socket| vec![socket]),
            SteeringBackend::Sockets(sockets) => sockets
                .refill(slot)
                .map_err(|source| SteerError::Socket { what: format!("sockets of worker {slot}"), source }),
        }
    }

    /// Forgets the sockets of a [`prepare`](Self::prepare) that no worker has taken.
    pub fn abandon(&mut self) {
        match &mut self.backend {
            SteeringBackend::Kernel(_) => {}
            SteeringBackend::Sockets(sockets) => sockets.abandon(),
        }
    }

    /// To be called before workers close their sockets for good, as in a drain: lets go of the duplicates
    /// that are kept for successors. Steering goes on.
    pub fn release(&mut self) {
        match &mut self.backend {
            SteeringBackend::Kernel(kernel) => kernel.release(),
            SteeringBackend::Sockets(sockets) => sockets.release(),
        }
    }

    /// The load gauge of a worker. It works on either backend, so that workers need not know which one is live.
    ///
    /// # Errors
    /// There is no such slot.
    pub fn gauge(&self, slot: usize) -> Result<Gauge, SteerError> {
        Ok(Gauge::new(Arc::clone(&self.loads), self.slot(slot)?))
    }

    fn slot(&self, slot: usize) -> Result<u32, SteerError> {
        u32::try_from(slot).ok().filter(|_| slot < self.options.workers).ok_or_else(|| SteerError::Option {
            option: "slot",
            reason: format!("{slot} of {} workers", self.options.workers),
        })
    }

    /// The binds of a plan that must not be taken, each with its reason: reserved ports, ports where somebody
    /// else listens (unless the bind is steered already), addresses that are not local. Leave them out of the
    /// plan before anything else is done with it.
    pub fn check(&self, plan: &SteerPlan) -> Vec<Rejection> {
        let (own, internal_port) = match &self.backend {
            // Its sockets are all on the internal port, which is refused for itself.
            SteeringBackend::Kernel(kernel) => (self.outgoing_inodes(), Some(kernel.port())),
            SteeringBackend::Sockets(sockets) => (sockets.own(), None),
        };
        let bound_port = |port| match &self.backend {
            SteeringBackend::Kernel(_) => Ok(port),
            SteeringBackend::Sockets(sockets) => sockets.bound_port(port),
        };
        let reserved = &self.options.reserved_ports;
        let live = |bind| match &self.backend {
            SteeringBackend::Kernel(kernel) => kernel.is_live(bind),
            SteeringBackend::Sockets(sockets) => sockets.is_live(bind),
        };
        check::check(
            plan,
            &CheckContext {
                reserved,
                allowed: self.options.allowed_ports.as_ref(),
                pool: &self.options.pool,
                own: &own,
                internal_port,
                bound_port: &bound_port,
                live: &live,
            },
        )
    }

    fn outgoing_inodes(&self) -> HashSet<u64> {
        self.outgoing.iter().filter_map(|socket| sockets::inode(socket).ok()).collect()
    }

    /// Makes the sockets that workers need for the plan's new binds. To be followed by
    /// [`apply`](Self::apply), or, after an abort, by dropping the sockets and [`abandon`](Self::abandon).
    pub fn prepare(&mut self, plan: &SteerPlan) -> Prepared {
        match &mut self.backend {
            SteeringBackend::Kernel(_) => {
                let listeners = (0..self.options.workers).map(|_| Vec::new()).collect();
                Prepared { listeners, refused: Vec::new() }
            }
            SteeringBackend::Sockets(sockets) => {
                let (listeners, refused) = sockets.prepare(plan);
                Prepared { listeners, refused }
            }
        }
    }

    /// Local addresses of the sockets that workers should close, having accepted what they hold, because
    /// their binds are not in the plan; nothing with kernel programs.
    pub fn retiring(&mut self, plan: &SteerPlan) -> Vec<SocketAddr> {
        match &mut self.backend {
            SteeringBackend::Kernel(_) => Vec::new(),
            SteeringBackend::Sockets(sockets) => sockets.retiring(plan),
        }
    }

    /// Makes the plan what is steered. With kernel programs, new connections to removed binds are refused at once, while
    /// those already in a worker's queue stay there to be served; without, closing the sockets of
    /// [`retiring`](Self::retiring) is what does it.
    ///
    /// # Errors
    /// The kernel refuses a change; what was changed before it stays, and calling again goes on from there.
    pub fn apply(&mut self, plan: &SteerPlan) -> Result<Applied, SteerError> {
        match &mut self.backend {
            SteeringBackend::Kernel(kernel) => kernel.apply(plan),
            SteeringBackend::Sockets(sockets) => {
                let (added, removed) = sockets.apply(plan);
                Ok(Applied { added, removed, refused: Vec::new() })
            }
        }
    }

    /// Verdicts of the kernel programs so far.
    ///
    /// # Errors
    /// The kernel does not let the counters be read.
    pub fn counters(&self) -> Result<Counters, SteerError> {
        match &self.backend {
            SteeringBackend::Kernel(kernel) => kernel.counters(),
            SteeringBackend::Sockets(_) => Ok(Counters::default()),
        }
    }

    /// Takes the programs off and removes the pins, as dropping does. Workers that still have connections
    /// keep them; call it after they have accepted what was queued.
    pub fn close(self) {}
}

impl SteeringPath {
    /// The offset that local ports are to be mapped back by, if any.
    pub fn unprivileged_offset(&self) -> Option<u16> {
        match self {
            Self::Ebpf { .. } => None,
            Self::ReusePort { unprivileged_offset, .. } => *unprivileged_offset,
        }
    }

    /// Port of the workers' own sockets, with kernel programs.
    pub fn internal_port(&self) -> Option<u16> {
        match self {
            Self::Ebpf { internal_port, .. } => Some(*internal_port),
            Self::ReusePort { .. } => None,
        }
    }

    /// Short name for metrics: `ebpf` or `reuseport`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ebpf { .. } => "ebpf",
            Self::ReusePort { .. } => "reuseport",
        }
    }
}

impl fmt::Display for SteeringPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ebpf { internal_port, pins: PinState::Pinned(dir) } => {
                write!(f, "ebpf (workers on port {internal_port}, pinned in {})", dir.display())
            }
            Self::Ebpf { internal_port, pins: PinState::NotPinned(reason) } => {
                write!(f, "ebpf (workers on port {internal_port}, not pinned: {reason})")
            }
            Self::ReusePort { reason, unprivileged_offset, lowest_port } => {
                write!(f, "reuseport ({reason}")?;
                match unprivileged_offset {
                    Some(offset) => write!(f, "; ports below {lowest_port} are served {offset} higher)"),
                    None => write!(f, ")"),
                }
            }
        }
    }
}

impl fmt::Debug for Steering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steering").field("path", &self.path).finish_non_exhaustive()
    }
}
