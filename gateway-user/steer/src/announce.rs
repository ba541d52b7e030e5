//! Words to a network that an address is here: gratuitous ARP (RFC 5227, section 2.3) and unsolicited neighbour
//! advertisements (RFC 4861, section 7.2.6).

// Sockets of packets take an address that std does not know.
#![allow(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd as _;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use socket2::{Domain, Protocol, Socket, Type};

/// `ETH_P_ARP`.
const ARP: u16 = 0x0806;
/// Every node of the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Tells the network of an interface that `ip` is reached by it. Takes CAP_NET_RAW.
///
/// # Errors
/// There is no such interface, it has no hardware address, or the system refuses.
pub fn announce(interface: &str, ip: IpAddr) -> io::Result<()> {
    let index = if_nametoindex(interface)?;
    let hardware = hardware_address(interface)?;
    match ip {
        IpAddr::V4(ip) => send_arp(index, &arp(hardware, ip)),
        IpAddr::V6(ip) => send_advertisement(index, ip, &advertisement(hardware, ip)),
    }
}

fn hardware_address(interface: &str) -> io::Result<[u8; 6]> {
    let mut all = getifaddrs()?.filter(|one| one.interface_name == interface);
    let found = all.find_map(|one| one.address?.as_link_addr()?.addr());
    found.ok_or_else(|| io::Error::other(format!("interface {interface} has no hardware address")))
}

/// A request for our own address: whoever has an entry for it corrects that.
fn arp(hardware: [u8; 6], ip: Ipv4Addr) -> [u8; 28] {
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

/// An advertisement that overrides what is known. The kernel fills in the checksum.
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

fn send_arp(index: u32, packet: &[u8]) -> io::Result<()> {
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
    // SAFETY: every bit pattern is a value of this C structure of integers, zero included.
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    to.sll_family = libc::AF_PACKET.try_into().map_err(io::Error::other)?;
    to.sll_protocol = ARP.to_be();
    to.sll_ifindex = index.try_into().map_err(io::Error::other)?;
    to.sll_halen = 6;
    to.sll_addr[..6].copy_from_slice(&[0xff; 6]);
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

fn send_advertisement(index: u32, ip: Ipv6Addr, packet: &[u8]) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    // RFC 4861, section 7.1.2: one that a router could have passed on is not believed.
    socket.set_multicast_hops_v6(255)?;
    socket.set_multicast_if_v6(index)?;
    socket.bind(&SocketAddrV6::new(ip, 0, 0, 0).into())?;
    socket.send_to(packet, &SocketAddrV6::new(ALL_NODES, 0, 0, index).into()).map(drop)
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
