//! Addresses as text, without the machinery of `core::fmt` where there are many: one is in every request's head, and
//! four are in its line of the access log.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

/// Writes an address as [`IpAddr`] displays itself.
///
/// # Errors
/// The sink's.
pub(crate) fn ip(out: &mut impl Write, address: IpAddr) -> io::Result<()> {
    let IpAddr::V4(address) = address else { return write!(out, "{address}") };
    // The longest is 255.255.255.255.
    let mut text = [b'.'; 15];
    let mut used = 0;
    for byte in address.octets() {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(byte).as_bytes();
        if let Some(place) = text.get_mut(used..used + digits.len()) {
            place.copy_from_slice(digits);
        }
        used += digits.len() + 1;
    }
    out.write_all(text.get(..used - 1).unwrap_or_default())
}

/// Writes an address and a port as [`SocketAddr`] displays itself.
///
/// # Errors
/// The sink's.
pub(crate) fn socket(out: &mut impl Write, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() {
        return write!(out, "{address}");
    }
    ip(out, address.ip())?;
    out.write_all(b":")?;
    out.write_all(itoa::Buffer::new().format(address.port()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_they_display_themselves() {
        let v4 = ["0.0.0.0", "255.255.255.255", "192.0.2.1", "10.20.99.100", "9.10.0.249"];
        let v6 = ["::", "::1", "2001:db8::1:2", "::ffff:192.0.2.1"];
        for address in v4.iter().chain(&v6).map(|text| text.parse::<IpAddr>().unwrap()) {
            let mut out = Vec::new();
            ip(&mut out, address).unwrap();
            assert_eq!(out, address.to_string().as_bytes());
            for port in [0, 9, 80, 65_535] {
                let address = SocketAddr::new(address, port);
                out.clear();
                socket(&mut out, address).unwrap();
                assert_eq!(out, address.to_string().as_bytes());
            }
        }
        let mut short = [0; 8];
        assert!(ip(&mut short.as_mut_slice(), v4[1].parse().unwrap()).is_err(), "nothing is cut in silence");
    }
}
