//! Programs of a node, and the first process of a node that is a machine of its own.
//!
//! That process is number 1 of a PID namespace within the cluster's, with mounts and a network that no other node sees: its
//! end is the end of all that runs on the node, as a loss of power is.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::machines::Node;
use super::mounts::RUN;
use super::node::{self, Place};
use super::parts::Parts;
use super::settings::Settings;
use super::{cgroup, condition, control_plane as control, mounts, network};

/// A node, by the directory of its cluster.
pub(super) struct Machine<'a> {
    cluster: &'a Path,
    node: &'a Node,
    dir: PathBuf,
    pki: PathBuf,
}

impl<'a> Machine<'a> {
    /// The only node of a cluster keeps what it writes in the cluster's directory itself.
    pub(super) fn new(cluster: &'a Path, node: &'a Node) -> Self {
        let dir = if node.apart { cluster.join("nodes").join(&node.name) } else { cluster.to_owned() };
        Self { cluster, node, dir, pki: cluster.join("pki") }
    }

    fn place(&self) -> Place<'_> {
        Place { node: self.node, dir: &self.dir, pki: &self.pki }
    }

    /// Starts containerd and gives it these images.
    pub(super) fn start_containerd(&self, parts: &mut Parts, images: &[PathBuf]) -> Result<()> {
        let run = Path::new(RUN);
        let arguments = node::containerd(&self.place(), run)?;
        parts.start("containerd", Command::new("containerd").args(arguments))?;
        parts.until("containerd responds", || node::responds(run))?;
        images.iter().try_for_each(|archive| node::import(Command::new("ctr"), run, archive))
    }

    /// Starts kubelet and kube-proxy.
    pub(super) fn start_kubelet(&self, parts: &mut Parts) -> Result<()> {
        let group = cgroup::make(self.cluster, self.node)?;
        parts.component(node::kubelet(&self.place(), Path::new(RUN), &group)?)?;
        parts.component(node::proxy(&self.place())?)
    }
}

/// Starts the first process of a node that is a machine of its own; `cluster` is the cluster's directory.
pub(super) fn command(cluster: &Path, node: &Node) -> Result<Command> {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", network::namespace(&node.name))).arg("--");
    command.args(["unshare", "--mount", "--propagation", "private", "--pid", "--fork"]);
    command.args(["--mount-proc", "--kill-child"]);
    command.arg(env::current_exe()?).args(["cluster", "machine"]).arg(cluster).arg(&node.name);
    Ok(command)
}

/// Starts all that runs on the node of this name and stays until it is killed or until a part ends.
pub(super) fn run(cluster: &Path, name: &str) -> Result<()> {
    ensure!(std::process::id() == 1, "only the first process of a PID namespace may do this");
    let settings = Settings::read(cluster)?;
    let nodes = settings.nodes.apart();
    let node = nodes.iter().find(|node| node.name == name).with_context(|| format!("there is no {name}"))?;
    let machine = Machine::new(cluster, node);
    fs::create_dir_all(&machine.dir)?;
    mounts::make(&machine.dir)?;
    network::make_node(node, settings.nodes)?;
    let mut parts = Parts::new(&settings.program, &cluster.join("log"), &format!("{name}-"))?;
    machine.start_containerd(&mut parts, &settings.images)?;
    parts.until("the API server is ready", || control::get(&machine.pki, "/readyz").is_some())?;
    machine.start_kubelet(&mut parts)?;
    parts.stay()
}

/// True if a node says that it is ready.
pub(super) fn is_ready(node: &str) -> bool {
    let node: Value = serde_json::from_str(node).unwrap_or_default();
    condition::holds(&node["status"], "Ready")
}
