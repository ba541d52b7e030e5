//! Bytes of a protocol that is not looked into, between two streams, or in datagrams.

pub(crate) mod account;
pub(crate) mod admitted;
pub(crate) mod raw;
pub(crate) mod server;
mod splice;
pub(crate) mod traffic;
pub(crate) mod tunnel;
pub(crate) mod udp;
