//! Session tickets, with which a client comes back without the costly half of a handshake (RFC 8446 section 2.2, RFC 5077).
//!
//! A Gateway's keys come from its controller, which gives the same to every node, or are derived from roots of the process's
//! own. Tickets of one Gateway open nothing at another, nor those of one listener at another: the listener's settings are
//! sealed with them.

mod key;
mod roots;
mod sealing;
mod state;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::server::ProducesTickets;
use sha2::{Digest as _, Sha256};

use crate::{ClientMode, ClientTrust};

use key::Ring;
use state::State;

pub(crate) use sealing::sealing_only;

pub use key::TicketSecret;
pub use roots::TicketRoots;

/// Digest of all that must be alike where a ticket is given and where it is taken.
pub(crate) type TicketScope = [u8; 32];

/// The tickets of a listener.
#[derive(Clone, Copy, Debug)]
pub struct ListenerTickets<'a> {
    /// All keys.
    pub keys: &'a Tickets,
    /// The Gateway, whose keys they are sealed with.
    pub gateway: &'a str,
    /// The listener's name within it.
    pub listener: &'a str,
}

/// The keys that tickets are sealed with, one set for all workers: a client may meet another worker next time. They change
/// every six hours and are forgotten after a day (RFC 5077 section 5.5). A clone has the same keys.
#[derive(Clone)]
pub struct Tickets(Arc<Mutex<State>>);

impl Tickets {
    /// New random keys.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self(Arc::new(Mutex::new(State::new(TicketRoots::new(now())?)))))
    }

    /// Uses these keys for a Gateway, newest first, before those of this process. Ones that it had are good for tickets that
    /// they sealed until they are a day old.
    pub fn give(&self, gateway: &str, secrets: &[TicketSecret]) {
        self.change(|state| state.give(gateway, secrets, now()));
    }

    /// Forgets the keys that were given for other Gateways than these.
    pub fn keep_given(&self, is_kept: impl Fn(&str) -> bool) {
        self.change(|state| state.keep_given(is_kept));
    }

    /// All keys as a process that takes over reads them: JSON, and as secret as the keys.
    pub fn export(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).export()
    }

    /// Takes the keys of a process that is taken over from, in place of those that this one began with.
    ///
    /// # Errors
    /// It is no export; the keys are those of before.
    pub fn import(&self, exported: &[u8]) -> std::io::Result<()> {
        self.change(|state| state.import(exported, now()))
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ListenerTickets<'_> {
    /// The one that seals and opens them, for sessions whose clients have passed this check.
    pub(crate) fn producer(self, clients: Option<&ClientTrust>) -> Arc<dyn ProducesTickets> {
        let scope = scope(self.listener, clients);
        Arc::new(Ticketer { keys: Arc::clone(&self.keys.0), gateway: self.gateway.into(), scope })
    }
}

/// The scope of a listener's tickets. Whoever resumes a session has passed the checks of that session, so these must be those of the
/// listener, to the last authority.
fn scope(listener: &str, clients: Option<&ClientTrust>) -> TicketScope {
    let mut hash = Sha256::new().chain_update(b"listener ").chain_update(listener);
    if let Some(clients) = clients {
        // No name has a byte of 0.
        hash.update([
            0,
            match clients.mode() {
                ClientMode::ValidOnly => 1,
                ClientMode::InsecureFallback => 2,
            },
        ]);
        clients.digests().iter().for_each(|digest| hash.update(digest));
    }
    hash.finalize().into()
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Seals and opens tickets of one scope.
struct Ticketer {
    keys: Arc<Mutex<State>>,
    gateway: Box<str>,
    scope: TicketScope,
}

impl Ticketer {
    /// The Gateway's keys of this moment.
    fn ring(&self) -> Option<Arc<Ring>> {
        // Held for a look into a map; a key is made once in hours.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).ring(&self.gateway, now())
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        key::TICKET_LIFETIME
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.ring()?.seal(&self.scope, plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.ring()?.open(&self.scope, ticket)
    }
}

impl fmt::Debug for Ticketer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticketer of {}", self.gateway)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}
