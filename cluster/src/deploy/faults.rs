//! Faults of a bad day, done to a release on purpose.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::release::{Release, Role};
use crate::handle::Cluster;
use crate::machines::Node;
use crate::{enter, mounts, node, proc};

/// A process that stands still; it goes on when this is dropped.
pub struct Stopped(Pid);

/// A container of a pod, to be killed without asking the API server.
pub struct Container {
    node: String,
    pod: String,
    name: String,
    id: String,
}

/// Asks a node's containerd about its containers, or has it do something with them; gives what it says.
pub(super) fn ctr(cluster: &Cluster, on: &Node, words: &[&str]) -> Result<String> {
    let mut ctr = enter::node(cluster, on, "ctr")?;
    ctr.arg("--address").arg(node::socket(Path::new(mounts::RUN))).args(["--namespace", "k8s.io"]);
    let output = ctr.args(words).output().context("starting ctr")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ctr {}: {}", words.join(" "), said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

impl Release {
    /// Finds a container that runs.
    ///
    /// # Errors
    /// There is none of this name, or kubectl fails.
    pub fn find(&self, role: Role, pod: &str, container: &str) -> Result<Container> {
        let id = self.container(role, pod, container, "containerID")?;
        let id = id.rsplit('/').next().unwrap_or_default().to_owned();
        let path = format!("{{.items[?(@.metadata.name==\"{pod}\")].spec.nodeName}}");
        let node = self.ask(role, &path)?.trim().to_owned();
        Ok(Container { node, pod: pod.to_owned(), name: container.to_owned(), id })
    }

    /// Kills a container's first process, and with it all others, by SIGKILL; the kubelet starts it again.
    ///
    /// # Errors
    /// Its node's containerd does not know it, or it has ended.
    pub fn kill(&self, container: &Container) -> Result<()> {
        self.ctr(container, &["tasks", "kill", "--signal", "SIGKILL", &container.id]).map(drop)
    }

    /// True once the kubelet runs another container in the place of one that was killed.
    ///
    /// # Errors
    /// Its node's containerd does not say.
    pub fn is_replaced(&self, container: &Container) -> Result<bool> {
        let Container { pod, name, id, .. } = container;
        let filter = format!(
            "labels.\"io.kubernetes.pod.name\"=={pod},labels.\"io.kubernetes.container.name\"=={name}"
        );
        let all = self.ctr(container, &["containers", "list", "--quiet", &filter])?;
        let tasks = self.ctr(container, &["tasks", "list"])?;
        let runs = |id: &str| tasks.lines().any(|line| line.starts_with(id) && line.contains("RUNNING"));
        Ok(all.lines().any(|other| other != id && runs(other)))
    }

    /// Asks the containerd of a container's node.
    fn ctr(&self, container: &Container, words: &[&str]) -> Result<String> {
        let nodes = self.nodes()?;
        let on = nodes.iter().find(|node| node.name == container.node).context("its node is there")?;
        ctr(self.cluster(), on, words)
    }

    /// Stops the API server, which is then as one that cannot be reached: connections to it are made, and it responds to none.
    ///
    /// # Errors
    /// It is not to be found.
    pub fn stop_api_server(&self) -> Result<Stopped> {
        Stopped::child(self.cluster().first()?, "kube-apiserver")
    }
}

impl Stopped {
    /// Stops the child of this process that has this word in its command line.
    pub(super) fn child(parent: u32, word: &str) -> Result<Self> {
        let is_it = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|own| own == word.as_bytes())
        };
        let pid = proc::children(parent)?.into_iter().find(is_it);
        let pid = Pid::from_raw(pid.with_context(|| format!("no {word} runs"))?.cast_signed());
        kill(pid, Signal::SIGSTOP).with_context(|| format!("stopping {word}"))?;
        Ok(Self(pid))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // The cluster may have ended meanwhile, and it with it.
        let _ = kill(self.0, Signal::SIGCONT);
    }
}
