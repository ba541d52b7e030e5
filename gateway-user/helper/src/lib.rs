//! A helper: the process that holds the rights of a gateway which has none.
//!
//! The two talk over a Unix socket of packets. The gateway asks for one thing at a time ([`Request`]) and gets
//! one reply ([`Reply`]), some with descriptors. The helper decides by its own settings ([`Policy`]); whoever
//! asks for anything else loses the connection, and with it what was made for it.
//!
//! [`HelperClient`] is the gateway's side, [`Server`] the helper's. See `docs/helper.md`.
#![forbid(unsafe_code)]

mod addresses;
mod client;
mod connection;
mod exchange;
pub mod packets;
mod policy;
mod rate;
mod reply;
mod request;
mod server;
mod shared;
mod wire;

pub use addresses::Duties;
pub use client::{HelperClient, HelperState};
pub use policy::Policy;
pub use reply::Reply;
pub use request::{Request, Transport};
pub use server::Server;
pub use wire::{MAX_PACKET, Malformed, OLDEST_PROTOCOL, PROTOCOL};
