//! Tickets of handshakes that must not resume a session.

use std::fmt;
use std::sync::Arc;

use rustls::server::ProducesTickets;

/// The same tickets, for handshakes that give some and take none.
pub(crate) fn sealing_only(tickets: &Arc<dyn ProducesTickets>) -> Arc<dyn ProducesTickets> {
    Arc::new(SealingOnly(Arc::clone(tickets)))
}

/// Seals tickets, and opens none.
struct SealingOnly(Arc<dyn ProducesTickets>);

impl ProducesTickets for SealingOnly {
    fn enabled(&self) -> bool {
        self.0.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.encrypt(plain)
    }

    fn decrypt(&self, _ticket: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

impl fmt::Debug for SealingOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingOnly")
    }
}
