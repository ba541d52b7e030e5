//! HTTP/2 frame by frame: a client that does what no library would, and attacks made of it. And, of the `h2` crate, clients
//! and backends that keep to the rules.

pub mod attacks;
#[cfg(feature = "h2")]
pub mod backend;
#[cfg(feature = "h2")]
pub mod client;
pub mod frames;
pub mod holds;
mod peer;
mod server;

pub use peer::Peer;
pub use server::Server;
