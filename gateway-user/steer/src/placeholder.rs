//! Placeholders: sockets bound to what is steered, which never listen.
//!
//! With kernel programs nothing needs to be bound to a listener's port, so another program's bind(2) would
//! succeed there, and it would wait for connections that never come. A bound socket has that bind fail with
//! `EADDRINUSE`, as it would with any other server. It is in no table that connections are looked up in, so
//! it takes none.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use gateway_ir::BindAddress;

use crate::helper::Ports;
use crate::{SteerBind, SteerOptions, sockets};

/// Ports that placeholders hold, and ports that they do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlaceholderState {
    /// Number of binds that are held; those of a particular address that "every address" covers
    /// are not counted.
    pub held: usize,
    /// Binds that nobody keeps another program from, each with the reason.
    pub missing: Vec<(SteerBind, String)>,
}

/// The placeholders of what is steered.
#[derive(Debug)]
pub(crate) struct Placeholders {
    /// Most of them: each takes a descriptor.
    most: usize,
    ports: Ports,
    held: BTreeMap<SteerBind, TcpListener>,
    missing: BTreeMap<SteerBind, String>,
    /// Of the process that is taken over from. Binds use these before they make any.
    inherited: BTreeMap<SocketAddr, TcpListener>,
}

impl Placeholders {
    pub(crate) fn new(options: &SteerOptions, inherited: Vec<TcpListener>) -> Self {
        let placed = |socket: TcpListener| Some((socket.local_addr().ok()?, socket));
        let inherited = inherited.into_iter().filter_map(placed).collect();
        let (most, ports) = (options.placeholders, Ports::new(options.helper.clone()));
        Self { most, ports, held: BTreeMap::new(), missing: BTreeMap::new(), inherited }
    }

    /// Holds the steered ports, as far as that is possible, and no others. Ports that could not be held are
    /// retried.
    pub(crate) fn follow(&mut self, live: &BTreeSet<SteerBind>) {
        if self.most == 0 {
            return;
        }
        let wanted = needed(live);
        // Let go first: "every address" cannot be held beside a particular one of the same port.
        self.held.retain(|bind, _| wanted.contains(bind));
        self.missing.clear();
        for bind in wanted {
            if self.held.contains_key(&bind) {
                continue;
            }
            match self.hold(bind) {
                Ok(socket) => drop(self.held.insert(bind, socket)),
                Err(reason) => drop(self.missing.insert(bind, reason)),
            }
        }
    }

    /// Tries again what was not possible.
    pub(crate) fn retry_placeholders(&mut self, live: &BTreeSet<SteerBind>) {
        if !self.missing.is_empty() {
            self.follow(live);
        }
    }

    fn hold(&mut self, bind: SteerBind) -> Result<TcpListener, String> {
        let addresses: &[IpAddr] = match &bind.address {
            BindAddress::Any => &[IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)],
            BindAddress::Ip(ip) => std::slice::from_ref(ip),
        };
        let at = |ip: &IpAddr| self.inherited.remove(&SocketAddr::new(*ip, bind.port));
        if let Some(socket) = addresses.iter().find_map(at) {
            return Ok(socket);
        }
        if self.held.len() >= self.most {
            return Err(format!("{} ports are held, and each takes a descriptor (one of 64)", self.most));
        }
        self.ports.hold(bind.address, bind.port).map_err(|error| explain(&error))
    }

    /// Duplicates for a process that takes over. Until [`seal`](Self::seal) sockets with `SO_REUSEADDR` may
    /// be bound beside them: a process that does not know placeholders, or steers without programs, binds its
    /// own.
    pub(crate) fn lend(&self) -> io::Result<Vec<TcpListener>> {
        self.held.values().map(|socket| sockets::share(socket).and_then(|()| socket.try_clone())).collect()
    }

    /// Keeps everybody out again, after a take-over that failed or in the process that took over; what it
    /// received and no bind uses is closed.
    pub(crate) fn seal(&mut self) {
        self.inherited.clear();
        for socket in self.held.values() {
            // Fails on no open socket.
            let _ = sockets::seal(socket);
        }
    }

    pub(crate) fn state(&self) -> PlaceholderState {
        let missing = self.missing.iter().map(|(bind, reason)| (*bind, reason.clone()));
        PlaceholderState { held: self.held.len(), missing: missing.collect() }
    }
}

/// Binds that need a placeholder: "every address" of a port covers every particular one.
fn needed(live: &BTreeSet<SteerBind>) -> BTreeSet<SteerBind> {
    let all: BTreeSet<SteerBind> = live.iter().map(|bind| whole(*bind)).collect();
    let covered =
        |bind: &SteerBind| bind.address != BindAddress::Any && all.contains(&SteerBind::any(bind.port));
    all.iter().copied().filter(|bind| !covered(bind)).collect()
}

/// An unspecified address is steered as every address.
fn whole(bind: SteerBind) -> SteerBind {
    match bind.address {
        BindAddress::Ip(ip) if ip.is_unspecified() => SteerBind::any(bind.port),
        _ => bind,
    }
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "no right to bind ports below 1024 (CAP_NET_BIND_SERVICE at the start)".to_owned()
        }
        io::ErrorKind::AddrInUse => "another program has the port bound".to_owned(),
        io::ErrorKind::AddrNotAvailable => "the address is not there".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_covers_the_particular_ones_of_its_port() {
        let exact = |text: &str| SteerBind::exact(text.parse().unwrap());
        let live = BTreeSet::from([
            SteerBind::any(80),
            exact("10.0.0.1:80"),
            exact("10.0.0.1:81"),
            exact("[::]:82"),
        ]);
        let want = BTreeSet::from([SteerBind::any(80), exact("10.0.0.1:81"), SteerBind::any(82)]);
        assert_eq!(needed(&live), want);
    }
}
