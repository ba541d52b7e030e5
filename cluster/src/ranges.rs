//! Names and addresses that are the same in each cluster.

/// The link that has the only node's addresses; the gateway adds its own there.
pub const LINK: &str = "node0";
/// The only node's name.
pub const NODE: &str = "node0";
/// The IPv4 address of the control plane, and of the only node: the API server must not announce a loopback address.
pub const NODE_V4: &str = "10.10.0.1";
pub(super) const NODE_V6: &str = "fd00:10:10::1";
/// The range of all pods.
pub(super) const PODS_V4: &str = "10.244.0.0/16";
/// The first 48 bits of all pods' addresses.
pub(super) const PODS_V6: &str = "fd00:10:244";
pub(super) const SERVICES_V4: &str = "10.96.0.0/16";
pub(super) const SERVICES_V6: &str = "fd00:10:96::/112";
/// Addresses that Gateways get; nothing else of the cluster has any of them.
pub const GATEWAYS_V4: &str = "10.20.0.0/24";
/// The same of IPv6.
pub const GATEWAYS_V6: &str = "fd00:10:20::/64";
/// The API server's own Service: the first address of the range.
pub(super) const API_V4: &str = "10.96.0.1";
pub(super) const API_PORT: u16 = 6443;

/// The namespace of clients, where nodes have networks of their own.
pub const CLIENT: &str = "client";
pub(super) const CLIENT_V4: &str = "10.10.0.2";
pub(super) const CLIENT_V6: &str = "fd00:10:10::2";
/// The link of a client, and of a node that is a machine of its own.
pub const CARD: &str = "eth0";
