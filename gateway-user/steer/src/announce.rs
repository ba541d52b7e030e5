//! Words to a network that an address is here: gratuitous ARP (RFC 5227, section 2.3) and unsolicited neighbour
//! advertisements (RFC 4861, section 7.2.6).

// Sockets of packets take an address that std does not know.
#![allow(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd as _;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use socket2::{Domain, Socket, Type};

/// `ETH_P_ARP`.
pub(crate) const ARP: u16 = 0x0806;
/// Every station of the link.
pub(crate) const BROADCAST: [u8; 6] = [0xff; 6];
/// `ETH_P_IPV6`.
pub(crate) const IPV6: u16 = 0x86dd;
/// The station of [`ALL_NODES`].
const ALL_NODES_STATION: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
/// Every node of the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Tells the network of an interface that `ip` is reached by it. Takes CAP_NET_RAW.
///
/// # Errors
/// There is no such interface, it has no hardware address, or the system refuses.
pub fn announce(interface: &str, ip: IpAddr) -> io::Result<()> {
    announce_by(&Socket::new(Domain::PACKET, Type::DGRAM, None)?, interface, ip)
}

/// The same by a socket of packets that is there.
pub(crate) fn announce_by(packets: &Socket, interface: &str, ip: IpAddr) -> io::Result<()> {
    let index = if_nametoindex(interface)?;
    let hardware = hardware_address(interface)?;
    match ip {
        IpAddr::V4(ip) => send(packets, index, ARP, BROADCAST, &arp(hardware, ip)),
        IpAddr::V6(ip) => {
            let packet = icmpv6(ip, ALL_NODES, &advertisement(hardware, ip));
            send(packets, index, IPV6, ALL_NODES_STATION, &packet)
        }
    }
}

pub(crate) fn hardware_address(interface: &str) -> io::Result<[u8; 6]> {
    let mut all = getifaddrs()?.filter(|one| one.interface_name == interface);
    let found = all.find_map(|one| one.address?.as_link_addr()?.addr());
    found.ok_or_else(|| io::Error::other(format!("interface {interface} has no hardware address")))
}

/// A request for our own address: whoever has an entry for it corrects that.
pub(crate) fn arp(hardware: [u8; 6], ip: Ipv4Addr) -> [u8; 28] {
    let mut packet = [0; 28];
    let (head, rest) = packet.split_at_mut(8);
    // Ethernet, IPv4, lengths of their addresses, request.
    head.copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
    let (sender, target) = rest.split_at_mut(10);
    sender[..6].copy_from_slice(&hardware);
    sender[6..].copy_from_slice(&ip.octets());
    target[6..].copy_from_slice(&ip.octets());
    packet
}

/// An advertisement that overrides what is known.
fn advertisement(hardware: [u8; 6], ip: Ipv6Addr) -> [u8; 32] {
    let mut packet = [0; 32];
    let (head, rest) = packet.split_at_mut(8);
    // Type, code, checksum, and the flag that overrides.
    head.copy_from_slice(&[136, 0, 0, 0, 0x20, 0, 0, 0]);
    let (target, option) = rest.split_at_mut(16);
    target.copy_from_slice(&ip.octets());
    // Target link-layer address, of one unit of eight bytes.
    option[..2].copy_from_slice(&[2, 1]);
    option[2..].copy_from_slice(&hardware);
    packet
}

/// Sends a packet to a station of an interface's link.
pub(crate) fn send(
    socket: &Socket,
    index: u32,
    protocol: u16,
    station: [u8; 6],
    packet: &[u8],
) -> io::Result<()> {
    // SAFETY: every bit pattern is a value of this C structure of integers, zero included.
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    to.sll_family = libc::AF_PACKET.try_into().map_err(io::Error::other)?;
    to.sll_protocol = protocol.to_be();
    to.sll_ifindex = index.try_into().map_err(io::Error::other)?;
    to.sll_halen = 6;
    to.sll_addr[..6].copy_from_slice(&station);
    let length = size_of_val(&to).try_into().map_err(io::Error::other)?;
    // SAFETY: packet and address are live for the call, with their lengths.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            packet.as_ptr().cast(),
            packet.len(),
            0,
            (&raw const to).cast(),
            length,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A message of ICMPv6 behind its IPv6 header, with its checksum.
pub(crate) fn icmpv6(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or_default();
    // Version, length, ICMPv6, and the hop limit that no router leaves as it is: one that a router could have passed on is not
    // believed (RFC 4861, section 7.1).
    let [high, low] = length.to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, high, low, 58, 255];
    packet.extend(from.octets());
    packet.extend(to.octets());
    let sum = checksum(from, to, message);
    let (head, rest) = message.split_at_checked(4).unwrap_or((message, &[]));
    packet.extend(head.iter().take(2));
    packet.extend(sum.to_be_bytes());
    packet.extend(rest);
    packet
}

/// Checksum of an ICMPv6 message, whose own field counts (RFC 8200, section 8.1).
pub(crate) fn checksum(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> u16 {
    let words = |bytes: &[u8]| -> u32 {
        bytes.chunks(2).map(|pair| pair.iter().fold(0, |word, byte| word << 8 | u32::from(*byte))).sum()
    };
    let length = u32::try_from(message.len()).unwrap_or_default();
    let mut sum = words(&from.octets()) + words(&to.octets()) + words(message) + length + 58;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_those_of_the_standards() {
        let hardware = [2, 0, 0, 0, 0, 9];
        assert_eq!(
            arp(hardware, Ipv4Addr::new(192, 0, 2, 7)),
            [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9, 192, 0, 2, 7, 0, 0, 0, 0, 0, 0, 192, 0, 2, 7]
        );
        let ip: Ipv6Addr = "2001:db8::7".parse().unwrap();
        let packet = advertisement(hardware, ip);
        assert_eq!((packet[0], packet[4]), (136, 0x20));
        assert_eq!(packet[8..24], ip.octets());
        assert_eq!(packet[24..], [2, 1, 2, 0, 0, 0, 0, 9]);
    }
}
