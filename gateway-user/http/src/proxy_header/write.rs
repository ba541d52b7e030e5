//! Headers for backends that want to know their client.

use std::io::Write as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::{Proxied, binary};

/// Version 2 and `PROXY`.
const VERSION_AND_COMMAND: u8 = 0x21;

/// Both addresses, of one family: a header has no room for two.
enum Pair {
    V4([u8; 4], [u8; 4]),
    V6([u8; 16], [u8; 16]),
}

impl Proxied {
    /// The header in version 1: a line of text, of 107 bytes at most (section 2.1). Of two families both addresses are
    /// written as IPv6 ones, the IPv4 address v4-mapped (RFC 4291 section 2.5.5.2).
    pub fn to_line(self) -> Vec<u8> {
        let mut line = Vec::with_capacity(107);
        let ports = (self.client.port(), self.destination.port());
        // A vector takes all that is written.
        let _ = match self.pair() {
            Pair::V4(client, destination) => {
                let (client, destination) = (IpAddr::from(client), IpAddr::from(destination));
                write!(line, "PROXY TCP4 {client} {destination} {} {}\r\n", ports.0, ports.1)
            }
            Pair::V6(client, destination) => {
                let (client, destination) = (IpAddr::from(client), IpAddr::from(destination));
                write!(line, "PROXY TCP6 {client} {destination} {} {}\r\n", ports.0, ports.1)
            }
        };
        line
    }

    /// The header in version 2: 28 bytes, or 52 (section 2.2); families as in [`to_line`](Self::to_line).
    pub fn to_binary(self) -> Vec<u8> {
        let mut header = Vec::with_capacity(52);
        header.extend_from_slice(binary::SIGNATURE);
        header.push(VERSION_AND_COMMAND);
        match self.pair() {
            Pair::V4(client, destination) => {
                header.extend_from_slice(&[binary::TCP_OVER_IPV4, 0, 12]);
                header.extend([client, destination].concat());
            }
            Pair::V6(client, destination) => {
                header.extend_from_slice(&[binary::TCP_OVER_IPV6, 0, 36]);
                header.extend([client, destination].concat());
            }
        }
        header.extend_from_slice(&self.client.port().to_be_bytes());
        header.extend_from_slice(&self.destination.port().to_be_bytes());
        header
    }

    fn pair(self) -> Pair {
        match (self.client.ip(), self.destination.ip()) {
            (IpAddr::V4(client), IpAddr::V4(destination)) => Pair::V4(client.octets(), destination.octets()),
            _ => Pair::V6(mapped(self.client).octets(), mapped(self.destination).octets()),
        }
    }
}

fn mapped(address: SocketAddr) -> Ipv6Addr {
    match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}
