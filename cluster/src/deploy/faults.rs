//! Faults of a bad day, done to a release on purpose.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::release::{Release, Role};
use crate::{enter, mounts, node, proc};

/// An API server that stands still, as one that cannot be reached: connections to it are made, and it responds to none. It
/// goes on when this is dropped.
pub struct StoppedApiServer(Pid);

/// A container of a pod, to be killed without asking the API server.
pub struct Container {
    node: String,
    id: String,
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
        Ok(Container { node: self.ask(role, &path)?.trim().to_owned(), id })
    }

    /// Kills a container's first process, and with it all others, by SIGKILL; the kubelet starts it again.
    ///
    /// # Errors
    /// Its node's containerd does not know it, or it has ended.
    pub fn kill(&self, container: &Container) -> Result<()> {
        let nodes = self.nodes()?;
        let on = nodes.iter().find(|node| node.name == container.node).context("its node is there")?;
        let mut ctr = enter::node(self.cluster(), on, "ctr")?;
        ctr.arg("--address").arg(node::socket(Path::new(mounts::RUN)));
        let output = ctr
            .args(["--namespace", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", &container.id])
            .output()
            .context("starting ctr")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "killing the container {}: {}", container.id, said.trim());
        Ok(())
    }

    /// Stops the API server.
    ///
    /// # Errors
    /// It is not to be found.
    pub fn stop_api_server(&self) -> Result<StoppedApiServer> {
        let is_it = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|word| word == b"kube-apiserver")
        };
        let pid = proc::children(self.cluster().first()?)?.into_iter().find(is_it);
        let pid = Pid::from_raw(pid.context("no API server runs")?.cast_signed());
        kill(pid, Signal::SIGSTOP).context("stopping the API server")?;
        Ok(StoppedApiServer(pid))
    }
}

impl Drop for StoppedApiServer {
    fn drop(&mut self) {
        // The cluster may have ended meanwhile, and it with it.
        let _ = kill(self.0, Signal::SIGCONT);
    }
}
