//! HTTP/2 frame by frame: a client that does what no library would, and attacks made of it.

pub mod attacks;
pub mod frames;
mod peer;

pub use peer::Peer;
