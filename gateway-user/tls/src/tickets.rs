//! Session tickets, with which a client comes back without the costly half of a handshake.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;

/// The keys that tickets are sealed with, one set for all workers: a client may meet another worker next
/// time. They change every six hours and are forgotten after twelve (RFC 5077 section 5.5). A clone has the
/// same keys.
#[derive(Clone)]
pub struct Tickets(pub(crate) Arc<dyn ProducesTickets>);

impl Tickets {
    /// New random keys.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn new() -> std::io::Result<Self> {
        Ticketer::new().map(Self).map_err(std::io::Error::other)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}
