//! This node: its name among others, and its addresses for clients.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use anyhow::Context as _;
use nix::ifaddrs::getifaddrs;

use crate::flags::{AddressMode, Auto, ObjectName, Settings, Value as _};

/// Where the kubelet puts the name of a pod's namespace.
const POD_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// The namespace for those that run in none.
const NAMESPACE: &str = "sluice-system";

/// The node's name, as `--node-name` says.
///
/// # Errors
/// No name is set and the host's is none.
pub(crate) fn name(settings: &Settings) -> anyhow::Result<String> {
    if let Auto::Set(name) = &settings.node_name {
        return Ok(name.0.clone());
    }
    let host = || Some(nix::unistd::gethostname().ok()?.to_str()?.to_ascii_lowercase());
    let name = env::var("NODE_NAME").ok().filter(|name| !name.is_empty()).or_else(host).unwrap_or_default();
    let name = ObjectName::parse(&name)
        .with_context(|| format!("{name:?} is no name for a node; set --node-name"))?;
    Ok(name.0)
}

/// The namespace of Sluice's own objects, as `--namespace` says.
pub(crate) fn namespace(settings: &Settings) -> String {
    if let Auto::Set(name) = &settings.namespace {
        return name.0.clone();
    }
    let of_pod = || fs::read_to_string(POD_NAMESPACE).ok();
    let name = env::var("POD_NAMESPACE").ok().or_else(of_pod).map(|name| name.trim().to_owned());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| NAMESPACE.to_owned())
}

/// The namespace of the pods that follow controllers of a network, as `--node-namespace` says.
pub(crate) fn namespace_of_nodes(settings: &Settings) -> String {
    match &settings.node_namespace {
        Auto::Set(name) => name.0.clone(),
        Auto::Auto => namespace(settings),
    }
}

/// Where clients reach the node, as `--node-addresses` says; of each family one at most if it is up to us.
pub(crate) fn addresses(settings: &Settings) -> Vec<IpAddr> {
    match &settings.node_addresses {
        Auto::Set(addresses) => addresses.0.clone(),
        Auto::Auto => [true, false].into_iter().filter_map(|v4| routed(v4).or_else(|| first(v4))).collect(),
    }
}

/// Where other nodes reach this one by probes, as `--probe-address` says; nowhere without a pool, which has nothing to move.
pub(crate) fn probe_at(settings: &Settings) -> Vec<SocketAddr> {
    let Some(address) = settings.probe_address.0.filter(|_| settings.address_mode == AddressMode::Pool)
    else {
        return Vec::new();
    };
    if !address.ip().is_unspecified() {
        return vec![address];
    }
    let own = addresses(settings).into_iter().filter(|ip| address.is_ipv6() || ip.is_ipv4());
    own.map(|ip| SocketAddr::new(ip, address.port())).collect()
}

/// Every address of the interfaces in this network namespace; `None` if the system does not say.
pub(crate) fn own_addresses() -> Option<BTreeSet<IpAddr>> {
    interface_addresses().map(Iterator::collect)
}

fn interface_addresses() -> Option<impl Iterator<Item = IpAddr>> {
    Some(getifaddrs().ok()?.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    }))
}

/// The address that packets to far away leave from. Nothing is sent: connecting a UDP socket only looks up
/// the route (RFC 5737 and RFC 3849 keep these destinations free for documentation).
fn routed(v4: bool) -> Option<IpAddr> {
    let (any, far) = if v4 { ("0.0.0.0:0", "192.0.2.1:9") } else { ("[::]:0", "[2001:db8::1]:9") };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(far).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(is_reachable)
}

/// The first address that others may reach, in the order of interfaces.
fn first(v4: bool) -> Option<IpAddr> {
    interface_addresses()?.filter(is_reachable).find(|ip| ip.is_ipv4() == v4)
}

fn is_reachable(ip: &IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !ip.is_loopback() && !ip.is_unspecified() && !link_local
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::tests::settings;

    #[test]
    fn what_is_set_counts() {
        let settings = settings(&[
            ("node-name", "edge-1"),
            ("namespace", "gateways"),
            ("node-addresses", "192.0.2.7, 2001:db8::7"),
        ]);
        assert_eq!(name(&settings).unwrap(), "edge-1");
        assert_eq!(namespace(&settings), "gateways");
        let want: [IpAddr; 2] = ["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        assert_eq!(addresses(&settings), want);
    }

    #[test]
    fn a_node_of_a_pool_is_probed_where_others_reach_it() {
        let at = |probes: &str, mode: &str| {
            let all = [
                ("node-addresses", "192.0.2.7, 2001:db8::7"),
                ("probe-address", probes),
                ("address-mode", mode),
            ];
            probe_at(&settings(&all)).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(at("[::]:15011", "pool"), "192.0.2.7:15011 [2001:db8::7]:15011");
        assert_eq!(at("0.0.0.0:15012", "pool"), "192.0.2.7:15012");
        assert_eq!(at("198.51.100.1:7", "pool"), "198.51.100.1:7");
        assert_eq!((at("off", "pool"), at("[::]:15011", "node")), (String::new(), String::new()));
    }

    #[test]
    fn what_is_found_can_be_reached() {
        let found = addresses(&settings(&[]));
        assert!(found.len() <= 2 && found.iter().all(is_reachable), "{found:?}");
    }
}
