//! Faults of new connections to backends.

use std::io;

use gateway_io::is_out_of_descriptors;

use crate::Reason;

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DialError {
    /// No descriptor is left, which is no fault of the backend.
    OutOfDescriptors,
    For(Reason),
}

impl From<io::Error> for DialError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            _ if is_out_of_descriptors(&error) => Self::OutOfDescriptors,
            io::ErrorKind::TimedOut => Self::For(Reason::UpstreamConnectTimeout),
            io::ErrorKind::InvalidData => Self::For(Reason::UpstreamProtocolError),
            _ => Self::For(Reason::UpstreamConnectFailed),
        }
    }
}
