//! Time limits of a process.

use std::time::Duration;

/// The process's own time limits; a route may set further ones.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From a request head's first byte to its last.
    pub client_header: Duration,
    /// From a TLS connection's first bytes to the end of its handshake.
    pub tls_handshake: Duration,
    /// Between requests on a client connection.
    pub client_idle: Duration,
    /// For a response to begin once the client has finished sending; zero is none.
    pub half_close: Duration,
    /// Between two pieces of a request body.
    pub client_body: Duration,
    /// For a client to take anything of a response that waits for it.
    pub client_send: Duration,
    /// Bytes a second that a client sends of a body at least, averaged over `client_body`, and takes of a response; zero
    /// asks for none.
    pub client_rate: u64,
    /// For a backend to accept a connection.
    pub connect: Duration,
    /// From the end of the request to the last byte of the backend's response head, interim responses included; and from the
    /// first byte of a head to its last, where the request is not at its end yet.
    pub response_header: Duration,
    /// Between two pieces of a response body, and for a backend to take one piece of a request.
    pub upstream_idle_body: Duration,
    /// Between two pieces of a gRPC call, in either direction, and before its response begins; in place of `client_body`,
    /// `response_header` and `upstream_idle_body`.
    pub grpc_idle: Duration,
    /// Without use before a pooled upstream connection is closed.
    pub upstream_idle: Duration,
    /// Between two bytes in either direction of a connection that was upgraded.
    pub tunnel_idle: Duration,
    /// The same once one side has finished sending, where it is shorter: a client that is gone looks like one that waits for
    /// the rest.
    pub tunnel_half_closed: Duration,
    /// From the request's head to the end of its response, for rules that set no limit of their own; zero is none.
    pub request: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            client_header: Duration::from_secs(15),
            tls_handshake: Duration::from_secs(10),
            client_idle: Duration::from_secs(75),
            half_close: Duration::from_secs(5),
            client_body: Duration::from_secs(60),
            client_send: Duration::from_secs(60),
            client_rate: 100,
            connect: Duration::from_secs(5),
            response_header: Duration::from_secs(60),
            upstream_idle_body: Duration::from_secs(60),
            grpc_idle: Duration::from_secs(3600),
            upstream_idle: Duration::from_secs(60),
            tunnel_idle: Duration::from_secs(60 * 60),
            tunnel_half_closed: Duration::from_secs(60),
            request: Duration::ZERO,
        }
    }
}
