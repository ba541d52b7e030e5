//! Version 1: a line of text (section 2.1).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Parsed, Proxied, ProxyHeaderError};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";
/// Most bytes of the line, CRLF and all.
const MAX_LINE: usize = 107;

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, ProxyHeaderError> {
    let line = bytes.get(..MAX_LINE).unwrap_or(bytes);
    let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
        return if line.len() < MAX_LINE {
            Ok(Parsed::Incomplete)
        } else {
            Err(ProxyHeaderError::LineTooLong)
        };
    };
    let text = line.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(ProxyHeaderError::BadLine)?;
    if !text.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(ProxyHeaderError::BadLine);
    }
    let text = std::str::from_utf8(text).map_err(|_| ProxyHeaderError::BadLine)?;
    Ok(Parsed::Complete { consumed: end + 1, source: source(text)? })
}

fn source(line: &str) -> Result<Option<Proxied>, ProxyHeaderError> {
    let mut parts = line.split(' ').skip(1);
    match parts.next().ok_or(ProxyHeaderError::BadLine)? {
        // The rest is to be ignored.
        "UNKNOWN" => Ok(None),
        "TCP4" => addresses::<Ipv4Addr>(parts).map(Some),
        "TCP6" => addresses::<Ipv6Addr>(parts).map(Some),
        "" => Err(ProxyHeaderError::BadLine),
        _ => Err(ProxyHeaderError::UnsupportedFamily),
    }
}

/// Both addresses, then both ports. An empty part is a second blank.
fn addresses<'a, A>(mut parts: impl Iterator<Item = &'a str>) -> Result<Proxied, ProxyHeaderError>
where
    A: FromStr + Into<std::net::IpAddr>,
{
    let mut part = || parts.next().filter(|part: &&str| !part.is_empty()).ok_or(ProxyHeaderError::BadLine);
    let [client, destination, client_port, destination_port] = [part()?, part()?, part()?, part()?];
    if parts.next().is_some() {
        return Err(ProxyHeaderError::BadLine);
    }
    let join = |address: &str, port: &str| {
        let address: A = address.parse().map_err(|_| ProxyHeaderError::BadAddress)?;
        Ok(SocketAddr::new(address.into(), self::port(port)?))
    };
    Ok(Proxied { client: join(client, client_port)?, destination: join(destination, destination_port)? })
}

fn port(text: &str) -> Result<u16, ProxyHeaderError> {
    // `u16` would take a sign and leading zeros.
    let canonical = text == "0" || text.starts_with(|first: char| matches!(first, '1'..='9'));
    if canonical {
        text.parse().map_err(|_| ProxyHeaderError::BadAddress)
    } else {
        Err(ProxyHeaderError::BadAddress)
    }
}
