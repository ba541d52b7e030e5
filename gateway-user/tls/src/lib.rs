//! TLS without sockets: bytes in, bytes out. Alone in naming rustls.
//!
//! [`Identity::read`] turns the PEM of a Secret into a checked chain and key, or one line that says what is
//! wrong. [`hello::peek`] reads the server's name out of a ClientHello before anything is decided,
//! [`ServerTls`] is the TLS configuration of one listener, [`ClientTls`] that of connections to a backend, and
//! [`ServerSession`] and [`ClientSession`] are one connection each. They keep no buffers: behind its handshake a client's connection is
//! an [`EstablishedSession`], which costs its secrets and nothing else while it rests.
//!
//! One crypto provider serves the whole process: [`install_provider`].
#![forbid(unsafe_code)]

mod authorities;
mod backend_error;
mod backend_sessions;
mod cipher_suite;
mod client;
mod client_trust;
mod established;
mod forwarded_cert;
mod handshake_error;
pub mod hello;
mod identity;
mod library_session;
mod ocsp;
mod peer;
mod pem;
mod public_key;
mod server;
mod server_session;
mod session;
mod shown;
mod side;
mod stream;
mod tickets;
mod validity;
mod verifier;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use authorities::{AUTHORITIES_MAX, AuthoritiesError, read_authorities, read_bundle};
pub use backend_error::BackendTlsError;
pub use cipher_suite::CipherSuite;
pub use client::{ClientOptions, ClientTls, is_server_name};
pub use client_trust::{ClientMode, ClientTrust};
pub use established::EstablishedSession;
pub use forwarded_cert::forwarded_client_cert;
pub use handshake_error::HandshakeError;
pub use identity::{Identity, IdentityError, IdentityNote, ParsedIdentity};
pub use library_session::{ClientSession, TlsSession};
pub use ocsp::{Staple, StapleError};
pub use peer::{ClientTlsError, PeerName};
pub use pem::PemNote;
pub use server::{Credential, MinVersion, Offer, Protocol, ServerOptions, ServerTls, Version, covers};
pub use server_session::ServerSession;
pub use session::{Established, Outgoing};
pub use side::{ClientSide, SessionError, Side};
pub use stream::{STREAM_NAME, StreamTlsError, stream_client, stream_name, stream_server, validity};
pub use tickets::{ListenerTickets, TicketRoots, TicketSecret, Tickets};

/// Makes our crypto provider the one of the process, for libraries that ask rustls for it. May be called
/// again.
pub fn install_provider() {
    // Err: it is installed already.
    let _ = aws_lc_rs::default_provider().install_default();
}

/// Our crypto provider, whether or not it is installed.
fn provider() -> Arc<CryptoProvider> {
    CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()))
}
