//! The two sides of a TLS connection, as sessions use them.

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::UnbufferedStatus;
use rustls::{CommonState, Error};

use crate::{BackendTlsError, HandshakeError};

/// A side of a connection. Only this crate has any.
pub trait Side: sealed::Sealed {
    /// State of the side, of no interest here.
    #[doc(hidden)]
    type Data;
    /// Reasons why its handshake fails.
    type Error: SessionError;

    #[doc(hidden)]
    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    #[doc(hidden)]
    fn common(&self) -> &CommonState;
}

/// The server's side, towards a client.
pub type ServerSide = UnbufferedServerConnection;
/// The client's side, towards a backend.
pub type ClientSide = UnbufferedClientConnection;

/// Reasons why a session breaks.
pub trait SessionError: for<'e> From<&'e Error> {
    /// The protocol was broken, by either side.
    const PROTOCOL: Self;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::UnbufferedServerConnection {}
    impl Sealed for super::UnbufferedClientConnection {}
}

impl Side for UnbufferedServerConnection {
    type Data = ServerConnectionData;
    type Error = HandshakeError;

    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(records)
    }

    fn common(&self) -> &CommonState {
        self
    }
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;
    type Error = BackendTlsError;

    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(records)
    }

    fn common(&self) -> &CommonState {
        self
    }
}

impl SessionError for HandshakeError {
    const PROTOCOL: Self = Self::Protocol;
}

impl SessionError for BackendTlsError {
    const PROTOCOL: Self = Self::Protocol;
}
