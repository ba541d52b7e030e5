//! Keys and values of the steering map.

/// `IPPROTO_TCP` (linux/in.h), the only protocol steered so far; it is in the key so that UDP needs
/// no new layout.
pub const IPPROTO_TCP: u8 = 6;

/// Most binds (address and port) at a time: entries of the map.
pub const MAX_BINDS: u32 = 65_536;

/// Most networks of [`SteerGuard::pool`]; bounds the program's loop.
pub const MAX_POOL: usize = 64;

/// The one meaningful [`SteerValue::state`]: steer to the workers.
pub const STATE_SERVE: u32 = 1;

/// The address and port that a connection is made to.
#[repr(C, align(4))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SteerKey {
    /// The address in network byte order, IPv4 as `::ffff:a.b.c.d`; all zero for every address of
    /// both families.
    pub addr_be: [u8; 16],
    /// The port in host byte order.
    pub port: u16,
    /// The IP protocol, [`IPPROTO_TCP`].
    pub protocol: u8,
    /// Zero: the kernel compares whole keys, byte by byte.
    pub pad: u8,
}

/// The treatment of connections to a [`SteerKey`].
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

/// Ports and networks that are never steered, whatever the map of binds holds. They lie in the program's
/// read-only data, which is frozen before the program is loaded (bpf(2), `BPF_MAP_FREEZE`): neither a holder
/// of the maps' descriptors nor a defect of the user side can take the node's own services.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SteerGuard {
    /// Ports that are left to the host: bit `port % 64` of word `port / 64`.
    pub reserved: [u64; 1024],
    /// Networks whose addresses are not the node's own, and on which no port is reserved.
    pub pool: [PoolNetwork; MAX_POOL],
    /// Number of these networks, at most [`MAX_POOL`].
    pub networks: u32,
    /// Zero.
    pub pad: u32,
}

/// A network; IPv4 as `::ffff:a.b.c.d`. Each word holds four bytes in network byte order.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolNetwork {
    /// Its address.
    pub address_be: [u32; 4],
    /// Its mask.
    pub mask_be: [u32; 4],
}

impl SteerGuard {
    /// Nothing is reserved.
    pub const NONE: Self = Self {
        reserved: [0; 1024],
        pool: [PoolNetwork { address_be: [0; 4], mask_be: [0; 4] }; MAX_POOL],
        networks: 0,
        pad: 0,
    };

    /// Reserves a port.
    #[cfg(feature = "user")]
    pub fn reserve(&mut self, port: u16) {
        if let Some(word) = self.reserved.get_mut(usize::from(port / 64)) {
            *word |= 1 << (port % 64);
        }
    }

    /// Exempts a network, `prefix` being the number of its leading bits; false if there is no room for it, or
    /// if the prefix is longer than the address.
    #[cfg(feature = "user")]
    #[must_use]
    pub fn exempt(&mut self, address: std::net::IpAddr, prefix: u8) -> bool {
        let (bytes, prefix) = match address {
            std::net::IpAddr::V4(v4) => (v4.to_ipv6_mapped().octets(), u32::from(prefix) + 96),
            std::net::IpAddr::V6(v6) => (v6.octets(), u32::from(prefix)),
        };
        let Some(mask) = 128_u32.checked_sub(prefix).map(|host| u128::MAX.checked_shl(host).unwrap_or(0))
        else {
            return false;
        };
        let Some(network) = self.pool.get_mut(self.networks as usize) else { return false };
        let address = u128::from_be_bytes(bytes) & mask;
        *network = PoolNetwork { address_be: words(address), mask_be: words(mask) };
        self.networks += 1;
        true
    }
}

/// The number as four words of bytes in network byte order, first to last.
#[cfg(feature = "user")]
fn words(number: u128) -> [u32; 4] {
    [96, 64, 32, 0].map(|shift| ((number >> shift) as u32).to_be())
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
const _: () = assert!(size_of::<PoolNetwork>() == 32 && align_of::<PoolNetwork>() == 4);
const _: () = assert!(size_of::<SteerGuard>() == 8192 + 32 * MAX_POOL + 8 && align_of::<SteerGuard>() == 8);

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
    fn a_guard_has_a_bit_for_each_port_and_networks_of_both_families() {
        let mut guard = SteerGuard::NONE;
        for port in [0, 22, 65_535] {
            guard.reserve(port);
        }
        assert_eq!(guard.reserved[0], 1 | 1 << 22);
        assert_eq!(guard.reserved[1023], 1 << 63);
        assert!(guard.exempt([192, 0, 2, 77].into(), 25) && guard.exempt("2001:db8::1".parse().unwrap(), 0));
        assert!(!guard.exempt([192, 0, 2, 7].into(), 33), "no prefix of IPv4");
        let v4 = guard.pool[0];
        assert_eq!(v4.address_be.map(u32::from_be), [0, 0, 0xffff, 0xc000_0200]);
        assert_eq!(v4.mask_be.map(u32::from_be), [u32::MAX, u32::MAX, u32::MAX, 0xffff_ff80]);
        assert_eq!((guard.pool[1].mask_be, guard.networks), ([0; 4], 2));
        while guard.networks < 64 {
            assert!(guard.exempt([10, 0, 0, 1].into(), 32));
        }
        assert!(!guard.exempt([10, 0, 0, 1].into(), 32), "no room");
    }

    #[test]
    fn every_address_is_all_zero() {
        let any = SteerKey::any(443, IPPROTO_TCP);
        assert_eq!(any, SteerKey::exact("::".parse().unwrap(), 443, IPPROTO_TCP));
        assert_ne!(any, SteerKey::exact([0, 0, 0, 0].into(), 443, IPPROTO_TCP));
    }
}
