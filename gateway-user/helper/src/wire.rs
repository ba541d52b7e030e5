//! Pieces of messages: numbers in little endian, addresses, sets of ports, short texts. Every one has a size
//! that is known before it is read, or a bound that is checked before it is taken.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use gateway_ir::BindAddress;

/// Version of the messages. A helper speaks those from [`OLDEST_PROTOCOL`] on, and a gateway the newest that its helper
/// does.
pub const PROTOCOL: u16 = 2;

/// Version without stand-bys.
pub const OLDEST_PROTOCOL: u16 = 1;

/// Largest packet, in bytes.
pub const MAX_PACKET: usize = 20 * 1024;

/// Longest text, in bytes; what is longer is cut.
pub(crate) const MAX_TEXT: usize = 1024;

/// Bytes of a set of ports: one bit for each.
const PORTS: usize = 8192;

/// Bytes that are no message: too short, too long, or with a value that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed message")]
pub struct Malformed;

/// The rest of a packet, still to be read.
pub(crate) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    pub(crate) fn ip(&mut self) -> Result<IpAddr, Malformed> {
        match self.bind_address()? {
            BindAddress::Ip(ip) => Ok(ip),
            BindAddress::Any => Err(Malformed),
        }
    }

    pub(crate) fn bind_address(&mut self) -> Result<BindAddress, Malformed> {
        let (family, bytes) = (self.u8()?, self.array::<16>()?);
        let [a, b, c, d, rest @ ..] = bytes;
        let ip = match family {
            0 if bytes == [0; 16] => return Ok(BindAddress::Any),
            4 if rest == [0; 12] => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            6 => IpAddr::V6(Ipv6Addr::from(bytes)),
            _ => return Err(Malformed),
        };
        Ok(BindAddress::Ip(ip))
    }

    pub(crate) fn ports(&mut self) -> Result<BTreeSet<u16>, Malformed> {
        let bits = self.take(PORTS)?;
        let is_in = |port: &u16| {
            let byte = bits.get(usize::from(port / 8)).copied().unwrap_or_default();
            byte & (1 << (port % 8)) != 0
        };
        Ok((0..=u16::MAX).filter(is_in).collect())
    }

    /// A text of at most `most` bytes, which its length says.
    pub(crate) fn text(&mut self, most: usize) -> Result<String, Malformed> {
        let length = usize::from(self.u16()?);
        if length > most {
            return Err(Malformed);
        }
        String::from_utf8(self.take(length)?.to_vec()).map_err(|_| Malformed)
    }

    /// The end: an error if anything is left.
    pub(crate) fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

pub(crate) fn put_bind_address(bytes: &mut Vec<u8>, address: BindAddress) {
    let (family, raw) = match address {
        BindAddress::Any => (0, [0; 16]),
        BindAddress::Ip(IpAddr::V4(ip)) => {
            let [a, b, c, d] = ip.octets();
            (4, [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        }
        BindAddress::Ip(IpAddr::V6(ip)) => (6, ip.octets()),
    };
    bytes.push(family);
    bytes.extend(raw);
}

pub(crate) fn put_ports(bytes: &mut Vec<u8>, ports: &BTreeSet<u16>) {
    let mut bits = [0_u8; PORTS];
    for port in ports {
        if let Some(byte) = bits.get_mut(usize::from(port / 8)) {
            *byte |= 1 << (port % 8);
        }
    }
    bytes.extend(bits);
}

pub(crate) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let text = text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or_default();
    bytes.extend(u16::try_from(text.len()).unwrap_or_default().to_le_bytes());
    bytes.extend(text.as_bytes());
}
