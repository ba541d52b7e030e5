//! A node is taken out from behind HAProxy, and comes back, under load.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::arrival;
use super::balancer::{Balancer, CONNECTIONS, REQUESTS, V4};
use super::load::{Load, port_of};
use crate::deploy::install::{NODES, rolled_out};
use crate::handle::Cluster;
use crate::kubectl::NODE_NAMESPACE;
use crate::machines::Node;
use crate::process::until;

/// The label of machines that clients come to, as in the example's values.
const LABEL: &str = "node-role.kubernetes.io/ingress";

/// Gives the machine the label.
///
/// # Errors
/// kubectl fails.
pub(super) fn add(cluster: &Cluster, node: &Node) -> Result<()> {
    cluster.say(&["label", "node", &node.name, &format!("{LABEL}=")]).map(drop)
}

/// Takes each of these nodes out and in again, one after the other, while clients send to both ports of HAProxy; gives the number of
/// requests, all of which were served.
///
/// # Errors
/// A request was not served, HAProxy met a closed port, or a node does not go or come.
pub(super) fn check(
    cluster: &Cluster,
    balancer: &mut Balancer,
    load: &mut Load,
    nodes: &[Node],
) -> Result<u64> {
    let to: Vec<SocketAddr> =
        [CONNECTIONS, REQUESTS].into_iter().map(|port| port_of(V4, port)).collect::<Result<_>>()?;
    let before = balancer.statistics()?;
    let served = load.during(&to, || nodes.iter().try_for_each(|node| once(cluster, balancer, node)))?;
    balancer.ensure_running()?;
    let after = balancer.statistics()?;
    // HAProxy would hide a port that was closed too early: it tries again, and another server in the end.
    let again = after.again() - before.again();
    ensure!(again == 0, "HAProxy had to try {again} connections again");
    Ok(served)
}

fn once(cluster: &Cluster, balancer: &Balancer, node: &Node) -> Result<()> {
    let name = &node.name;
    let is = |up: bool| {
        let what = format!("HAProxy sends {} {name}", if up { "to" } else { "no more to" });
        until(&what, || Ok((balancer.statistics()?.is_up(name) == Some(up)).then_some(())))
    };
    let sessions = || Ok::<_, anyhow::Error>(balancer.statistics()?.sessions(name));
    let more_than =
        |before: u64| until(&format!("{name} has connections"), || Ok((sessions()? > before).then_some(())));
    more_than(sessions()?)?;
    let began = Instant::now();
    cluster.say(&["label", "node", name, &format!("{LABEL}-")])?;
    is(false)?;
    let noticed = began.elapsed();
    ensure!(!pods(cluster, node)?.is_empty(), "the pod of {name} was gone before HAProxy had noticed");
    until(&format!("{name} has no pod"), || Ok(pods(cluster, node)?.is_empty().then_some(())))?;
    let gone = began.elapsed();
    add(cluster, node)?;
    rolled_out(cluster, NODES)?;
    is(true)?;
    more_than(sessions()?)?;
    println!(
        "{name}: HAProxy sent no more to it after {:.1} s, its pod was gone after {:.1} s and back after {:.1} s",
        noticed.as_secs_f64(),
        gone.as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

/// The node's pods of Sluice, those that end among them.
fn pods(cluster: &Cluster, node: &Node) -> Result<String> {
    let field = format!("--field-selector=spec.nodeName={}", node.name);
    let words = ["get", "pods", arrival::NODES, &field, "--output=name"];
    Ok(cluster.say_in(NODE_NAMESPACE, &words)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::roads::files::{VALUES, file};

    #[test]
    fn the_label_is_the_one_of_the_examples_values() {
        let values = std::fs::read_to_string(file(VALUES)).unwrap();
        assert!(values.contains(&format!("{LABEL}: \"\"")), "{values}");
    }
}
