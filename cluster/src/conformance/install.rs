//! Installing what the gateway needs in a cluster, out of `deploy/` as operators do.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::account;
use crate::cargo::workspace;
use crate::documents;
use crate::handle::Cluster;

/// The class of every Gateway of the suite. Its controller name cannot be changed later, so it is ours
/// from the start.
pub const GATEWAY_CLASS: &str = "sluice";

/// Installs our definitions, the gateway's namespace, its account with its rights, and the GatewayClass.
///
/// # Errors
/// A file of `deploy/` is refused, or the account gets no rights in time.
pub fn install(cluster: &Cluster) -> Result<()> {
    cluster.apply(&definitions().context("deploy/")?)?;
    // The gateway runs as a process of the node.
    apply_documents(cluster, TOGETHER, |kind| kind != "DaemonSet")?;
    account::wait_for_rights(cluster)
}

/// The manifest of each shape.
pub(super) const TOGETHER: &str = "deploy/kubernetes/together.yaml";
pub(super) const APART: &str = "deploy/kubernetes/apart.yaml";

/// Installs what controllers of a network need besides, but no pods: they run as processes of the node.
///
/// # Errors
/// The file is refused.
pub(super) fn install_apart(cluster: &Cluster) -> Result<()> {
    apply_documents(cluster, APART, |kind| kind != "Deployment" && kind != "DaemonSet")
}

/// Applies those objects of a manifest whose kind passes.
///
/// # Errors
/// The file cannot be read, or an object is refused.
pub(super) fn apply_documents(
    cluster: &Cluster,
    manifest: &'static str,
    wanted: impl Fn(&str) -> bool,
) -> Result<()> {
    let all = documents::split(&fs::read_to_string(workspace().join(manifest)).context(manifest)?)?;
    let file = cluster.join("applied.yaml");
    fs::write(&file, documents::join(all.iter().filter(|one| wanted(one.kind()))))?;
    cluster.apply(&[file]).context(manifest)
}

fn definitions() -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(workspace().join("deploy/crds"))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}
