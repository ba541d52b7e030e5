//! Calls of kubectl, and of containerd's client.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::handle::Cluster;
use crate::machines::Node;
use crate::settings::Settings;
use crate::{enter, mounts, node, process};

/// The namespaces that chart and manifests of `deploy/` make: that of controllers, and of nodes too with the roles together; and
/// that of nodes with the roles apart.
pub(crate) const NAMESPACE: &str = "sluice-system";
pub(crate) const NODE_NAMESPACE: &str = "sluice-nodes";

/// Far above what a rollout takes on a busy machine.
const WAIT_TIMEOUT: Duration = Duration::from_secs(240);
const RETRY_DELAY: Duration = Duration::from_millis(100);

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

    /// Makes an image archive known to every node of the cluster, to all at the same time.
    ///
    /// # Errors
    /// A node's containerd does not take it.
    pub fn import(&self, archive: &Path) -> Result<()> {
        let nodes = self.nodes()?;
        thread::scope(|scope| {
            let import = |node: Node| {
                let ctr = enter::node(self, &node, "ctr")?;
                node::import(ctr, Path::new(mounts::RUN), archive).with_context(|| node.name)
            };
            let all: Vec<_> = nodes.into_iter().map(|node| scope.spawn(move || import(node))).collect();
            all.into_iter().try_for_each(|one| one.join().unwrap_or_else(|cause| resume_unwind(cause)))
        })
    }

    /// Its nodes.
    ///
    /// # Errors
    /// The cluster is not up.
    pub fn nodes(&self) -> Result<Vec<Node>> {
        Ok(self.settings()?.nodes.all())
    }

    /// Has an administrator's kubectl do this in the controllers' namespace; gives what it says.
    ///
    /// # Errors
    /// kubectl fails; the message has its standard error.
    pub fn sluice(&self, words: &[&str]) -> Result<String> {
        self.say_in(NAMESPACE, words)
    }

    /// As [`Cluster::sluice`] in this namespace.
    ///
    /// # Errors
    /// As there.
    pub fn say_in(&self, namespace: &str, words: &[&str]) -> Result<String> {
        self.say(&[&["--namespace", namespace], words].concat())
    }

    /// Has an administrator's kubectl do this; gives what it says.
    ///
    /// # Errors
    /// As [`Cluster::sluice`].
    pub fn say(&self, words: &[&str]) -> Result<String> {
        let output = self.kubectl()?.args(words).output().context("starting kubectl")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {}: {}", words.join(" "), said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Calls a command of kubectl that waits, again and again for a short time, until it succeeds: Ctrl-C is heard between.
    ///
    /// # Errors
    /// It does not succeed within [`WAIT_TIMEOUT`], with what kubectl said last; or Ctrl-C was typed.
    pub fn wait(&self, words: &[&str]) -> Result<()> {
        let end = Instant::now() + WAIT_TIMEOUT;
        loop {
            process::check_interrupt()?;
            match self.say(&[words, &["--timeout=2s"]].concat()) {
                Err(error) if Instant::now() > end => return Err(error),
                Err(_) => thread::sleep(RETRY_DELAY),
                Ok(_) => return Ok(()),
            }
        }
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
        let mut command = enter(self, &self.settings()?.program.display().to_string())?;
        command.arg("kubectl").env("KUBECONFIG", self.kubeconfig());
        Ok(command)
    }

    fn settings(&self) -> Result<Settings> {
        let Ok(settings) = Settings::read(self.dir()) else {
            bail!("the cluster {} is not up: start it with `cargo xtask cluster up`", self.name());
        };
        Ok(settings)
    }
}
