//! Faults of new connections to backends.

use std::io;

use gateway_io::is_out_of_descriptors;
use gateway_tls::BackendTlsError;

use crate::Reason;
use crate::tls::layer::REFUSED;

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DialError {
    /// No descriptor is left, which is no fault of the backend.
    OutOfDescriptors,
    For(Reason),
}

impl From<BackendTlsError> for DialError {
    fn from(error: BackendTlsError) -> Self {
        Self::For(Reason::UpstreamTls(error))
    }
}

impl From<io::Error> for DialError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            _ if is_out_of_descriptors(&error) => Self::OutOfDescriptors,
            io::ErrorKind::TimedOut => Self::For(Reason::UpstreamConnectTimeout),
            REFUSED => Self::For(Reason::UpstreamTls(BackendTlsError::Refused)),
            io::ErrorKind::InvalidData => Self::For(Reason::UpstreamProtocolError),
            _ => Self::For(Reason::UpstreamConnectFailed),
        }
    }
}
