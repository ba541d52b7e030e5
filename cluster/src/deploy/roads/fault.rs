//! Ways in which a node is lost.

use anyhow::{Result, ensure};

use super::balancer::ip;
use crate::deploy::faults::{Stopped, ctr};
use crate::enter;
use crate::handle::Cluster;
use crate::machines::Node;
use crate::network::{CARD, GATEWAYS_V4, GATEWAYS_V6};

/// One way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its cable is pulled: all that runs there runs on.
    Network,
    /// It loses its power: all pods are killed, and its card has no addresses of the pool when it is back.
    Power,
}

/// A node that is lost, until it is given back.
pub(super) struct Lost<'a> {
    cluster: &'a Cluster,
    node: &'a Node,
    kubelet: Option<Stopped>,
}

impl Fault {
    /// As in a sentence.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Power => "power",
        }
    }

    /// Has the node be lost.
    ///
    /// # Errors
    /// The cluster does not run.
    pub(super) fn strike<'a>(self, cluster: &'a Cluster, node: &'a Node) -> Result<Lost<'a>> {
        cable(cluster, node, "down")?;
        let kubelet = match self {
            Self::Network => None,
            Self::Power => Some(cut_power(cluster, node)?),
        };
        Ok(Lost { cluster, node, kubelet })
    }
}

impl Lost<'_> {
    /// Gives the node back: its network, and a kubelet that starts its pods again.
    ///
    /// # Errors
    /// The cluster does not run.
    pub(super) fn give_back(&mut self) -> Result<()> {
        cable(self.cluster, self.node, "up")?;
        self.kubelet = None;
        Ok(())
    }
}

/// The kubelet would start pods again before the node is back.
fn cut_power(cluster: &Cluster, node: &Node) -> Result<Stopped> {
    let kubelet = Stopped::child(enter::first_of(cluster, node)?, "kubelet")?;
    for id in ctr(cluster, node, &["tasks", "list", "--quiet"])?.split_whitespace() {
        // One that ends with another one's death is no longer there.
        if let Err(error) = ctr(cluster, node, &["tasks", "kill", "--signal", "SIGKILL", id]) {
            ensure!(error.to_string().contains("not found"), "{error:#}");
        }
    }
    for pool in [GATEWAYS_V4, GATEWAYS_V6] {
        let flush = ["address", "flush", "dev", CARD, "to", pool];
        let output = enter::node(cluster, node, "ip")?.args(flush).output()?;
        ensure!(output.status.success(), "ip: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(kubelet)
}

fn cable(cluster: &Cluster, node: &Node, state: &str) -> Result<()> {
    ip(cluster, &format!("link set {} {state}\n", node.name), &[])
}
