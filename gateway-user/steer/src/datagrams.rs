//! Sockets for datagrams: one for each worker on each address and port, never on the wildcard, where programs that serve one
//! address of the node would be in the way, or have a part of what is sent to theirs.

mod takeover;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use gateway_ir::BindAddress;
use nix::ifaddrs::getifaddrs;
use tracing::{info, warn};

use crate::check::{Rejection, RejectionReason};
use crate::helper::Ports;
use crate::{SteerBind, SteerOptions, SteerPlan};

/// Most addresses of the node that one port is bound on for a Gateway without addresses: a node that carries those of every
/// Service, as IPVS has it, is not to give a socket of each worker to each.
const MOST_ADDRESSES: usize = 64;

/// The reason and the text of a rejection.
type Refused = (RejectionReason, String);

/// Binds and the sockets handed out for them.
pub(crate) struct Datagrams {
    workers: usize,
    ports: Ports,
    offset: Option<u16>,
    /// The bind of each local address of the last plan, also of those where another program has the port.
    wanted: BTreeMap<SocketAddr, SteerBind>,
    prepared: BTreeMap<SocketAddr, Group>,
    live: BTreeMap<SocketAddr, Group>,
    /// Sockets of the process that is taken over from, which it receives from until it lets go. Workers get their duplicates
    /// then.
    inherited: BTreeMap<SocketAddr, Group>,
}

/// Duplicates of the workers' sockets on one address, dealt out to the slots in turn: a socket and what waits in it outlive the worker by them, and the
/// group stays as it is, by whose size the kernel chooses the socket of a client.
type Group = Vec<UdpSocket>;

impl Datagrams {
    /// None yet. Ports that cannot be bound are bound `offset` higher, where TCP's are as well.
    pub(crate) fn new(options: &SteerOptions, offset: Option<u16>) -> Self {
        Self {
            workers: options.workers,
            ports: Ports::new(options.helper.clone()),
            offset,
            wanted: BTreeMap::new(),
            prepared: BTreeMap::new(),
            live: BTreeMap::new(),
            inherited: BTreeMap::new(),
        }
    }

    /// The port that is bound when `port` is asked for.
    pub(crate) fn bound_port(&self, port: u16) -> Result<u16, String> {
        self.ports.bound(port, self.offset)
    }

    /// Sockets for what is new in the plan, per worker. Sockets of an aborted preparation are dropped.
    pub(crate) fn prepare(&mut self, plan: &SteerPlan) -> (Vec<Group>, Vec<Rejection>) {
        self.prepared.clear();
        self.wanted.clear();
        let mut workers: Vec<Group> = (0..self.workers).map(|_| Group::new()).collect();
        let mut rejections = Vec::new();
        for bind in &plan.binds {
            if let Err((reason, message)) = self.bind(*bind, plan, &mut workers) {
                self.wanted.retain(|_, of| of != bind);
                rejections.push(Rejection { bind: *bind, reason, message });
            }
        }
        (workers, rejections)
    }

    /// Binds every address of a bind that is not live.
    fn bind(&mut self, bind: SteerBind, plan: &SteerPlan, workers: &mut [Group]) -> Result<(), Refused> {
        let port = self.bound_port(bind.port).map_err(|message| (RejectionReason::BindFailed, message))?;
        let mut failed = None;
        let mut served = false;
        for ip in addresses(bind, plan) {
            let address = SocketAddr::new(ip, port);
            self.wanted.insert(address, bind);
            if self.live.contains_key(&address) || self.prepared.contains_key(&address) {
                served = true;
                continue;
            }
            match self.group(address) {
                Ok((group, duplicates)) => {
                    served = true;
                    self.prepared.insert(address, group);
                    workers.iter_mut().zip(duplicates).for_each(|(worker, socket)| worker.push(socket));
                }
                Err(error) => {
                    info!(%bind, %address, %error, "datagrams to this address are not served");
                    failed.get_or_insert((address, error));
                }
            }
        }
        match failed {
            _ if served => Ok(()),
            Some((address, error)) => {
                let held = error.kind() == io::ErrorKind::AddrInUse;
                let reason = if held { RejectionReason::InUse } else { RejectionReason::BindFailed };
                Err((
                    reason,
                    format!(
                        "binding UDP {address} for {bind}: {error}; stop the program that has it, or choose another port or address"
                    ),
                ))
            }
            None => {
                Err((RejectionReason::AddressNotLocal, "no interface of this node has an address".to_owned()))
            }
        }
    }

    /// A socket for each worker, and duplicates of them to hand out, unless they are still another process's.
    fn group(&self, address: SocketAddr) -> io::Result<(Group, Group)> {
        if let Some(theirs) = self.inherited.get(&address) {
            return Ok((
                theirs.iter().map(UdpSocket::try_clone).collect::<io::Result<Group>>()?,
                Group::new(),
            ));
        }
        let group = (0..self.workers).map(|_| self.ports.bind_udp(address)).collect::<io::Result<Group>>()?;
        let duplicates = group.iter().map(UdpSocket::try_clone).collect::<io::Result<Group>>()?;
        Ok((group, duplicates))
    }

    /// Local addresses of sockets that are no longer wanted. From now on workers alone hold them.
    pub(crate) fn retiring(&mut self, plan: &SteerPlan) -> Vec<SocketAddr> {
        let wanted = &self.wanted;
        let gone = self.live.iter_mut().filter(|(address, _)| !is_wanted(wanted, plan, address));
        let retire = |(address, group): (&SocketAddr, &mut Group)| {
            group.clear();
            *address
        };
        gone.map(retire).collect()
    }

    /// Takes what was prepared as live, as far as the plan has it; the rest stays prepared, so that removals can be applied
    /// first.
    pub(crate) fn apply(&mut self, plan: &SteerPlan) {
        let wanted = &self.wanted;
        self.live.retain(|address, _| is_wanted(wanted, plan, address));
        self.live.extend(self.prepared.extract_if(.., |address, _| is_wanted(wanted, plan, address)));
    }

    /// Forgets what was prepared and is not to be.
    pub(crate) fn abandon(&mut self) {
        self.prepared.clear();
    }

    /// Workers are about to close their sockets for good.
    pub(crate) fn release(&mut self) {
        self.live.values_mut().for_each(Vec::clear);
    }

    /// The sockets of a worker that died, for its successor.
    pub(crate) fn refill(&self, slot: usize) -> io::Result<Group> {
        let own = self.live.iter().filter(|(address, _)| !self.inherited.contains_key(address));
        let of_slot = own.flat_map(|(_, group)| group.iter().skip(slot).step_by(self.workers));
        of_slot.map(UdpSocket::try_clone).collect()
    }

    /// True if the plan that was applied last has this bind.
    pub(crate) fn is_live(&self, bind: SteerBind) -> bool {
        self.live.keys().any(|address| self.wanted.get(address) == Some(&bind))
    }

    /// True if the node has other addresses than when the last plan was prepared, and a bind is on all of them.
    pub(crate) fn is_behind(&self) -> bool {
        let plan: SteerPlan = self.wanted.values().copied().collect();
        let everywhere = plan.binds.iter().filter(|bind| bind.address == BindAddress::Any);
        everywhere.into_iter().any(|bind| {
            let known: BTreeSet<IpAddr> =
                self.wanted.iter().filter(|(_, of)| *of == bind).map(|(address, _)| address.ip()).collect();
            addresses(*bind, &plan) != known
        })
    }
}

fn is_wanted(wanted: &BTreeMap<SocketAddr, SteerBind>, plan: &SteerPlan, address: &SocketAddr) -> bool {
    wanted.get(address).is_some_and(|bind| plan.binds.contains(bind))
}

/// The addresses that a bind is served on: its own, or every one of the node that no other bind of the port has.
fn addresses(bind: SteerBind, plan: &SteerPlan) -> BTreeSet<IpAddr> {
    if let BindAddress::Ip(ip) = bind.address
        && !ip.is_unspecified()
    {
        return BTreeSet::from([ip]);
    }
    let of_another = |ip: &IpAddr| plan.binds.contains(&SteerBind { address: BindAddress::Ip(*ip), ..bind });
    let mut all: BTreeSet<IpAddr> = interface_addresses().into_iter().filter(|ip| !of_another(ip)).collect();
    if all.len() > MOST_ADDRESSES {
        warn!(%bind, found = all.len(), most = MOST_ADDRESSES, "datagrams are served on the first addresses only; give the Gateway addresses");
        all = all.into_iter().take(MOST_ADDRESSES).collect();
    }
    all
}

/// Every address of the interfaces in this network namespace that can be bound by itself: IPv6 addresses of one link name no
/// socket without their interface.
fn interface_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = getifaddrs() else { return Vec::new() };
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    };
    let is_of_link = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    interfaces.filter_map(address).filter(|ip| !is_of_link(ip)).collect()
}
