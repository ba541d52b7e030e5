//! Installing what the gateway needs in a cluster, out of `deploy/` as operators do.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::account;
use crate::cargo::workspace;
use crate::handle::Cluster;

/// The class of every Gateway of the suite. Its controller name cannot be changed later, so it is ours
/// from the start.
pub const GATEWAY_CLASS: &str = "sluice";

/// Installs our definitions, the gateway's namespace, its account with its rights, and the GatewayClass.
///
/// # Errors
/// A file of `deploy/` is refused, or the account gets no rights in time.
pub fn install(cluster: &Cluster) -> Result<()> {
    cluster.apply(&manifests().context("deploy/")?)?;
    account::wait_for_rights(cluster)
}

/// The controllers' manifest.
const CONTROLLERS: &str = "kubernetes/apart/controller.yaml";

/// Installs what controllers of a network need besides, but not their Deployment: they run as processes of the node.
///
/// # Errors
/// The file is refused.
pub(super) fn install_apart(cluster: &Cluster, dir: &Path) -> Result<()> {
    let path = workspace().join("deploy").join(CONTROLLERS);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let parts = text.split("\n---\n").filter(|part| !part.contains("\nkind: Deployment\n"));
    let file = dir.join("controllers-without-deployment.yaml");
    fs::write(&file, parts.collect::<Vec<_>>().join("\n---\n"))?;
    cluster.apply(&[file])
}

/// All of `deploy/` but the DaemonSet: the gateway runs as a process of the node.
fn manifests() -> Result<Vec<PathBuf>> {
    let deploy = workspace().join("deploy");
    let mut files = vec![deploy.join("kubernetes/rbac.yaml"), deploy.join("kubernetes/gatewayclass.yaml")];
    for entry in fs::read_dir(deploy.join("crds"))? {
        files.push(entry?.path());
    }
    Ok(files)
}
