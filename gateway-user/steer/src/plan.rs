//! Binds to steer.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

use gateway_common::{IPPROTO_TCP, SteerKey};
use gateway_ir::{Bind, BindAddress, Ir, Transport};

/// One address and port that clients connect to, or send datagrams to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SteerBind {
    /// The address; a particular one wins over [`BindAddress::Any`] on the same port.
    pub address: BindAddress,
    /// The port that clients dial.
    pub port: u16,
    /// The transport of the port.
    pub transport: Transport,
}

/// Everything that is to be steered at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SteerPlan {
    /// The binds, no two alike.
    pub binds: BTreeSet<SteerBind>,
}

impl SteerBind {
    /// Every local address with this port, over TCP.
    pub fn any(port: u16) -> Self {
        Self { address: BindAddress::Any, port, transport: Transport::Tcp }
    }

    /// One address and port, over TCP.
    pub fn exact(address: SocketAddr) -> Self {
        let (address, port) = (BindAddress::Ip(address.ip()), address.port());
        Self { address, port, transport: Transport::Tcp }
    }

    /// The same address and number of another transport.
    #[must_use]
    pub fn over(self, transport: Transport) -> Self {
        Self { transport, ..self }
    }

    /// Its key in the kernel's map, where only TCP is steered.
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
            BindAddress::Any => write!(f, "*:{}", self.port)?,
            BindAddress::Ip(ip) => SocketAddr::new(ip, self.port).fmt(f)?,
        }
        f.write_str(match self.transport {
            Transport::Tcp => "",
            Transport::Udp => "/udp",
        })
    }
}

impl SteerPlan {
    /// The plan that serves every bind of `ir`.
    pub fn of(ir: &Ir) -> Self {
        let steer =
            |bind: &Bind| SteerBind { address: bind.address, port: bind.port, transport: bind.transport() };
        ir.binds.iter().map(steer).collect()
    }

    /// The part of it that is of one transport.
    pub(crate) fn of_transport(&self, transport: Transport) -> Cow<'_, Self> {
        if self.binds.iter().all(|bind| bind.transport == transport) {
            return Cow::Borrowed(self);
        }
        Cow::Owned(self.binds.iter().filter(|bind| bind.transport == transport).copied().collect())
    }
}

impl FromIterator<SteerBind> for SteerPlan {
    fn from_iter<I: IntoIterator<Item = SteerBind>>(binds: I) -> Self {
        Self { binds: binds.into_iter().collect() }
    }
}
