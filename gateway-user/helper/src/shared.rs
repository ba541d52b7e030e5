//! State that all connections share: limits, and what was made for each.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gateway_steer::{LendOptions, LentPrograms};
use tracing::{error, info};

use crate::addresses::{Addresses, Duties};
use crate::packets::PacketSocket;
use crate::policy::Policy;

/// Most connections: a gateway and its successor, and some that are about to end.
pub(crate) const MAX_CONNECTIONS: usize = 8;

/// Limit for taking back what was made for gateways that have ended, before the process ends itself: the kernel takes an
/// address off within milliseconds.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);

/// State that all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) policy: Policy,
    pub(crate) lend: LendOptions,
    /// Beginning of the names of programs on bpffs.
    pub(crate) instance: String,
    /// The gateway's user.
    pub(crate) uid: u32,
    pub(crate) duties: Box<dyn Duties>,
    pub(crate) addresses: Addresses,
    programs: Mutex<Programs>,
    /// Told of each connection for which all was taken back.
    left: Condvar,
}

/// A connection, until all that was made for it is taken back.
#[derive(Debug)]
struct Open {
    channel: PacketSocket,
    programs: Option<LentPrograms>,
}

/// Programs by connection.
#[derive(Debug, Default)]
struct Programs {
    by_connection: BTreeMap<u64, Open>,
    /// True once the process is about to end: then nothing is taken off any more.
    closed: bool,
}

impl Shared {
    pub(crate) fn new(
        policy: Policy,
        lend: LendOptions,
        instance: String,
        uid: u32,
        duties: Box<dyn Duties>,
    ) -> Self {
        let (addresses, programs, left) = Default::default();
        Self { policy, lend, instance, uid, duties, addresses, programs, left }
    }

    /// Lets go of all programs without taking them off. Before, it waits until all is taken back that was made for gateways
    /// that have ended: a pod's helper is asked to stop as soon as its gateway is gone, and an address that stayed on the
    /// interface would be answered for by the kernel and served by no process. Nothing is taken off from here on.
    pub(crate) fn close(&self) {
        let ending = |programs: &mut Programs| {
            programs.by_connection.values().any(|open| open.channel.has_ended_within(Duration::ZERO))
        };
        let waited = self.left.wait_timeout_while(self.programs(), LEAVE_LIMIT, ending);
        let (mut programs, limit) = waited.unwrap_or_else(PoisonError::into_inner);
        if limit.timed_out() {
            error!("addresses and programs of a gateway that has ended are left behind");
        }
        programs.closed = true;
        programs.by_connection.clear();
    }

    fn programs(&self) -> MutexGuard<'_, Programs> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a place for a connection's programs. False if there are too many connections.
    pub(crate) fn enter(&self, connection: u64, channel: PacketSocket) -> bool {
        let mut programs = self.programs();
        let room = programs.by_connection.len() < MAX_CONNECTIONS && !programs.closed;
        if room {
            programs.by_connection.insert(connection, Open { channel, programs: None });
        }
        room
    }

    /// Does something with the programs of a connection; nothing once the process is about to end.
    pub(crate) fn with_programs<T>(
        &self,
        connection: u64,
        act: impl FnOnce(&mut Option<LentPrograms>) -> T,
    ) -> Option<T> {
        self.programs().by_connection.get_mut(&connection).map(|open| act(&mut open.programs))
    }

    /// Takes back what was made for a connection.
    pub(crate) fn leave(&self, connection: u64) {
        let mut programs = self.programs();
        let gone = programs.by_connection.get_mut(&connection).and_then(|open| open.programs.take());
        if programs.closed {
            return;
        }
        drop(programs);
        if let Some(gone) = gone {
            match gone.detach() {
                Ok(()) => info!(connection, "programs are taken off"),
                Err(error) => error!(connection, "programs cannot be taken off: {error}"),
            }
        }
        for address in self.addresses.leave(connection) {
            match self.duties.remove_address(address) {
                Ok(()) => info!(connection, "{address} is taken off"),
                Err(error) => error!(connection, "{error}"),
            }
        }
        self.programs().by_connection.remove(&connection);
        self.left.notify_all();
    }
}
