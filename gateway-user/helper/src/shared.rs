//! State that all connections share: limits, and what was made for each.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gateway_steer::{LendOptions, LentPrograms};
use tracing::{error, info, warn};

use crate::addresses::{Addresses, Duties};
use crate::packets::PacketSocket;
use crate::policy::Policy;

/// Most connections: a gateway and its successor, and some that are about to end.
pub(crate) const MAX_CONNECTIONS: usize = 8;

/// Limit for taking back what was made for gateways that have ended, before the process ends itself: the kernel takes an
/// address off within milliseconds.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);

/// Most gateways that have ended of which something is kept at a time: there is room for others beside them.
const MAX_HELD: usize = 4;

/// State that all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) policy: Policy,
    pub(crate) lend: LendOptions,
    /// Beginning of the names of programs on bpffs.
    pub(crate) instance: String,
    /// The gateway's user.
    pub(crate) uid: u32,
    /// Time for which a killed gateway's programs and stand-by are kept for the next one.
    pub(crate) hold: Duration,
    pub(crate) duties: Box<dyn Duties>,
    pub(crate) addresses: Addresses,
    programs: Mutex<Programs>,
    /// Told of each connection for which all was taken back, and of what is kept no longer.
    changed: Condvar,
}

/// A connection, until all that was made for it is taken back.
#[derive(Debug)]
struct Open {
    channel: PacketSocket,
    programs: Option<LentPrograms>,
    /// True while its programs are kept though it has ended.
    is_held: bool,
    /// True once another gateway serves, which may be before this one's end is heard of.
    is_relieved: bool,
}

impl Open {
    /// True if the gateway has ended, or is no longer heard.
    fn has_ended(&self) -> bool {
        self.channel.has_ended_within(Duration::ZERO)
    }
}

/// Programs by connection.
#[derive(Debug, Default)]
struct Programs {
    by_connection: BTreeMap<u64, Open>,
    /// True once nothing is kept any more for gateways to come.
    ending: bool,
    /// True once the process is about to end: then nothing is taken off any more.
    closed: bool,
}

impl Shared {
    pub(crate) fn new(
        policy: Policy,
        lend: LendOptions,
        instance: String,
        uid: u32,
        hold: Duration,
        duties: Box<dyn Duties>,
    ) -> Self {
        let (addresses, programs, changed) = Default::default();
        Self { policy, lend, instance, uid, hold, duties, addresses, programs, changed }
    }

    /// Lets go of all programs without taking them off. Before, it waits until all is taken back that was made for gateways
    /// that have ended: a pod's helper is asked to stop as soon as its gateway is gone, and an address that stayed on the
    /// interface would be answered for by the kernel and served by no process. Nothing is taken off from here on.
    pub(crate) fn close(&self) {
        let mut programs = self.programs();
        programs.ending = true;
        self.changed.notify_all();
        let leaving = |programs: &mut Programs| programs.by_connection.values().any(Open::has_ended);
        let waited = self.changed.wait_timeout_while(programs, LEAVE_LIMIT, leaving);
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
            programs
                .by_connection
                .insert(connection, Open { channel, programs: None, is_held: false, is_relieved: false });
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

    /// A duplicate of the stand-by of a gateway that has ended.
    pub(crate) fn orphan(&self) -> Option<io::Result<OwnedFd>> {
        let programs = self.programs();
        let mut ended = programs.by_connection.values().filter(|open| open.has_ended());
        let stand_by = ended.find_map(|open| open.programs.as_ref()?.stand_by_socket())?;
        Some(stand_by.as_fd().try_clone_to_owned())
    }

    /// Keeps nothing longer of gateways that have ended: another one serves. False if nothing was kept.
    pub(crate) fn relieve(&self) -> bool {
        let mut relieved = false;
        for (connection, open) in &mut self.programs().by_connection {
            if let Some(programs) =
                open.programs.as_mut().filter(|_| open.channel.has_ended_within(Duration::ZERO))
            {
                info!(connection, "another gateway serves; {}", waited(programs));
                relieved = true;
                (open.is_held, open.is_relieved) = (false, true);
            }
        }
        self.changed.notify_all();
        relieved
    }

    /// Takes back what was made for a connection. Programs and stand-by of a gateway that has `ended` without a word stay
    /// for the next one, for a while: connections wait at the stand-by meanwhile.
    pub(crate) fn leave(&self, connection: u64, ended: bool) {
        if !self.programs().closed {
            self.take_off_addresses(connection);
        }
        if ended {
            self.wait_for_the_next(connection);
        }
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
        self.programs().by_connection.remove(&connection);
        self.changed.notify_all();
    }

    fn wait_for_the_next(&self, connection: u64) {
        let mut programs = self.programs();
        let held = programs.by_connection.values().filter(|open| open.is_held).count();
        let Some(open) = programs.by_connection.get_mut(&connection) else { return };
        let stands_by = open.programs.as_ref().is_some_and(|lent| lent.stand_by_socket().is_some());
        open.is_held = stands_by && !open.is_relieved && held < MAX_HELD && !self.hold.is_zero();
        if !open.is_held {
            return;
        }
        info!(connection, "new connections wait for the next gateway, for up to {:?}", self.hold);
        let holds = |programs: &mut Programs| {
            !programs.ending && programs.by_connection.get(&connection).is_some_and(|open| open.is_held)
        };
        let over = self.changed.wait_timeout_while(programs, self.hold, holds);
        let (mut programs, limit) = over.unwrap_or_else(PoisonError::into_inner);
        if limit.timed_out()
            && let Some(lent) =
                programs.by_connection.get_mut(&connection).and_then(|open| open.programs.as_ref())
        {
            warn!(connection, "no gateway has come, and connections are reset; {}", waited(lent));
        }
    }

    fn take_off_addresses(&self, connection: u64) {
        for address in self.addresses.leave(connection) {
            match self.duties.remove_address(address) {
                Ok(()) => info!(connection, "{address} is taken off"),
                Err(error) => error!(connection, "{error}"),
            }
        }
    }
}

/// The number of connections at a stand-by, for people.
fn waited(programs: &LentPrograms) -> String {
    match programs.stood_by() {
        Some(count) => format!("{count} connections have waited"),
        None => "connections may have waited".to_owned(),
    }
}
