//! The addresses that endpoints may have, wherever the gateway runs.
//!
//! A team that may write EndpointSlices could name any address, and the gateway would connect there as
//! itself: to what listens on loopback for the machine alone, or to the cloud's metadata service, which is
//! link-local. The verdict here depends on the address and on settings only, so it is the same on every node;
//! what a node makes of its own addresses is its own affair (`gateway_control::own_ports`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Most addresses that a message lists.
const LISTED_MAX: usize = 3;

/// Endpoint addresses that are used. The default uses all of them, as fits files, whose writer is the
/// machine's operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointPolicy {
    /// True if loopback, link-local, multicast, broadcast and unspecified addresses are refused, unless a
    /// network that lies within such a range is among `networks`.
    pub refuse_special: bool,
    /// Networks in which endpoints may lie; empty is everywhere.
    pub networks: Vec<IpNet>,
}

/// Why an address is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AddressRefusal {
    /// Of the named range, such as "loopback".
    Special(&'static str),
    /// In none of the operator's networks.
    Outside,
}

impl EndpointPolicy {
    /// True if any address can be refused at all.
    pub(crate) fn is_active(&self) -> bool {
        self.refuse_special || !self.networks.is_empty()
    }

    /// Why `address` is not used, if it is not. IPv4-mapped IPv6 addresses (RFC 4291, section 2.5.5.2) count
    /// as IPv4, which is what the kernel connects to.
    pub(crate) fn refuses(&self, address: IpAddr) -> Option<AddressRefusal> {
        let address = address.to_canonical();
        let special = special(address).filter(|_| self.refuse_special);
        let mut within = self.networks.iter().filter(|network| network.contains(&address));
        match special {
            Some(kind) => {
                let named = within.any(|network| is_within(network, kind));
                (!named).then_some(AddressRefusal::Special(kind))
            }
            None if self.networks.is_empty() => None,
            None => within.next().is_none().then_some(AddressRefusal::Outside),
        }
    }
}

/// The range of addresses with a meaning of its own that this one is of, if it is of one.
fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        // "This network" (RFC 1122, section 3.2.1.3): Linux connects to 0.0.0.0 on loopback.
        [0, ..] => Some("unspecified"),
        [127, ..] => Some("loopback"),
        [169, 254, ..] => Some("link-local"),
        [255, 255, 255, 255] => Some("broadcast"),
        [224..=239, ..] => Some("multicast"),
        _ => None,
    }
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    match address {
        one if one.is_unspecified() => Some("unspecified"),
        one if one.is_loopback() => Some("loopback"),
        one if one.is_unicast_link_local() => Some("link-local"),
        one if one.is_multicast() => Some("multicast"),
        _ => None,
    }
}

/// True if all of a network is of one range: `0.0.0.0/0` holds loopback without naming it.
fn is_within(network: &IpNet, kind: &str) -> bool {
    [network.network(), network.broadcast()].into_iter().all(|end| special(end) == Some(kind))
}

/// The message about refused addresses: the first few with their reasons, how many more there are, and what
/// to do.
pub(crate) fn describe(refused: &[(IpAddr, AddressRefusal)]) -> String {
    let reason = |(address, why): &(IpAddr, AddressRefusal)| match why {
        AddressRefusal::Special(kind) => format!("{address} is {kind}"),
        AddressRefusal::Outside => format!("{address} is outside --backend-networks"),
    };
    let listed: Vec<_> = refused.iter().take(LISTED_MAX).map(reason).collect();
    let more = match refused.len().saturating_sub(LISTED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let noun = if refused.len() == 1 { "endpoint is" } else { "endpoints are" };
    format!(
        "{} {noun} not used: {}{more}; an operator can allow its network with --backend-networks",
        refused.len(),
        listed.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(policy: &EndpointPolicy, address: &str) -> Option<AddressRefusal> {
        policy.refuses(address.parse().unwrap())
    }

    fn cluster(networks: &[&str]) -> EndpointPolicy {
        let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        EndpointPolicy { refuse_special: true, networks }
    }

    #[test]
    fn addresses_of_the_machine_and_the_link_are_refused_in_every_spelling() {
        let policy = cluster(&[]);
        for (address, kind) in [
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("::1", "loopback"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:7f00:1", "loopback"),
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("::", "unspecified"),
            ("::ffff:0.0.0.0", "unspecified"),
            ("169.254.169.254", "link-local"),
            ("::ffff:169.254.169.254", "link-local"),
            ("fe80::1", "link-local"),
            ("febf::1", "link-local"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("ff02::1", "multicast"),
            ("255.255.255.255", "broadcast"),
        ] {
            assert_eq!(refused(&policy, address), Some(AddressRefusal::Special(kind)), "{address}");
        }
        for address in
            ["10.0.0.1", "192.168.0.1", "1.1.1.1", "fd00::1", "2001:db8::1", "::ffff:10.0.0.1", "fec0::1"]
        {
            assert_eq!(refused(&policy, address), None, "{address}");
        }
        assert_eq!(refused(&EndpointPolicy::default(), "127.0.0.1"), None, "files are believed");
    }

    #[test]
    fn networks_narrow_and_name_special_ranges_only_explicitly() {
        let policy = cluster(&["10.0.0.0/8", "fd00::/8", "127.0.0.0/30"]);
        for address in ["10.1.2.3", "fd00::7", "127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.9"] {
            assert_eq!(refused(&policy, address), None, "{address}");
        }
        for address in ["192.0.2.1", "2001:db8::1"] {
            assert_eq!(refused(&policy, address), Some(AddressRefusal::Outside), "{address}");
        }
        assert_eq!(refused(&policy, "127.0.0.9"), Some(AddressRefusal::Special("loopback")));
        let everything = cluster(&["0.0.0.0/0", "::/0"]);
        assert_eq!(refused(&everything, "192.0.2.1"), None);
        assert_eq!(refused(&everything, "127.0.0.1"), Some(AddressRefusal::Special("loopback")));
        assert_eq!(refused(&everything, "::1"), Some(AddressRefusal::Special("loopback")));
        let narrowed = EndpointPolicy { refuse_special: false, ..cluster(&["10.0.0.0/8"]) };
        assert_eq!(refused(&narrowed, "127.0.0.1"), Some(AddressRefusal::Outside), "of files too");
    }

    #[test]
    fn a_long_list_is_cut_and_counted() {
        let refused: Vec<_> =
            (1..=5).map(|n| (IpAddr::from([127, 0, 0, n]), AddressRefusal::Special("loopback"))).collect();
        let text = describe(&refused);
        assert!(text.starts_with("5 endpoints are not used: 127.0.0.1 is loopback, "), "{text}");
        assert!(text.contains("127.0.0.3 is loopback and 2 more; ") && !text.contains("127.0.0.4"), "{text}");
    }
}
