//! The network of a cluster, the same in each: it lies in namespaces of its own and has no way out of them.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::machines::{Node, Nodes};
pub(super) use super::ranges::{
    API_PORT, API_V4, CLIENT_V4, CLIENT_V6, NODE_V6, PODS_V4, PODS_V6, SERVICES_V4, SERVICES_V6,
};
pub use super::ranges::{CARD, CLIENT, GATEWAYS_V4, GATEWAYS_V6, LINK, NODE, NODE_V4};

/// The switch that these are connected to.
pub(super) const SWITCH: &str = "switch0";

/// A pair of links stands for a network card: a bridge or a single link without a peer has no carrier, and
/// IPv6 would wait for one. Without a route nothing can be connected to, so Services need one before their
/// rules are looked at.
fn shared_links() -> String {
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

/// The switch, where the control plane is, and a cable to each machine.
fn switch(nodes: &[Node]) -> String {
    let mut text = format!(
        "link set lo up
link add {SWITCH} type bridge
link set {SWITCH} up
addr add {NODE_V4}/24 dev {SWITCH}
addr add {NODE_V6}/64 dev {SWITCH} nodad
route add {GATEWAYS_V4} dev {SWITCH}
route add {GATEWAYS_V6} dev {SWITCH}
"
    );
    for name in nodes.iter().map(|node| node.name.as_str()).chain([CLIENT]) {
        text += &format!(
            "link add {name} type veth peer name {CARD} netns {name}\nlink set {name} master {SWITCH} up\n"
        );
    }
    text + &routes_to_pods(nodes)
}

/// A machine's own card with its addresses; Gateways' are on some card of the same switch.
fn card(v4: &str, v6: &str) -> String {
    format!(
        "link set lo up
link set {CARD} up
addr add {v4}/24 dev {CARD}
addr add {v6}/64 dev {CARD} nodad
route add {GATEWAYS_V4} dev {CARD}
route add {GATEWAYS_V6} dev {CARD}
"
    )
}

/// The card of a node, with the ways to Services and to pods of the other `nodes`.
fn node_links(node: &Node, nodes: &[Node]) -> String {
    let others: Vec<_> = nodes.iter().filter(|other| *other != node).cloned().collect();
    let services = format!("route add {SERVICES_V4} dev {CARD}\nroute add {SERVICES_V6} dev {CARD}\n");
    card(&node.v4, &node.v6) + &services + &routes_to_pods(&others)
}

fn routes_to_pods(nodes: &[Node]) -> String {
    let line = |node: &Node| {
        format!("route add {} via {}\nroute add {} via {}\n", node.pods_v4, node.v4, node.pods_v6, node.v6)
    };
    nodes.iter().map(line).collect()
}

/// Settings of a namespace: packets between pods and Services are forwarded, and an address serves at once,
/// since nobody else could have it.
const SETTINGS: [(&str, &str); 4] = [
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
];

/// Makes links, addresses and routes in the namespace that this process is in, and namespaces of machines of
/// their own.
pub(super) fn make(nodes: Nodes) -> Result<()> {
    settings()?;
    if !matches!(nodes, Nodes::Apart(_)) {
        return ip(None, &shared_links());
    }
    let machines = nodes.apart();
    for name in machines.iter().map(|node| node.name.as_str()).chain([CLIENT]) {
        ip(None, &format!("netns add {name}\n"))?;
    }
    ip(None, &switch(&machines))?;
    ip(Some(CLIENT), &card(CLIENT_V4, CLIENT_V6))
}

/// The links of one node of several, in the namespace that this process is in.
pub(super) fn make_node(node: &Node, nodes: Nodes) -> Result<()> {
    settings()?;
    ip(None, &node_links(node, &nodes.apart()))
}

/// The path of a machine's network among the cluster's mounts.
pub(super) fn namespace(name: &str) -> String {
    Path::new("/run/netns").join(name).display().to_string()
}

fn settings() -> Result<()> {
    for (name, value) in SETTINGS {
        let path = format!("/proc/sys/{name}");
        fs::write(&path, value).with_context(|| format!("{path} = {value}"))?;
    }
    Ok(())
}

fn ip(namespace: Option<&str>, lines: &str) -> Result<()> {
    let mut command = Command::new("ip");
    if let Some(name) = namespace {
        command.args(["-netns", name]);
    }
    let mut ip = command.args(["-batch", "-"]).stdin(Stdio::piped()).spawn().context("starting ip")?;
    ip.stdin.take().context("ip has no standard input")?.write_all(lines.as_bytes())?;
    ensure!(ip.wait()?.success(), "ip did not make the cluster's links:\n{lines}");
    Ok(())
}

/// Addresses of the pools that a link has, where `ip` is run, with the length of their prefix.
///
/// # Errors
/// ip(8) fails.
pub(crate) fn pool_addresses(mut ip: impl FnMut() -> Result<Command>, link: &str) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for pool in [GATEWAYS_V4, GATEWAYS_V6] {
        let output =
            ip()?.args(["-o", "address", "show", "dev", link, "to", pool]).output().context("starting ip")?;
        ensure!(output.status.success(), "ip: {}", String::from_utf8_lossy(&output.stderr).trim());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        all.extend(text.lines().filter_map(|line| line.split_whitespace().nth(3).map(str::to_owned)));
    }
    Ok(all)
}

/// The CNI plug-ins' configuration: every pod of the node on one bridge with an address of each family.
pub(super) fn cni(node: &Node, leases: &str) -> String {
    serde_json::json!({
        "cniVersion": "1.0.0", "name": "pods",
        "plugins": [{
            "type": "bridge", "bridge": "pods0", "isGateway": true, "isDefaultGateway": true,
            "hairpinMode": true, "ipMasq": false,
            "ipam": { "type": "host-local", "dataDir": leases, "ranges": [
                [{ "subnet": node.pods_v4 }],
                [{ "subnet": node.pods_v6 }],
            ] },
        }],
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_a_way_to_the_pods_of_each_other() {
        let nodes = Nodes::Apart(3).all();
        let links = node_links(&nodes[1], &nodes);
        for other in [&nodes[0], &nodes[2]] {
            assert!(links.contains(&format!("route add {} via {}\n", other.pods_v4, other.v4)), "{links}");
            assert!(links.contains(&format!("route add {} via {}\n", other.pods_v6, other.v6)), "{links}");
        }
        assert!(!links.contains(&nodes[1].pods_v4), "its own are on its own bridge");
        assert!(links.contains(&format!("addr add {}/24", nodes[1].v4)));
    }

    #[test]
    fn the_control_plane_has_a_cable_to_each_and_a_way_to_all_pods() {
        let nodes = Nodes::Apart(2).all();
        let text = switch(&nodes);
        for name in ["node1", "node2", CLIENT] {
            assert!(
                text.contains(&format!("link add {name} type veth peer name {CARD} netns {name}\n")),
                "{text}"
            );
        }
        for node in &nodes {
            assert!(text.contains(&format!("route add {} via {}\n", node.pods_v4, node.v4)), "{text}");
        }
    }
}
