//! The waits of one exchange.

use std::time::Duration;

use crate::body::pacing::SendTimeout;
use crate::timeouts::Timeouts;

/// How long each wait of an exchange may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    /// Between two pieces of the request's body.
    pub(crate) client_body: Duration,
    /// Bytes a second of the request's body at least; zero is none.
    pub(crate) client_rate: u64,
    /// From the request's end to the response's head.
    pub(crate) response_header: Duration,
    /// Between two pieces of the response's body, and for the backend to take one of the request's.
    pub(crate) upstream_body: Duration,
    /// The slowest pace at which the client may take its response.
    pub(crate) client_send: SendTimeout,
}

impl Waits {
    /// Those of a gRPC call are one: either side of a stream may be silent for as long as it has no message, the server
    /// before its first one, too.
    pub(super) fn of(timeouts: &Timeouts, is_stream: bool) -> Self {
        let client_send = SendTimeout::of_client(timeouts);
        match is_stream {
            true => Self {
                client_body: timeouts.grpc_idle,
                client_rate: 0,
                response_header: timeouts.grpc_idle,
                upstream_body: timeouts.grpc_idle,
                client_send,
            },
            false => Self {
                client_body: timeouts.client_body,
                client_rate: timeouts.client_rate,
                response_header: timeouts.response_header,
                upstream_body: timeouts.upstream_idle_body,
                client_send,
            },
        }
    }
}
