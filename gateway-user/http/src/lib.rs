//! HTTP as state machines: bytes in, events out, no sockets.
//!
//! [`h1`] parses heads and bodies out of byte slices that somebody else owns, and writes heads into a sink
//! that somebody else owns. It allocates nothing per message once its reusable storage is warm. [`head`] is
//! what routing, filters and logs see of a head, whatever the protocol; [`h2`] brings heads of HTTP/2 there and back,
//! [`grpc`] has what a gateway does for gRPC, and [`websocket`] checks both sides of a handshake. [`proxy_header`] reads
//! what a load balancer may put before all that.
#![forbid(unsafe_code)]

mod bytes;
pub mod grpc;
pub mod h1;
pub mod h2;
pub mod head;
pub mod proxy_header;
pub mod websocket;
