//! Keys and values of the steering map.

/// `IPPROTO_TCP`, the only protocol steered so far; it is in the key so that UDP needs no new layout.
pub const IPPROTO_TCP: u8 = 6;

/// Most binds (address and port) at a time.
pub const MAX_BINDS: u32 = 65_536;

/// The one meaningful [`SteerValue::state`]: steer to the workers.
pub const STATE_SERVE: u32 = 1;

/// Where a connection is addressed to.
#[repr(C, align(4))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SteerKey {
    /// The address in network byte order, IPv4 as `::ffff:a.b.c.d`; all zero for every address of both families.
    pub addr_be: [u8; 16],
    /// The port in host byte order.
    pub port: u16,
    /// The IP protocol, [`IPPROTO_TCP`].
    pub protocol: u8,
    /// Zero: the kernel compares whole keys, byte by byte.
    pub pad: u8,
}

/// What is to be done with connections to a [`SteerKey`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SteerValue {
    /// [`STATE_SERVE`]; any other value is counted as broken and the packet dropped.
    pub state: u32,
}

/// Process-wide settings of the programs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SteerConfig {
    /// Slots in use: `0..slots`, at most [`MAX_SLOTS`](crate::MAX_SLOTS).
    pub slots: u32,
}

impl SteerKey {
    /// Key of every local address with this port.
    #[inline(always)]
    #[must_use]
    pub const fn any(port: u16, protocol: u8) -> Self {
        Self { addr_be: [0; 16], port, protocol, pad: 0 }
    }

    /// Key of one address; IPv4 as v4-mapped IPv6.
    #[cfg(feature = "user")]
    #[must_use]
    pub fn exact(address: std::net::IpAddr, port: u16, protocol: u8) -> Self {
        let addr_be = match address {
            std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            std::net::IpAddr::V6(v6) => v6.octets(),
        };
        Self { addr_be, port, protocol, pad: 0 }
    }
}

const _: () = assert!(size_of::<SteerKey>() == 20 && align_of::<SteerKey>() == 4);
const _: () = assert!(size_of::<SteerValue>() == 4 && align_of::<SteerValue>() == 4);
const _: () = assert!(size_of::<SteerConfig>() == 4 && align_of::<SteerConfig>() == 4);

#[cfg(all(test, feature = "user"))]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_is_v4_mapped() {
        let v4 = SteerKey::exact([192, 0, 2, 7].into(), 80, IPPROTO_TCP);
        let mapped = SteerKey::exact("::ffff:192.0.2.7".parse().unwrap(), 80, IPPROTO_TCP);
        assert_eq!(v4, mapped);
        assert_eq!(v4.addr_be[10..], [0xff, 0xff, 192, 0, 2, 7]);
    }

    #[test]
    fn every_address_is_all_zero() {
        let any = SteerKey::any(443, IPPROTO_TCP);
        assert_eq!(any, SteerKey::exact("::".parse().unwrap(), 443, IPPROTO_TCP));
        assert_ne!(any, SteerKey::exact([0, 0, 0, 0].into(), 443, IPPROTO_TCP));
    }
}
