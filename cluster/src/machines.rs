//! The nodes of a cluster: how many, and the names and addresses of each.

use serde::{Deserialize, Serialize};

use super::ranges::{NODE, NODE_V4, NODE_V6, PODS_V4, PODS_V6};

/// Nodes that have a machine's own parts each, at most: their numbers are parts of addresses.
pub const MOST: u8 = 16;

/// The nodes of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Nodes {
    /// None: a control plane alone, on which no pod runs.
    None,
    /// One, in the network of the control plane.
    Shared,
    /// So many, each with a network, mounts and processes of its own, as machines have.
    Apart(u8),
}

/// A node by its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name in Kubernetes.
    pub name: String,
    /// Its own IPv4 address.
    pub v4: String,
    /// Its own IPv6 address.
    pub v6: String,
    /// The IPv4 network of its pods.
    pub pods_v4: String,
    /// The IPv6 network of its pods.
    pub pods_v6: String,
    /// True if it is a machine of its own, beside the control plane's.
    pub apart: bool,
}

impl Nodes {
    /// Each of them, in order.
    pub fn all(self) -> Vec<Node> {
        match self {
            Self::None => Vec::new(),
            Self::Shared => vec![Node::shared()],
            Self::Apart(count) => (1..=count.min(MOST)).map(Node::apart).collect(),
        }
    }

    /// Those that are machines of their own.
    pub(super) fn apart(self) -> Vec<Node> {
        self.all().into_iter().filter(|node| node.apart).collect()
    }
}

impl Node {
    fn shared() -> Self {
        Self {
            name: NODE.to_owned(),
            v4: NODE_V4.to_owned(),
            v6: NODE_V6.to_owned(),
            pods_v4: PODS_V4.to_owned(),
            pods_v6: format!("{PODS_V6}::/64"),
            apart: false,
        }
    }

    /// The node of a number from 1 on. The numbers before those of the addresses are the control plane's and clients'.
    fn apart(number: u8) -> Self {
        Self {
            name: format!("node{number}"),
            v4: format!("10.10.0.{}", 10 + number),
            v6: format!("fd00:10:10::{:x}", 0x10 + number),
            pods_v4: format!("10.244.{number}.0/24"),
            pods_v6: format!("{PODS_V6}:{number:x}::/64"),
            apart: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::ranges::{CLIENT_V4, CLIENT_V6};

    fn v4(range: &str) -> (u32, u32) {
        let (address, length) = range.split_once('/').unwrap();
        let mask = u32::MAX << (32 - length.parse::<u32>().unwrap());
        (u32::from(address.parse::<Ipv4Addr>().unwrap()), mask)
    }

    #[test]
    fn no_two_nodes_share_a_name_or_an_address() {
        let all = Nodes::Apart(MOST).all();
        assert_eq!(all.len(), usize::from(MOST));
        let mut seen = BTreeSet::from([NODE, NODE_V4, NODE_V6, CLIENT_V4, CLIENT_V6].map(str::to_owned));
        for node in &all {
            for text in [&node.name, &node.v4, &node.v6, &node.pods_v4, &node.pods_v6] {
                assert!(seen.insert(text.clone()), "{text} is there twice");
            }
            node.v4.parse::<Ipv4Addr>().unwrap();
            node.v6.parse::<Ipv6Addr>().unwrap();
        }
    }

    #[test]
    fn pods_of_every_node_have_a_part_of_the_clusters_range() {
        let (range, mask) = v4(PODS_V4);
        for node in Nodes::Apart(MOST).all() {
            let (part, longer) = v4(&node.pods_v4);
            assert_eq!(part & mask, range, "{}", node.pods_v4);
            assert!(longer > mask && part & longer == part, "{}", node.pods_v4);
            let (address, length) = node.pods_v6.split_once('/').unwrap();
            let address = address.parse::<Ipv6Addr>().unwrap().segments();
            assert_eq!((&address[..3], length), (&[0xfd00, 0x10, 0x244][..], "64"));
            assert_eq!(address[4..], [0; 4]);
        }
    }

    #[test]
    fn the_number_of_nodes_is_what_was_asked_for() {
        assert!(Nodes::None.all().is_empty());
        assert_eq!(Nodes::Shared.all().iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), [NODE]);
        assert!(Nodes::Shared.apart().is_empty());
        let three = Nodes::Apart(3).apart();
        assert_eq!(
            three.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(),
            ["node1", "node2", "node3"]
        );
        assert_eq!(three[2].v4, "10.10.0.13");
    }
}
