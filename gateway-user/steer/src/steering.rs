//! The one way in: open, check, prepare, apply, close.

mod path;
mod takeover;
mod workers;

use std::collections::HashSet;
use std::fmt;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use gateway_ir::Transport;

use crate::check::{self, CheckContext};
use crate::datagrams::Datagrams;
use crate::ebpf::{Kernel, OpenError};
use crate::gauge::Loads;
use crate::placeholder::PlaceholderState;
use crate::reuseport::Sockets;
use crate::{Counters, Rejection, SteerBind, SteerError, SteerOptions, SteerPlan, SteeringMode, sockets};

pub use path::{PinState, SteeringPath};
pub use takeover::{FinishedTakeover, Inherited};

/// Steering of this process in one network namespace, that of the thread that opened it. Dropping it takes
/// the programs off and removes the pins.
pub struct Steering {
    backend: SteeringBackend,
    /// Those for datagrams, on either backend: the kernel steers no replies.
    datagrams: Datagrams,
    options: SteerOptions,
    path: SteeringPath,
    loads: Arc<Loads>,
    /// Sockets of another kind of steering in the process that is taken over from: they are in nobody's way.
    outgoing: Vec<TcpListener>,
}

/// The backend that connections take.
enum SteeringBackend {
    Kernel(Box<Kernel>),
    Sockets(Sockets),
}

/// Sockets for new binds.
#[derive(Debug, Default)]
pub struct Prepared {
    /// One list per worker; empty lists with kernel programs, and before a take-over is settled. They listen
    /// already: connections wait in their queues until the worker accepts, and are reset if the sockets are
    /// dropped.
    pub listeners: Vec<Vec<TcpListener>>,
    /// Sockets for datagrams, one list per worker. Datagrams wait in them until the worker receives.
    pub datagrams: Vec<Vec<UdpSocket>>,
    /// Binds for which there are no sockets.
    pub refused: Vec<Rejection>,
}

/// Changes that [`Steering::apply`] made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Binds of TCP that are steered from now on.
    pub added: Vec<SteerBind>,
    /// Binds of TCP that are no longer steered.
    pub removed: Vec<SteerBind>,
    /// Binds that the kernel did not take; calling again tries them again.
    pub refused: Vec<Rejection>,
}

impl Steering {
    /// Opens steering for the calling thread's network namespace.
    ///
    /// # Errors
    /// A setting is out of range; another process is this instance; the workers' sockets cannot be made; or
    /// kernel programs are demanded and cannot be had.
    pub fn open(mode: SteeringMode, options: SteerOptions) -> Result<Self, SteerError> {
        Self::open_with(mode, options, None)
    }

    fn open_with(
        mode: SteeringMode,
        options: SteerOptions,
        inherited: Option<Inherited>,
    ) -> Result<Self, SteerError> {
        options.validate()?;
        let beside = inherited.is_some();
        let Inherited { workers, binds, placeholders, datagrams: theirs } = inherited.unwrap_or_default();
        // A process that steers by kernel programs has a socket for each worker.
        let without_programs = workers.is_empty();
        let kernel = |workers| match beside {
            true => Kernel::take_over(&options, workers, placeholders),
            false => Kernel::open(&options),
        };
        let reason = match mode {
            SteeringMode::ReusePort => "asked for".to_owned(),
            SteeringMode::Auto | SteeringMode::Ebpf => match kernel(workers) {
                Ok(kernel) => return Ok(Self::with_kernel(kernel, options, binds, theirs)),
                Err(OpenError::Fatal(e)) => return Err(e),
                Err(OpenError::Unavailable(reason)) if mode == SteeringMode::Ebpf => {
                    return Err(SteerError::Unavailable { reason });
                }
                Err(OpenError::Unavailable(reason)) => reason,
            },
        };
        if let Some(helper) = &options.helper {
            // Its programs would go before our sockets.
            helper.relieve();
        }
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
        let mut datagrams = Datagrams::new(&options, sockets.offset());
        datagrams.inherit(theirs);
        let backend = SteeringBackend::Sockets(sockets);
        Ok(Self { backend, datagrams, options, path, loads, outgoing: Vec::new() })
    }

    fn with_kernel(
        kernel: Kernel,
        options: SteerOptions,
        outgoing: Vec<TcpListener>,
        theirs: Vec<UdpSocket>,
    ) -> Self {
        let path = SteeringPath::Ebpf { internal_port: kernel.port(), pins: kernel.pin_state() };
        let loads = kernel.loads();
        let mut datagrams = Datagrams::new(&options, None);
        datagrams.inherit(theirs);
        Self { backend: SteeringBackend::Kernel(Box::new(kernel)), datagrams, options, path, loads, outgoing }
    }

    /// Tries again to hold ports that could not be held. Cheap if all are.
    pub fn retry_placeholders(&mut self) {
        if let SteeringBackend::Kernel(kernel) = &mut self.backend {
            kernel.retry_placeholders();
        }
    }

    /// The steered ports that other programs are kept from; `None` where workers listen on them, or if it
    /// is not wanted.
    pub fn placeholders(&self) -> Option<PlaceholderState> {
        match &self.backend {
            SteeringBackend::Kernel(kernel) => {
                (self.options.placeholders > 0).then(|| kernel.placeholder_state())
            }
            SteeringBackend::Sockets(_) => None,
        }
    }

    /// True if connections reach no worker any more because a helper has taken its programs off. It does
    /// that when the connection to it ends, and not when it ends itself.
    pub fn is_detached(&self) -> bool {
        match &self.backend {
            SteeringBackend::Kernel(kernel) => kernel.is_detached(),
            SteeringBackend::Sockets(_) => false,
        }
    }

    /// The backend that is live, with the reason.
    pub fn path(&self) -> &SteeringPath {
        &self.path
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
        let bound_port = |bind: SteerBind| match &self.backend {
            _ if bind.transport == Transport::Udp => self.datagrams.bound_port(bind.port),
            SteeringBackend::Kernel(_) => Ok(bind.port),
            SteeringBackend::Sockets(sockets) => sockets.bound_port(bind.port),
        };
        let reserved = &self.options.reserved_ports;
        let live = |bind: SteerBind| match &self.backend {
            _ if bind.transport == Transport::Udp => self.datagrams.is_live(bind),
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
        let (datagrams, mut refused) = self.datagrams.prepare(&plan.of_transport(Transport::Udp));
        let listeners = match &mut self.backend {
            SteeringBackend::Kernel(_) => (0..self.options.workers).map(|_| Vec::new()).collect(),
            SteeringBackend::Sockets(sockets) => {
                let (listeners, others) = sockets.prepare(&plan.of_transport(Transport::Tcp));
                refused.extend(others);
                listeners
            }
        };
        Prepared { listeners, datagrams, refused }
    }

    /// Local addresses of the sockets that workers should close, having accepted what they hold, because
    /// their binds are not in the plan; nothing with kernel programs.
    pub fn retiring(&mut self, plan: &SteerPlan) -> Vec<SocketAddr> {
        match &mut self.backend {
            SteeringBackend::Kernel(_) => Vec::new(),
            SteeringBackend::Sockets(sockets) => sockets.retiring(&plan.of_transport(Transport::Tcp)),
        }
    }

    /// Local addresses of the sockets for datagrams that workers should close.
    pub fn retiring_datagrams(&mut self, plan: &SteerPlan) -> Vec<SocketAddr> {
        self.datagrams.retiring(&plan.of_transport(Transport::Udp))
    }

    /// True if the node has other addresses than when sockets for datagrams were made, so that a plan should be prepared and
    /// applied again.
    pub fn is_behind(&self) -> bool {
        self.datagrams.is_behind()
    }

    /// Makes the plan what is steered. With kernel programs, new connections to removed binds are refused at
    /// once, while those already in a worker's queue stay there to be served; without, closing the sockets of
    /// [`retiring`](Self::retiring) is what does it.
    ///
    /// # Errors
    /// The kernel refuses a change; what was changed before it stays, and calling again goes on from there.
    pub fn apply(&mut self, plan: &SteerPlan) -> Result<Applied, SteerError> {
        self.datagrams.apply(&plan.of_transport(Transport::Udp));
        let plan = &*plan.of_transport(Transport::Tcp);
        match &mut self.backend {
            SteeringBackend::Kernel(kernel) => kernel.apply(plan),
            SteeringBackend::Sockets(sockets) => {
                let (added, removed) = sockets.apply(plan);
                Ok(Applied { added, removed, refused: Vec::new() })
            }
        }
    }

    /// Verdicts of the kernel programs since they were loaded.
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

impl fmt::Debug for Steering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steering").field("path", &self.path).finish_non_exhaustive()
    }
}
