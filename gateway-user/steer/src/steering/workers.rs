//! Sockets and load gauges of workers.

use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;

use super::{Steering, SteeringBackend};
use crate::{Gauge, SteerError};

impl Steering {
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

    /// The sockets for datagrams of a worker that died, for its successor.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn refill_datagrams(&self, slot: usize) -> Result<Vec<UdpSocket>, SteerError> {
        let what = || format!("sockets for datagrams of worker {slot}");
        self.datagrams.refill(slot).map_err(|source| SteerError::Socket { what: what(), source })
    }

    /// Forgets the sockets of a [`prepare`](Self::prepare) that no worker has taken.
    pub fn abandon(&mut self) {
        self.datagrams.abandon();
        match &mut self.backend {
            SteeringBackend::Kernel(_) => {}
            SteeringBackend::Sockets(sockets) => sockets.abandon(),
        }
    }

    /// To be called before workers close their sockets for good, as in a drain: lets go of the duplicates
    /// that are kept for successors. Steering goes on.
    pub fn release(&mut self) {
        self.datagrams.release();
        match &mut self.backend {
            SteeringBackend::Kernel(kernel) => kernel.release(),
            SteeringBackend::Sockets(sockets) => sockets.release(),
        }
    }

    /// Has a helper that has come anew keep the stand-by, as the one before did; nothing without kernel programs of a
    /// helper.
    pub fn renew_stand_by(&mut self) {
        if let SteeringBackend::Kernel(kernel) = &mut self.backend {
            kernel.renew_stand_by();
        }
    }

    /// The load gauge of a worker. It works on either backend, so that workers need not know
    /// which one is live.
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
}
