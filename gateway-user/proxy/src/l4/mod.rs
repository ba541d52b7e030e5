//! Bytes of a protocol that is not looked into, between two streams.

pub(crate) mod account;
pub(crate) mod admitted;
pub(crate) mod raw;
pub(crate) mod server;
mod splice;
pub(crate) mod traffic;
pub(crate) mod tunnel;
