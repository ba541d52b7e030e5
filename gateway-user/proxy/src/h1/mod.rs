//! HTTP/1.1 on the client's side: a connection, its request heads, and its end.

pub(crate) mod backend;
pub(crate) mod body;
pub(crate) mod disposition;
mod half_close;
pub(crate) mod head;
pub(crate) mod linger;
pub(crate) mod persistence;
pub(crate) mod reply;
mod request_source;
mod response_sink;
pub(crate) mod response_source;
pub(crate) mod scratch;
pub(crate) mod server;
pub(crate) mod sink;
mod tunnel;
mod wait;
pub(crate) mod wire;
