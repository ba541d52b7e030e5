//! Hot restarts: sockets of the process before this one, and of the one after it.

use std::collections::BTreeMap;
use std::net::{TcpListener, UdpSocket};

use super::{Steering, SteeringBackend, SteeringPath};
use crate::{SteerError, SteerOptions, SteeringMode};

/// Listening sockets of a process that is taken over from.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Its workers' own, by slot, if it steers with kernel programs.
    pub workers: Vec<TcpListener>,
    /// Those of its binds, otherwise: any order, but for each bind in the order of slots.
    pub binds: Vec<TcpListener>,
    /// Sockets that are bound to what it steers with kernel programs and do not listen.
    pub placeholders: Vec<TcpListener>,
    /// Those for datagrams: any order, but for each address in the order of its group.
    pub datagrams: Vec<UdpSocket>,
}

impl Inherited {
    /// True if each of so many workers gets one of the sockets for datagrams of each address, so that no more are made.
    pub fn has_datagrams_for(&self, workers: usize) -> bool {
        let mut counts = BTreeMap::new();
        for address in self.datagrams.iter().filter_map(|socket| socket.local_addr().ok()) {
            *counts.entry(address).or_insert(0) += 1;
        }
        counts.values().all(|count| *count >= workers)
    }
}

/// Sockets and path after a take-over has ended.
#[derive(Debug, Default)]
pub struct FinishedTakeover {
    /// The path as it is now.
    pub path: Option<SteeringPath>,
    /// Sockets for workers to accept from, one list for each.
    pub listeners: Vec<Vec<TcpListener>>,
    /// Sockets for workers to receive datagrams from, one list for each. The process before us has them as well.
    pub datagrams: Vec<Vec<UdpSocket>>,
    /// Prepared steps that failed. The process before us has let go, so there is no way back.
    pub failed: Vec<SteerError>,
}

impl Steering {
    /// Opens steering beside that of a process which is taken over from and which still serves. Until the
    /// first [`apply`](Self::apply) nothing changes for it. From then on both steer to sockets that both
    /// have; until [`finish_takeover`](Self::finish_takeover) no connection can wait in a socket that only we
    /// have, and dropping this gives the kernel back as it was, but for [`reclaim`](Self::reclaim). Workers
    /// get their first sockets from `finish_takeover`.
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

    /// Ends a take-over: the process before us lets go, or has. Pins, lets go of its sockets that no bind
    /// took, and gives those that workers are to accept from.
    pub fn finish_takeover(&mut self) -> FinishedTakeover {
        self.outgoing.clear();
        let (listeners, mut failed) = match &mut self.backend {
            SteeringBackend::Kernel(kernel) => {
                let (sockets, failed) = kernel.finish_takeover();
                self.path = SteeringPath::Ebpf { internal_port: kernel.port(), pins: kernel.pin_state() };
                (sockets.into_iter().map(|socket| vec![socket]).collect(), failed)
            }
            SteeringBackend::Sockets(sockets) => sockets.finish_takeover(),
        };
        let (datagrams, refused) = self.datagrams.finish_takeover();
        failed.extend(refused.into_iter().map(|(address, source)| SteerError::Socket {
            what: format!("another socket for datagrams to {address}"),
            source,
        }));
        FinishedTakeover { path: Some(self.path.clone()), listeners, datagrams, failed }
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
        let given = given.and_then(|()| self.datagrams.give_to(uid));
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

    /// Duplicates of the sockets for datagrams, for a process that takes over and receives from them once this one does not.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn lend_datagrams(&self) -> std::io::Result<Vec<UdpSocket>> {
        self.datagrams.lend()
    }

    /// Ends what [`lend_placeholders`](Self::lend_placeholders) began, after a take-over that failed.
    pub fn seal(&mut self) {
        if let SteeringBackend::Kernel(kernel) = &mut self.backend {
            kernel.placeholders().seal();
        }
    }
}
