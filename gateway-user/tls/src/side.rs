//! The two sides of a TLS connection, as sessions use them.

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::UnbufferedStatus;
use rustls::{CommonState, Error};

use crate::established::capture::{self, TrafficSecrets};
use crate::{BackendTlsError, HandshakeError};

/// A side of a connection. Only this crate has any.
pub trait Side: sealed::Sealed {
    /// State of the side, of no interest here.
    #[doc(hidden)]
    type Data;
    /// Reasons why its handshake fails.
    type Error: SessionError;
    /// Only the handshake is its part: what comes behind is for another session.
    #[doc(hidden)]
    const HANDSHAKE_ONLY: bool;

    #[doc(hidden)]
    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    #[doc(hidden)]
    fn common(&self) -> &CommonState;
}

/// The server's side of a handshake, towards a client.
pub(crate) struct ServerSide {
    connection: UnbufferedServerConnection,
    /// With TLS 1.3, as soon as they are agreed on.
    secrets: Option<TrafficSecrets>,
}

/// The client's side, towards a backend.
pub type ClientSide = UnbufferedClientConnection;

/// Reasons why a session breaks.
pub trait SessionError: for<'e> From<&'e Error> {
    /// The protocol was broken, by either side.
    const PROTOCOL: Self;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::ServerSide {}
    impl Sealed for super::UnbufferedClientConnection {}
}

impl ServerSide {
    pub(crate) fn of(connection: UnbufferedServerConnection) -> Self {
        Self { connection, secrets: None }
    }

    /// The parts that a session needs to go on without it.
    pub(crate) fn into_parts(self) -> (UnbufferedServerConnection, Option<TrafficSecrets>) {
        (self.connection, self.secrets)
    }
}

impl Side for ServerSide {
    type Data = ServerConnectionData;
    type Error = HandshakeError;
    const HANDSHAKE_ONLY: bool = true;

    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        let status = self.connection.process_tls_records(records);
        if let Some(secrets) = capture::take() {
            self.secrets = Some(secrets);
        }
        status
    }

    fn common(&self) -> &CommonState {
        &self.connection
    }
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;
    type Error = BackendTlsError;
    const HANDSHAKE_ONLY: bool = false;

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
