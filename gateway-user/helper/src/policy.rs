//! Limits of a helper, which its own flags set.

use std::collections::BTreeSet;
use std::net::IpAddr;

use gateway_ir::BindAddress;
use ipnet::IpNet;

/// Ports, addresses and interface that a helper does something for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Ports that are never served on an address of the node.
    pub reserved_ports: BTreeSet<u16>,
    /// Ports that may be served; `None` is all.
    pub allowed_ports: Option<BTreeSet<u16>>,
    /// Networks whose addresses are put on the interface, and on which no port is reserved. At most 64.
    pub pool: Vec<IpNet>,
    /// Name of the interface, if addresses are put on one.
    pub interface: Option<String>,
}

impl Policy {
    /// True if a socket may be bound there.
    #[must_use]
    pub fn serves(&self, address: BindAddress, port: u16) -> bool {
        let is_of_pool = match address {
            BindAddress::Any => false,
            BindAddress::Ip(ip) => self.is_of_pool(ip),
        };
        port != 0
            && self.allowed_ports.as_ref().is_none_or(|allowed| allowed.contains(&port))
            && (is_of_pool || !self.reserved_ports.contains(&port))
    }

    /// True if the address may be put on the interface.
    #[must_use]
    pub fn assigns(&self, ip: IpAddr) -> bool {
        self.interface.is_some() && self.is_of_pool(ip)
    }

    fn is_of_pool(&self, ip: IpAddr) -> bool {
        // A v4-mapped address is not the one that it maps to for the kernel that puts it on an interface.
        self.pool.iter().any(|network| network.contains(&ip)) && ip.to_canonical() == ip
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_others_and_foreign_addresses_are_not_served() {
        let policy = Policy {
            reserved_ports: [22, 443].into(),
            allowed_ports: Some([80, 443].into()),
            pool: vec!["192.0.2.0/24".parse().unwrap()],
            interface: Some("eth0".to_owned()),
        };
        let at = |address: &str| BindAddress::Ip(address.parse().unwrap());
        assert!(policy.serves(BindAddress::Any, 80) && policy.serves(at("192.0.2.7"), 443));
        for (address, port) in [
            (BindAddress::Any, 443),
            (BindAddress::Any, 22),
            (at("192.0.2.7"), 22),
            (at("198.51.100.7"), 443),
            (at("::ffff:192.0.2.7"), 443),
            (BindAddress::Any, 81),
        ] {
            assert!(!policy.serves(address, port), "{address:?} {port}");
        }
        assert!(!Policy::default().serves(BindAddress::Any, 0));
        let assigns = |ip: &str| policy.assigns(ip.parse().unwrap());
        assert!(assigns("192.0.2.7") && !assigns("192.0.3.7") && !assigns("::ffff:192.0.2.7"));
        assert!(!Policy { interface: None, ..policy.clone() }.assigns("192.0.2.7".parse().unwrap()));
    }
}
