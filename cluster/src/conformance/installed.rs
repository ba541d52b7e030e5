//! The suite against the gateway as operators install it: its image in pods, with the roles apart, on nodes that have a
//! kubelet and a network of their own. The suite's program is a client in another network.

use std::path::Path;

use anyhow::{Result, anyhow, ensure};

use super::account::ApiAccess;
use super::observed::Observed;
use super::pod::{NET_RAW, judge_threads};
use super::{Args, suite, wait_until_accepted};
use crate::chart::helm::Helm;
use crate::deploy::install::{Addresses, Installation, POD_TIMEOUT};
use crate::deploy::{give_image, scenario};
use crate::enter;
use crate::handle::Cluster;
use crate::kubectl::NODE_NAMESPACE;
use crate::network::{CARD, pool_addresses};
use crate::steering::SteeringCounters;

/// Runs it in a cluster that is up; gives what was seen.
///
/// # Errors
/// The gateway cannot be installed, or the suite not be run.
pub(super) fn run(
    args: &Args,
    sluice: &Path,
    program: &Path,
    cluster: &Cluster,
    dir: &Path,
) -> Result<Observed> {
    let helm = Helm::build()?;
    give_image(sluice, cluster, dir)?;
    Installation { helm: &helm, cluster, dir, addresses: Addresses::Pool, more: Vec::new() }.install()?;
    println!(
        "Sluice is installed on {} nodes; waiting until it accepts the GatewayClass",
        cluster.nodes()?.len()
    );
    wait_until_accepted(cluster, || Ok(()))?;
    let before = pods(cluster)?;
    print!("{before}");
    println!("running suite {} with {}", args.suite, args.profiles.join(", "));
    let command = enter::client(cluster, &program.display().to_string())?;
    let run = suite::run(args, command, cluster, dir, || Ok(()))?;
    let mut counters = SteeringCounters::default();
    for node in cluster.nodes()? {
        let of_node = scenario::counters(cluster, &node)?;
        println!("{}: {} connections accepted, {} steered", node.name, of_node.accepted, of_node.steered);
        counters.accepted += of_node.accepted;
        counters.steered += of_node.steered;
    }
    let after = pods(cluster)?;
    let stayed = match after == before {
        true => Ok(()),
        false => Err(anyhow!("pods did not stay as they were; before:\n{before}after:\n{after}")),
    };
    let rights = judge_threads(NET_RAW)
        .map(|count| println!("{count} threads of three roles without a right too many"));
    let access = ApiAccess::read(cluster)?;
    println!("{}", access.summary());
    let invalid = [stayed, rights, access.judge(), remove(cluster)];
    Ok(Observed { run, counters, cost: None, invalid: invalid.into_iter().filter_map(Result::err).collect() })
}

/// Every pod of the gateway with its node and how often each of its containers was started again.
fn pods(cluster: &Cluster) -> Result<String> {
    let columns = "--output=custom-columns=POD:.metadata.name,NODE:.spec.nodeName,\
                   RESTARTS:.status.containerStatuses[*].restartCount,\
                   HELPER:.status.initContainerStatuses[*].restartCount";
    let words = ["get", "pods", "--sort-by=.metadata.name", columns];
    Ok(cluster.sluice(&words)? + &cluster.say_in(NODE_NAMESPACE, &words)?)
}

/// Takes the nodes' pods away, which must leave no address of a Gateway on any node.
fn remove(cluster: &Cluster) -> Result<()> {
    let words = ["delete", "daemonset/sluice-node", "--cascade=foreground", POD_TIMEOUT];
    cluster.say_in(NODE_NAMESPACE, &words)?;
    for node in cluster.nodes()? {
        let left = pool_addresses(|| enter::node(cluster, &node, "ip"), CARD)?;
        ensure!(left.is_empty(), "sluice has ended and left addresses on {}: {}", node.name, left.join(", "));
    }
    Ok(())
}
