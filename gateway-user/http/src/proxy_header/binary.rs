//! Version 2: binary (section 2.2).

use std::net::{IpAddr, SocketAddr};

use super::{MAX_HEADER, Parsed, Proxied, ProxyHeaderError};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes before the addresses: signature, version and command, family and transport, length.
const FIXED: usize = 16;

/// The commands.
const LOCAL: u8 = 0;
const PROXY: u8 = 1;

/// Families and transports, as they share a byte.
const UNSPEC: u8 = 0x00;
pub(super) const TCP_OVER_IPV4: u8 = 0x11;
pub(super) const TCP_OVER_IPV6: u8 = 0x21;

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, ProxyHeaderError> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else { return Ok(Parsed::Incomplete) };
    let [.., version_command, family, high, low] = *fixed;
    if version_command >> 4 != 2 {
        return Err(ProxyHeaderError::UnknownVersion);
    }
    let command = version_command & 0xf;
    if command != LOCAL && command != PROXY {
        return Err(ProxyHeaderError::UnknownCommand);
    }
    if command == PROXY && ![UNSPEC, TCP_OVER_IPV4, TCP_OVER_IPV6].contains(&family) {
        return Err(ProxyHeaderError::UnsupportedFamily);
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    let consumed = FIXED + length;
    if consumed > MAX_HEADER {
        return Err(ProxyHeaderError::TooLong);
    }
    let Some(block) = rest.get(..length) else { return Ok(Parsed::Incomplete) };
    let source = match (command, family) {
        (PROXY, TCP_OVER_IPV4) => Some(addresses::<4>(block)?),
        (PROXY, TCP_OVER_IPV6) => Some(addresses::<16>(block)?),
        // The whole block is to be skipped, and the family with `LOCAL` ignored.
        _ => None,
    };
    Ok(Parsed::Complete { consumed, source })
}

/// Both addresses of so many bytes, then both ports, then TLVs.
fn addresses<const N: usize>(block: &[u8]) -> Result<Proxied, ProxyHeaderError>
where
    IpAddr: From<[u8; N]>,
{
    let (client, rest) = block.split_first_chunk::<N>().ok_or(ProxyHeaderError::TooShort)?;
    let (destination, rest) = rest.split_first_chunk::<N>().ok_or(ProxyHeaderError::TooShort)?;
    let (client_port, rest) = rest.split_first_chunk::<2>().ok_or(ProxyHeaderError::TooShort)?;
    let (destination_port, tlvs) = rest.split_first_chunk::<2>().ok_or(ProxyHeaderError::TooShort)?;
    skip(tlvs)?;
    let join =
        |address: &[u8; N], port: &[u8; 2]| SocketAddr::new((*address).into(), u16::from_be_bytes(*port));
    Ok(Proxied { client: join(client, client_port), destination: join(destination, destination_port) })
}

/// TLVs of which nothing is needed: type, length in two bytes, value.
fn skip(mut tlvs: &[u8]) -> Result<(), ProxyHeaderError> {
    while !tlvs.is_empty() {
        let ([_, high, low], rest) = tlvs.split_first_chunk::<3>().ok_or(ProxyHeaderError::BadTlv)?;
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        tlvs = rest.get(length..).ok_or(ProxyHeaderError::BadTlv)?;
    }
    Ok(())
}
