//! TLS on the client's side: the handshake, and the layer of a stream.

pub(crate) mod accept;
pub(crate) mod layer;
