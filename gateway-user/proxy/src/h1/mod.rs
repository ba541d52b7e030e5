//! HTTP/1.1 on the client's side: a connection, its request heads, and its end.

pub(crate) mod disposition;
pub(crate) mod head;
pub(crate) mod linger;
pub(crate) mod reply;
pub(crate) mod scratch;
pub(crate) mod server;
pub(crate) mod sink;
