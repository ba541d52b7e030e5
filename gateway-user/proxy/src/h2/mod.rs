//! HTTP/2 on the client's side: a connection, its streams, and their end. Frames are the `h2` crate's.

mod connection;
mod flood;
mod frames;
mod io;
mod response_sink;
pub(crate) mod server;
mod sink;
mod source;
mod stream;
mod wire;
