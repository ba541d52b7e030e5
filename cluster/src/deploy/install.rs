//! Installing Sluice by its charts, with the roles apart, as operators do.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::image;
use super::page::Line;
use crate::cargo::workspace;
use crate::chart::CHART;
use crate::chart::helm::{DEFINITIONS, Helm, RELEASE, must_succeed};
use crate::handle::Cluster;
use crate::kubectl::{NAMESPACE, NODE_NAMESPACE};
use crate::network::{CARD, GATEWAYS_V4, GATEWAYS_V6};

/// For a pod to be ready, and for one to drain.
pub(crate) const POD_TIMEOUT: &str = "--timeout=150s";
/// Controllers' port for nodes, by the chart.
const STREAM_PORT: u16 = 15_010;

/// Controllers and nodes of the release: the namespace of each, and the object that makes their pods.
pub(super) const CONTROLLERS: (&str, &str) = (NAMESPACE, "deployment/sluice-controller");
pub(super) const NODES: (&str, &str) = (NODE_NAMESPACE, "daemonset/sluice-node");

/// Addresses of Gateways that name none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addresses {
    /// Those of every node.
    Nodes,
    /// Each Gateway's own, on the card of some node.
    Pool,
}

/// A release of the gateway on a cluster.
pub(crate) struct Installation<'a> {
    pub(crate) helm: &'a Helm,
    pub(crate) cluster: &'a Cluster,
    /// Gets the file of its values.
    pub(crate) dir: &'a Path,
    pub(crate) addresses: Addresses,
    /// Files of more values, which win over its own.
    pub(crate) more: Vec<PathBuf>,
}

impl Installation<'_> {
    /// Installs all of it and waits until every pod is ready; gives the values of the release, without those of `more`.
    ///
    /// # Errors
    /// Helm or the API server refuses a chart, or a pod does not become ready in time.
    pub(crate) fn install(&self) -> Result<Value> {
        must_succeed(self.helm.command_in(self.cluster)?.arg("install").args(DEFINITIONS))?;
        self.cluster.wait(&["wait", "crd", "--all", "--for=condition=Established"])?;
        self.apply("install", &values(self.addresses, None))?;
        rolled_out(self.cluster, CONTROLLERS)?;
        self.upgrade()
    }

    /// Runs a command of docs/install.md. Beside what the page has, nodes are told where controllers are once those have an address.
    ///
    /// # Errors
    /// The program fails, or is another one than helm and kubectl; or a pod does not become ready in time.
    pub(super) fn run(&self, line: &Line) -> Result<()> {
        println!("$ {line}");
        let is_release = line.program == "helm" && line.begins(&["install", RELEASE[0], CHART]);
        let mut command = match line.program.as_str() {
            "helm" => self.helm.command_in(self.cluster)?,
            "kubectl" => self.cluster.kubectl()?,
            other => bail!("{other}: a command of the page is neither helm's nor kubectl's"),
        };
        command.current_dir(workspace()).args(&line.words);
        if is_release {
            // The next command of an operator comes later.
            self.cluster.wait(&["wait", "crd", "--all", "--for=condition=Established"])?;
            command.arg("--values").arg(write(self.dir, &values(self.addresses, None))?);
        }
        let output = command.output().with_context(|| format!("starting {}", line.program))?;
        ensure!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr).trim());
        if is_release {
            rolled_out(self.cluster, CONTROLLERS)?;
            self.upgrade()?;
        }
        Ok(())
    }

    /// Goes to its values of now and waits until every pod is ready.
    ///
    /// # Errors
    /// As [`Installation::install`].
    pub(crate) fn upgrade(&self) -> Result<Value> {
        let service = ["get", "service/sluice-controller", "--output=jsonpath={.spec.clusterIP}"];
        let values = values(self.addresses, Some(self.cluster.sluice(&service)?.trim()));
        self.apply("upgrade", &values)?;
        rolled_out(self.cluster, CONTROLLERS)?;
        rolled_out(self.cluster, NODES)?;
        Ok(values)
    }

    fn apply(&self, verb: &str, values: &Value) -> Result<()> {
        release(self.helm, self.cluster, (self.dir, &self.more), verb, values)
    }
}

/// Has helm `install` or `upgrade` the release to these values and those of the files, which win.
pub(super) fn release(
    helm: &Helm,
    cluster: &Cluster,
    (dir, more): (&Path, &[PathBuf]),
    verb: &str,
    values: &Value,
) -> Result<()> {
    let file = write(dir, values)?;
    let mut command = helm.command_in(cluster)?;
    command.arg(verb).args(RELEASE).arg(CHART);
    for values in std::iter::once(&file).chain(more) {
        command.arg("--values").arg(values);
    }
    must_succeed(&mut command).map(drop)
}

fn write(dir: &Path, values: &Value) -> Result<PathBuf> {
    let file = dir.join("values.json");
    fs::write(&file, values.to_string()).context("values.json")?;
    Ok(file)
}

/// Waits until every pod of this object of the release is of its newest version and ready.
pub(super) fn rolled_out(cluster: &Cluster, (namespace, object): (&str, &str)) -> Result<()> {
    cluster.wait(&["--namespace", namespace, "rollout", "status", object]).with_context(|| object.to_owned())
}

/// The release's values. These clusters have no DNS, so that nodes get the IPv4 address of the controllers' Service; no node starts
/// before that is known.
fn values(addresses: Addresses, controller: Option<&str>) -> Value {
    let (repository, tag) = image::NAME.rsplit_once(':').unwrap_or((image::NAME, ""));
    let mut values = json!({
        "image": { "repository": repository, "tag": tag },
        // A node whose programs cannot be loaded is to be noticed: its pod does not become ready.
        "node": { "config": { "steering": "ebpf" } },
    });
    if addresses == Addresses::Pool {
        let pool = format!("{GATEWAYS_V4},{GATEWAYS_V6}");
        values["config"] = json!({ "address-mode": "pool", "address-pool": pool });
        values["node"]["config"]["address-interface"] = json!(CARD);
    }
    match controller {
        Some(address) => {
            values["node"]["config"]["controller"] = json!(format!("{address}:{STREAM_PORT}"));
        }
        // A label that no machine has.
        None => values["node"]["nodeSelector"] = json!({ "sluice.dev/controller": "known" }),
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_node_starts_before_the_controllers_address_is_known() {
        let before = values(Addresses::Nodes, None);
        assert!(
            before["node"]["nodeSelector"].is_object() && before["node"]["config"]["controller"].is_null()
        );
        let after = values(Addresses::Nodes, Some("10.96.7.7"));
        assert_eq!(after["node"]["config"], json!({ "steering": "ebpf", "controller": "10.96.7.7:15010" }));
        assert!(after["node"]["nodeSelector"].is_null(), "{after}");
    }

    #[test]
    fn controllers_and_nodes_have_the_pool_and_nodes_the_card() {
        let values = values(Addresses::Pool, Some("10.96.7.7"));
        let of_all =
            json!({ "address-mode": "pool", "address-pool": format!("{GATEWAYS_V4},{GATEWAYS_V6}") });
        assert_eq!(values["config"], of_all);
        assert_eq!(values["node"]["config"]["address-interface"], CARD);
        assert_eq!(values["image"], json!({ "repository": "docker.io/library/sluice", "tag": "0.1.0" }));
    }
}
