//! The backend of `sluice-bench load` in a pod of a cluster.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::give_image_as;
use crate::handle::Cluster;

/// Its image, as containerd spells it.
const IMAGE: &str = "docker.io/library/sluice-bench:lab";
const OBJECTS: &str = include_str!("backend.yaml");
/// Its namespace, which has a label that `examples/shared-gateway` allows to attach routes.
pub(super) const NAMESPACE: &str = "load";
/// The object that makes its pod.
pub(super) const DEPLOYMENT: &str = "deployment/backend";

/// Starts the backend of this `sluice-bench`, with `routes` that lead to it: objects in YAML, in namespace `load`.
///
/// # Errors
/// A node does not take the image, the API server refuses an object, or the pod does not become ready.
pub(super) fn start(cluster: &Cluster, bench: &Path, dir: &Path, routes: &str) -> Result<()> {
    give_image_as(IMAGE, (bench, &[]), cluster, dir)?;
    let file = dir.join("load.yaml");
    fs::write(&file, format!("{OBJECTS}---\n{routes}")).with_context(|| file.display().to_string())?;
    cluster.apply(&[file])?;
    cluster.wait(&["--namespace", NAMESPACE, "rollout", "status", DEPLOYMENT])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pod_runs_the_image_that_nodes_are_given() {
        let short = IMAGE.trim_start_matches("docker.io/library/");
        assert!(OBJECTS.contains(&format!("image: {short}\n")));
        assert!(OBJECTS.contains(&format!("metadata: {{name: {NAMESPACE}, ")));
    }
}
