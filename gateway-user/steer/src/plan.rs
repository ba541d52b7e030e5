//! Binds to steer.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

use gateway_common::{IPPROTO_TCP, SteerKey};
use gateway_ir::{BindAddress, Ir};

/// One address and port that clients connect to, over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SteerBind {
    /// The address; a particular one wins over [`BindAddress::Any`] on the same port.
    pub address: BindAddress,
    /// The port that clients dial.
    pub port: u16,
}

/// Everything that is to be steered at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SteerPlan {
    /// The binds, no two alike.
    pub binds: BTreeSet<SteerBind>,
}

impl SteerBind {
    /// Every local address with this port.
    pub fn any(port: u16) -> Self {
        Self { address: BindAddress::Any, port }
    }

    /// One address and port.
    pub fn exact(address: SocketAddr) -> Self {
        Self { address: BindAddress::Ip(address.ip()), port: address.port() }
    }

    pub(crate) fn key(self) -> SteerKey {
        match self.address {
            BindAddress::Any => SteerKey::any(self.port, IPPROTO_TCP),
            BindAddress::Ip(ip) if ip.is_unspecified() => SteerKey::any(self.port, IPPROTO_TCP),
            BindAddress::Ip(ip) => SteerKey::exact(ip, self.port, IPPROTO_TCP),
        }
    }
}

impl fmt::Display for SteerBind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            BindAddress::Any => write!(f, "*:{}", self.port),
            BindAddress::Ip(ip) => SocketAddr::new(ip, self.port).fmt(f),
        }
    }
}

impl SteerPlan {
    /// The plan that serves every bind of `ir`.
    pub fn of(ir: &Ir) -> Self {
        ir.binds.iter().map(|bind| SteerBind { address: bind.address, port: bind.port }).collect()
    }
}

impl FromIterator<SteerBind> for SteerPlan {
    fn from_iter<I: IntoIterator<Item = SteerBind>>(binds: I) -> Self {
        Self { binds: binds.into_iter().collect() }
    }
}
