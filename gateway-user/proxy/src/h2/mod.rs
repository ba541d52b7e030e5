//! HTTP/2 on the client's side: a connection, its streams, and their end. Frames are the `h2` crate's.

pub(crate) mod body;
pub(crate) mod flood;
mod frames;
mod io;
mod response_sink;
pub(crate) mod server;
mod stream;
mod wire;
