//! A look at a network before an address is used there: does another host have it? By ARP probes (RFC 5227) and the
//! solicitations of duplicate address detection (RFC 4862, section 5.4), which disturb nobody's table.

// The filter of ICMPv6 messages is an option that no crate sets.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::{LinkAddr, SockaddrIn6, recvfrom};
use socket2::{Domain, Protocol, Socket, Type};

use crate::announce::{ARP, BROADCAST, IPV6, announce_by, arp, hardware_address, icmpv6, send};

/// Times between two probes of an address.
const PROBE_INTERVAL: Duration = Duration::from_millis(100);
/// Number of probes; after the last one there is as much time for an answer as after each before.
const PROBES: u32 = 3;
/// An outcome is as old as this at most when it is used.
const OUTCOME_AGE: Duration = Duration::from_secs(2);
/// Interval of looking for answers.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// Most addresses that are looked for at once.
const MAX_ADDRESSES: usize = 4096;

/// The hardware address of a network interface.
pub type Hardware = [u8; 6];

/// Sockets to look for other hosts with, and the addresses that are looked for. Opening them takes CAP_NET_RAW; using them,
/// nothing.
#[derive(Debug)]
pub struct AddressCheck {
    packets: Socket,
    /// Without IPv6 there is none.
    advertisements: Option<Socket>,
    begun: BTreeMap<IpAddr, Begun>,
}

#[derive(Clone, Copy, Debug)]
struct Begun {
    at: Instant,
    sent: u32,
    /// The other host.
    by: Option<Hardware>,
}

impl AddressCheck {
    /// Opens the sockets.
    ///
    /// # Errors
    /// The system refuses, most often for lack of CAP_NET_RAW.
    pub fn open() -> io::Result<Self> {
        let packets = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(i32::from(ARP.to_be()))))?;
        packets.set_nonblocking(true)?;
        Ok(Self { packets, advertisements: advertisements().ok(), begun: BTreeMap::new() })
    }

    /// Begins to look for another host that has `ip`, on an interface that this one does not have it on. All that are begun
    /// together take no longer than one.
    ///
    /// # Errors
    /// There is no such interface, or the system refuses.
    pub fn begin(&mut self, interface: &str, ip: IpAddr) -> io::Result<()> {
        let now = Instant::now();
        self.begun.retain(|_, begun| now < begun.at + OUTCOME_AGE);
        if self.begun.is_empty() {
            self.drain();
        }
        if self.begun.len() < MAX_ADDRESSES && !self.begun.contains_key(&ip) && has_neighbours(interface)? {
            self.probe(interface, ip)?;
            self.begun.insert(ip, Begun { at: now, sent: 1, by: None });
        }
        Ok(())
    }

    /// The other host that has `ip`, if any says so in time. Where neighbours are not asked, as on loopback, there is none.
    ///
    /// # Errors
    /// There is no such interface, or the system refuses.
    pub fn finish(&mut self, interface: &str, ip: IpAddr) -> io::Result<Option<Hardware>> {
        self.begin(interface, ip)?;
        let own = match self.begun.contains_key(&ip) {
            true => hardware_address(interface)?,
            false => return Ok(None),
        };
        let index = if_nametoindex(interface)?;
        loop {
            self.receive(index, own);
            let Some(begun) = self.begun.get(&ip).copied() else { return Ok(None) };
            let is_over = begun.sent >= PROBES && begun.at.elapsed() >= PROBE_INTERVAL * PROBES;
            if begun.by.is_some() || is_over {
                self.begun.remove(&ip);
                return Ok(begun.by);
            }
            let due =
                |begun: &Begun| begun.sent < PROBES && begun.at.elapsed() >= PROBE_INTERVAL * begun.sent;
            let due: Vec<IpAddr> =
                self.begun.iter().filter(|(_, begun)| due(begun)).map(|(ip, _)| *ip).collect();
            for ip in due {
                self.probe(interface, ip)?;
                self.begun.entry(ip).and_modify(|begun| begun.sent += 1);
            }
            sleep(LOOK_INTERVAL);
        }
    }

    /// Tells the network of an interface that `ip` is reached by it.
    ///
    /// # Errors
    /// There is no such interface, it has no hardware address, or the system refuses.
    pub fn announce(&self, interface: &str, ip: IpAddr) -> io::Result<()> {
        announce_by(&self.packets, interface, ip)
    }

    fn probe(&self, interface: &str, ip: IpAddr) -> io::Result<()> {
        let index = if_nametoindex(interface)?;
        match ip {
            IpAddr::V4(ip) => {
                let packet = arp_probe(hardware_address(interface)?, ip);
                send(&self.packets, index, ARP, BROADCAST, &packet)
            }
            IpAddr::V6(ip) => {
                let [.., a, b, c] = ip.octets();
                let group = [0x33, 0x33, 0xff, a, b, c];
                send(&self.packets, index, IPV6, group, &solicitation(ip))
            }
        }
    }

    /// Takes in what has arrived.
    fn receive(&mut self, index: u32, own: Hardware) {
        let mut room = [0; 128];
        while let Ok((length, from)) = recvfrom::<LinkAddr>(self.packets.as_raw_fd(), &mut room) {
            let here = from.is_some_and(|from| u32::try_from(from.ifindex()) == Ok(index));
            let found = arp_claim(room.get(..length).unwrap_or_default()).filter(|_| here);
            self.note(found.map(|(ip, hardware)| (ip.into(), hardware)), own);
        }
        let Some(socket) = &self.advertisements else { return };
        let fd = socket.as_raw_fd();
        while let Ok((length, _)) = recvfrom::<SockaddrIn6>(fd, &mut room) {
            let found = advertised(room.get(..length).unwrap_or_default());
            self.note(found.map(|(ip, hardware)| (ip.into(), hardware)), own);
        }
    }

    fn note(&mut self, found: Option<(IpAddr, Hardware)>, own: Hardware) {
        if let Some((ip, hardware)) = found.filter(|(_, hardware)| *hardware != own) {
            self.begun.entry(ip).and_modify(|begun| begun.by = Some(hardware));
        }
    }

    /// Throws away what arrived while nobody was looked for.
    fn drain(&self) {
        let mut room = [0; 1];
        while recvfrom::<LinkAddr>(self.packets.as_raw_fd(), &mut room).is_ok() {}
        if let Some(socket) = &self.advertisements {
            while recvfrom::<SockaddrIn6>(socket.as_raw_fd(), &mut room).is_ok() {}
        }
    }
}

/// True if hosts behind an interface are found by ARP and neighbour discovery.
fn has_neighbours(interface: &str) -> io::Result<bool> {
    let flags = getifaddrs()?.find(|one| one.interface_name == interface).map(|one| one.flags);
    let flags = flags.ok_or_else(|| io::Error::other(format!("there is no interface {interface}")))?;
    let without = InterfaceFlags::IFF_LOOPBACK | InterfaceFlags::IFF_NOARP | InterfaceFlags::IFF_POINTOPOINT;
    // Nothing leaves one that is down.
    Ok(!flags.intersects(without)
        && flags.contains(InterfaceFlags::IFF_UP)
        && hardware_address(interface).is_ok())
}

/// Neighbour advertisements alone.
fn advertisements() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    socket.set_nonblocking(true)?;
    // A bit that is set keeps a type out (RFC 3542, section 3.2).
    let mut filter = [u32::MAX; 8];
    filter[136 / 32] &= !(1 << (136 % 32));
    // SAFETY: the filter is live for the call, with its length.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_ICMPV6,
            1, // ICMP6_FILTER
            filter.as_ptr().cast(),
            32,
        )
    };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}

/// A request from nobody (RFC 5227, section 2.1.1).
fn arp_probe(hardware: Hardware, ip: Ipv4Addr) -> [u8; 28] {
    let mut packet = arp(hardware, ip);
    if let Some(sender) = packet.get_mut(14..18) {
        sender.fill(0);
    }
    packet
}

/// The address that a packet of ARP shows to be another host's, and that host: its sender has it, or is about to, as we are.
fn arp_claim(packet: &[u8]) -> Option<(Ipv4Addr, Hardware)> {
    let (head, rest) = packet.split_first_chunk::<8>()?;
    if head[..6] != [0, 1, 8, 0, 6, 4] {
        return None;
    }
    let (hardware, rest) = rest.split_first_chunk::<6>()?;
    let (sender, rest) = rest.split_first_chunk::<4>()?;
    let (_, rest) = rest.split_first_chunk::<6>()?;
    let (target, _) = rest.split_first_chunk::<4>()?;
    let is_probe = *sender == [0; 4] && head[6..] == [0, 1];
    Some((Ipv4Addr::from(if is_probe { *target } else { *sender }), *hardware))
}

/// A neighbour solicitation from nobody, with its IPv6 header.
fn solicitation(ip: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c] = ip.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    let mut message = [0; 24];
    let (head, target) = message.split_at_mut(8);
    head.copy_from_slice(&[135, 0, 0, 0, 0, 0, 0, 0]);
    target.copy_from_slice(&ip.octets());
    icmpv6(Ipv6Addr::UNSPECIFIED, group, &message)
}

/// The address of a neighbour advertisement, and the host that has it; zeros where it does not say which.
fn advertised(message: &[u8]) -> Option<(Ipv6Addr, Hardware)> {
    let (head, rest) = message.split_first_chunk::<8>()?;
    let (target, mut options) = rest.split_first_chunk::<16>()?;
    if head[..2] != [136, 0] {
        return None;
    }
    let mut hardware = Hardware::default();
    while let Some(([kind, units], _)) = options.split_first_chunk::<2>() {
        let (option, rest) = options.split_at_checked(usize::from(*units).max(1) * 8)?;
        if *kind == 2 {
            hardware = option.get(2..8)?.try_into().ok()?;
        }
        options = rest;
    }
    Some((Ipv6Addr::from(*target), hardware))
}

#[cfg(test)]
mod tests;
