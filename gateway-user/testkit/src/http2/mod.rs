//! HTTP/2 frame by frame: a client that does what no library would, and attacks made of it.

pub mod attacks;
pub mod frames;
pub mod holds;
mod peer;
mod server;

pub use peer::Peer;
pub use server::Server;
