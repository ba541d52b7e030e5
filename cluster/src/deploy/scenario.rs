//! `examples/shared-gateway` on a cluster, with its backend in pods, asked as clients of every node.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sluice_tooling::scenario;

use crate::cargo::workspace;
use crate::enter;
use crate::handle::Cluster;
use crate::kubectl::{NAMESPACE, NODE_NAMESPACE};
use crate::machines::Node;
use crate::metrics::Page;
use crate::process::until;
use crate::steering::SteeringCounters;

const EXAMPLE: &str = "examples/shared-gateway";
/// A backend in pods, in place of the example's own, which is a process of the machine.
const ON_KUBERNETES: &str = "examples/on-kubernetes/team2-httpbin.yaml";
const NAMESPACES: &str = "namespaces.yaml";

/// Applies the example and waits until its Gateway is programmed and its backends are ready.
///
/// # Errors
/// A file is refused, or either does not come to be.
pub(super) fn apply(cluster: &Cluster) -> Result<()> {
    let example = workspace().join(EXAMPLE);
    cluster.apply(&[example.join(NAMESPACES)])?;
    cluster.apply(&files(&example)?)?;
    programmed(cluster)
}

/// Waits until the example's Gateway is programmed and its backends are ready.
///
/// # Errors
/// Either does not come to be.
pub(super) fn programmed(cluster: &Cluster) -> Result<()> {
    cluster.wait(&["--namespace=team2", "rollout", "status", "deployment/httpbin"])?;
    cluster.wait(&["--namespace=ingress", "wait", "--for=condition=Programmed", "gateway/shared-gateway"])
}

/// All that is applied after the namespaces.
fn files(example: &Path) -> Result<Vec<PathBuf>> {
    let on_kubernetes = workspace().join(ON_KUBERNETES);
    let mut files = vec![on_kubernetes.clone()];
    for entry in fs::read_dir(example).with_context(|| example.display().to_string())? {
        let path = entry?.path();
        if path.file_name() != on_kubernetes.file_name() && !path.ends_with(NAMESPACES) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Makes the scenario's requests of each node, by both of its addresses; every one of their connections must have been
/// steered by the node's kernel programs. Gives the number of requests.
///
/// # Errors
/// A response is not as it should be, or a node did not serve.
pub(super) fn check(cluster: &Cluster) -> Result<u64> {
    let mut asked = 0;
    for node in cluster.nodes()? {
        let before = counters(cluster, &node)?;
        let mut of_node = 0;
        for base in bases(&node) {
            until_served(cluster, &base)?;
            of_node += scenario::check(&base, || client(cluster))?;
        }
        let after = counters(cluster, &node)?;
        let steered = after.steered - before.steered;
        ensure!(steered >= of_node, "{}: {of_node} connections were made and {steered} steered", node.name);
        after.judge(true).with_context(|| node.name.clone())?;
        println!("{}: {of_node} requests served as they should be, {steered} connections steered", node.name);
        asked += of_node;
    }
    Ok(asked)
}

/// Waits until a client gets a response of the example's backend there.
///
/// # Errors
/// It does not in time.
pub(super) fn until_served(cluster: &Cluster, base: &str) -> Result<()> {
    let url = format!("{base}/httpbin/get");
    until(&format!("{url} is served"), || {
        let output = client(cluster)?.args(["--silent", "--max-time", "5", "--fail", &url]).output()?;
        Ok(output.status.success().then_some(()))
    })
}

/// curl as a client.
pub(super) fn client(cluster: &Cluster) -> Result<std::process::Command> {
    enter::client(cluster, "curl")
}

/// Where a node's HTTP listeners are.
pub(super) fn bases(node: &Node) -> [String; 2] {
    [format!("http://{}", node.v4), format!("http://[{}]", node.v6)]
}

/// A node's own counters of connections.
pub(crate) fn counters(cluster: &Cluster, node: &Node) -> Result<SteeringCounters> {
    let url = format!("http://{}:19001/metrics", node.v4);
    let output =
        client(cluster)?.args(["--silent", "--show-error", "--fail", "--max-time", "5", &url]).output()?;
    ensure!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(SteeringCounters::read(&Page::from(String::from_utf8_lossy(&output.stdout).into_owned())))
}

/// Prints which pod is on which node, and the Gateway with its addresses, which must be all those of the nodes.
///
/// # Errors
/// An address is missing, or a node has no pod of Sluice.
pub(super) fn show(cluster: &Cluster) -> Result<()> {
    let columns = "--output=custom-columns=POD:.metadata.name,NODE:.spec.nodeName,ADDRESS:.status.podIP,\
                   RESTARTS:.status.containerStatuses[*].restartCount,\
                   HELPER:.status.initContainerStatuses[*].restartCount";
    for namespace in [NAMESPACE, NODE_NAMESPACE, "team2"] {
        println!("\n$ kubectl get pods --namespace {namespace}");
        print!("{}", cluster.say(&["--namespace", namespace, "get", "pods", columns])?);
    }
    println!("\n$ kubectl get gateways --all-namespaces");
    print!("{}", cluster.say(&["get", "gateways", "--all-namespaces"])?);
    let path = "--output=jsonpath={.status.addresses[*].value}";
    let addresses = cluster.say(&["--namespace=ingress", "get", "gateway/shared-gateway", path])?;
    println!("addresses: {addresses}\n");
    let selector = "--selector=app.kubernetes.io/name=sluice-node";
    let words = ["get", "pods", selector, "--output=jsonpath={.items[*].spec.nodeName}"];
    let on = cluster.say_in(NODE_NAMESPACE, &words)?;
    for node in cluster.nodes()? {
        let has = |list: &str, word: &str| list.split_whitespace().any(|one| one == word);
        ensure!(has(&addresses, &node.v4), "the Gateway has no address of {}: {addresses}", node.name);
        ensure!(has(&on, &node.name), "no pod of sluice-node runs on {}", node.name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_applied_but_for_its_backend_on_the_machine() {
        let files = files(&workspace().join(EXAMPLE)).unwrap();
        let names: Vec<_> =
            files.iter().map(|path| path.strip_prefix(workspace()).unwrap().display().to_string()).collect();
        assert_eq!(
            names,
            [
                "examples/on-kubernetes/team2-httpbin.yaml",
                "examples/shared-gateway/gateway.yaml",
                "examples/shared-gateway/team1-route.yaml",
                "examples/shared-gateway/team2-grant.yaml",
            ]
        );
    }

    #[test]
    fn the_backends_image_is_the_one_that_nodes_have() {
        let text = fs::read_to_string(workspace().join(ON_KUBERNETES)).unwrap();
        let name = super::super::image::NAME.strip_prefix("docker.io/library/").unwrap();
        assert!(text.contains(&format!("image: {name}\n")), "{text}");
    }
}
