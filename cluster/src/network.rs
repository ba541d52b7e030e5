//! The network of a cluster, the same in each: it lies in a namespace of its own and has no way out of it.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The link that has the node's addresses; the gateway adds its own there.
pub const LINK: &str = "node0";
/// The node's name.
pub const NODE: &str = "node0";
/// The node's IPv4 address: the API server must not announce a loopback address.
pub const NODE_V4: &str = "10.10.0.1";
pub(super) const NODE_V6: &str = "fd00:10:10::1";
pub(super) const PODS_V4: &str = "10.244.0.0/16";
pub(super) const PODS_V6: &str = "fd00:10:244::/64";
pub(super) const SERVICES_V4: &str = "10.96.0.0/16";
pub(super) const SERVICES_V6: &str = "fd00:10:96::/112";
/// The API server's own Service: the first address of the range.
pub(super) const API_V4: &str = "10.96.0.1";
pub(super) const API_PORT: u16 = 6443;

/// A pair of links stands for a network card: a bridge or a single link without a peer has no carrier, and
/// IPv6 would wait for one. Without a route nothing can be connected to, so Services need one before their
/// rules are looked at.
fn links() -> String {
    format!(
        "link set lo up
link add {LINK} type veth peer name {LINK}-peer
link set {LINK}-peer up
link set {LINK} up
addr add {NODE_V4}/24 dev {LINK}
addr add {NODE_V6}/64 dev {LINK} nodad
route add {SERVICES_V4} dev {LINK}
route add {SERVICES_V6} dev {LINK}
"
    )
}

/// Settings of the namespace: packets between pods and Services are forwarded, and an address serves at once,
/// since nobody else could have it.
const SETTINGS: [(&str, &str); 4] = [
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
];

/// Makes links, addresses and routes in the namespace that this process is in.
pub(super) fn make() -> Result<()> {
    for (name, value) in SETTINGS {
        let path = format!("/proc/sys/{name}");
        fs::write(&path, value).with_context(|| format!("{path} = {value}"))?;
    }
    let mut ip =
        Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().context("starting ip")?;
    ip.stdin.take().context("ip has no standard input")?.write_all(links().as_bytes())?;
    ensure!(ip.wait()?.success(), "ip did not make the cluster's links");
    Ok(())
}

/// The CNI plug-ins' configuration: every pod on one bridge with an address of each family.
pub(super) fn cni(leases: &str) -> String {
    serde_json::json!({
        "cniVersion": "1.0.0", "name": "pods",
        "plugins": [{
            "type": "bridge", "bridge": "pods0", "isGateway": true, "isDefaultGateway": true,
            "hairpinMode": true, "ipMasq": false,
            "ipam": { "type": "host-local", "dataDir": leases, "ranges": [
                [{ "subnet": PODS_V4 }],
                [{ "subnet": PODS_V6 }],
            ] },
        }],
    })
    .to_string()
}
