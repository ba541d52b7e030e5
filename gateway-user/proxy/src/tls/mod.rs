//! TLS on both sides: the handshakes, and the layer of a stream.

pub(crate) mod accept;
pub(crate) mod connect;
pub(crate) mod crypto_turns;
mod handshake;
pub(crate) mod layer;
