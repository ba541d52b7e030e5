//! State that all connections share: limits, and what was made for each.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gateway_steer::{LendOptions, LentPrograms};
use tracing::{error, info};

use crate::addresses::{Addresses, Duties};
use crate::policy::Policy;

/// Most connections: a gateway and its successor, and some that are about to end.
pub(crate) const MAX_CONNECTIONS: usize = 8;

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
}

/// Programs by connection, of those that are open.
#[derive(Debug, Default)]
struct Programs {
    by_connection: BTreeMap<u64, Option<LentPrograms>>,
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
        let (addresses, programs) = Default::default();
        Self { policy, lend, instance, uid, duties, addresses, programs }
    }

    /// Lets go of all programs without taking them off. Nothing is taken off from here on.
    pub(crate) fn close(&self) {
        let mut programs = self.programs();
        programs.closed = true;
        programs.by_connection.clear();
    }

    fn programs(&self) -> MutexGuard<'_, Programs> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a place for a connection's programs. False if there are too many connections.
    pub(crate) fn enter(&self, connection: u64) -> bool {
        let mut programs = self.programs();
        let room = programs.by_connection.len() < MAX_CONNECTIONS && !programs.closed;
        if room {
            programs.by_connection.insert(connection, None);
        }
        room
    }

    /// Does something with the programs of a connection; nothing once the process is about to end.
    pub(crate) fn with_programs<T>(
        &self,
        connection: u64,
        act: impl FnOnce(&mut Option<LentPrograms>) -> T,
    ) -> Option<T> {
        self.programs().by_connection.get_mut(&connection).map(act)
    }

    /// Takes back what was made for a connection.
    pub(crate) fn leave(&self, connection: u64) {
        let mut programs = self.programs();
        let gone = programs.by_connection.remove(&connection).flatten();
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
    }
}
