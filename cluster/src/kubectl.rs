//! Calls of kubectl, and of containerd's client.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::handle::Cluster;
use crate::{enter, node, supervise};

impl Cluster {
    /// Has the API server take over the objects of these files.
    ///
    /// # Errors
    /// kubectl does not accept one of them.
    pub fn apply(&self, files: &[PathBuf]) -> Result<()> {
        let mut apply = self.kubectl()?;
        apply.args(["apply", "--server-side"]);
        for file in files {
            apply.arg("--filename").arg(file);
        }
        let output = apply.output().context("starting kubectl")?;
        ensure!(output.status.success(), "kubectl apply: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    /// Makes an image archive known to the cluster's node.
    ///
    /// # Errors
    /// containerd does not take it.
    pub fn import(&self, archive: &Path) -> Result<()> {
        node::import(enter::whole(self, "ctr")?, Path::new(supervise::RUN), archive)
    }

    /// kubectl as an administrator.
    ///
    /// # Errors
    /// The cluster is not up.
    pub fn kubectl(&self) -> Result<Command> {
        self.kubectl_by(enter::network)
    }

    /// kubectl as an administrator; it ends with the cluster at the latest.
    ///
    /// # Errors
    /// The cluster is not up.
    pub fn kubectl_within(&self) -> Result<Command> {
        self.kubectl_by(enter::whole)
    }

    fn kubectl_by(&self, enter: fn(&Self, &str) -> Result<Command>) -> Result<Command> {
        let settings = std::fs::read_to_string(self.join(supervise::SETTINGS)).unwrap_or_default();
        let Ok(settings) = serde_json::from_str::<supervise::Settings>(&settings) else {
            bail!("the cluster {} is not up: start it with `cargo xtask cluster up`", self.name());
        };
        let mut command = enter(self, &settings.program.display().to_string())?;
        command.arg("kubectl").env("KUBECONFIG", self.kubeconfig());
        Ok(command)
    }
}
