//! Releases of both charts in a real cluster: installed, upgraded and taken away by helm.

use anyhow::{Context as _, Result, ensure};

use super::CHART;
use super::dry_run::established;
use super::helm::{DEFINITIONS, Helm, RELEASE, must_succeed};
use super::made::MANIFESTS;
use crate::cargo::workspace;
use crate::handle::Cluster;

/// Objects that outlive both releases, since they hold or define what operators and Gateways have.
const KEPT: [&str; 4] = [
    "namespace/sluice-system",
    "namespace/sluice-nodes",
    "crd/gatewayconfigs.sluice.dev",
    "crd/nodereports.sluice.dev",
];

/// Installs definitions and gateway, upgrades it to other values, goes back, and takes both away; then the same over what was
/// applied from the manifests.
pub(super) fn check(helm: &Helm, cluster: &Cluster) -> Result<()> {
    come_and_go(helm, cluster, &[])?;
    // What stays must not be in the way of the next time.
    must_succeed(helm.command_in(cluster)?.arg("install").args(RELEASE).args([CHART, "--dry-run=server"]))?;
    for (manifest, _) in MANIFESTS.iter().filter(|(manifest, _)| manifest.contains("apart")) {
        cluster.apply(&[workspace().join(manifest)]).context(*manifest)?;
    }
    come_and_go(helm, cluster, &["--take-ownership"])?;
    println!(
        "helm: installed, upgraded, rolled back, uninstalled, and the same over the manifests; what is kept stays"
    );
    Ok(())
}

fn come_and_go(helm: &Helm, cluster: &Cluster, flags: &[&str]) -> Result<()> {
    must_succeed(helm.command_in(cluster)?.arg("install").args(DEFINITIONS))?;
    established(cluster)?;
    let notes = must_succeed(helm.command_in(cluster)?.arg("install").args(RELEASE).arg(CHART).args(flags))?;
    ensure!(notes.contains("rollout status daemonset/sluice-node"), "its notes are: {notes}");
    let values = ["--set", "controller.replicas=3"];
    must_succeed(helm.command_in(cluster)?.arg("upgrade").args(RELEASE).arg(CHART).args(values))?;
    ensure!(replicas(cluster)? == "3", "an upgrade changed nothing");
    must_succeed(helm.command_in(cluster)?.args(["rollback", RELEASE[0], "1"]).args(&RELEASE[1..]))?;
    ensure!(replicas(cluster)? == "2", "a rollback changed nothing");
    must_succeed(helm.command_in(cluster)?.arg("uninstall").args(RELEASE))?;
    must_succeed(helm.command_in(cluster)?.args(["uninstall", DEFINITIONS[0]]).args(&DEFINITIONS[2..]))?;
    let left = get(cluster, &["get", "deployments,daemonsets", "--all-namespaces", "--output=name"])?;
    ensure!(!left.contains("sluice"), "helm uninstall leaves {left}");
    for name in KEPT {
        get(cluster, &["get", name]).context("helm uninstall")?;
    }
    Ok(())
}

fn replicas(cluster: &Cluster) -> Result<String> {
    let name = ["get", "deployment/sluice-controller", "--namespace=sluice-system"];
    get(cluster, &[&name[..], &["--output=jsonpath={.spec.replicas}"]].concat())
}

fn get(cluster: &Cluster, words: &[&str]) -> Result<String> {
    let output = cluster.kubectl()?.args(words).output().context("starting kubectl")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "kubectl {}: {}", words.join(" "), said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
