//! The first process of a cluster: starts its parts in order, then reaps whatever ends.
//!
//! It is process 1 of a PID namespace, so when it ends, in whatever way, the kernel kills every other process
//! of the cluster, and the mount and network namespaces go with them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::control_plane::{self as control, Arguments};
use super::{cgroup, condition, network, node};

/// The programs to start; the cluster's directory has them as a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Settings {
    /// The program that is every component of Kubernetes.
    pub(super) program: PathBuf,
    /// Image archives that the node has from the start; without any there is no node, only a control plane.
    pub(super) images: Vec<PathBuf>,
}

/// The file with the settings.
pub(super) const SETTINGS: &str = "settings.json";
/// The file that says that all is up.
pub(super) const READY: &str = "ready";

/// Of everything that is written outside the cluster's directory, where; each is empty in the cluster's own
/// mount namespace.
const PRIVATE: [&str; 4] = ["/var/lib/kubelet", "/var/lib/cni", "/var/log/containers", "/var/log/pods"];
/// Sockets, network namespaces of pods, locks.
pub(super) const RUN: &str = "/run";
/// A bpffs of the cluster's own.
pub(crate) const BPFFS: &str = "/run/bpffs";

/// Far above what a start takes on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(180);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The parts that run, by process.
struct Supervisor {
    dir: PathBuf,
    settings: Settings,
    parts: BTreeMap<i32, String>,
}

/// Starts everything and stays until it is killed or until a part ends.
pub(super) fn run(dir: &Path) -> Result<()> {
    let settings = fs::read_to_string(dir.join(SETTINGS)).context(SETTINGS)?;
    let settings: Settings = serde_json::from_str(&settings).context(SETTINGS)?;
    ensure!(std::process::id() == 1, "only the first process of a PID namespace may do this");
    let mut supervisor = Supervisor { dir: dir.to_owned(), settings, parts: BTreeMap::new() };
    supervisor.start()?;
    loop {
        supervisor.reap()?;
        thread::sleep(POLL_INTERVAL);
    }
}

impl Supervisor {
    fn start(&mut self) -> Result<()> {
        mounts(&self.dir)?;
        network::make()?;
        fs::create_dir_all(self.dir.join("log"))?;
        let pki = self.dir.join("pki");
        self.make_pki(&pki)?;
        self.component(control::etcd(&self.dir))?;
        self.component(control::api_server(&self.dir, &pki)?)?;
        // Images come in while the API server starts.
        if self.has_node() {
            self.start_containerd()?;
        }
        self.until("the API server is ready", || control::get(&pki, "/readyz").is_some())?;
        self.component(control::controller_manager(&pki))?;
        self.component(control::scheduler(&pki))?;
        if self.has_node() {
            cgroup::make(&self.dir)?;
            let root = cgroup::root(&self.dir);
            self.component(node::kubelet(&self.dir, Path::new(RUN), &root)?)?;
            self.component(node::proxy(&self.dir)?)?;
            self.until("the node is ready", || {
                control::get(&pki, &format!("/api/v1/nodes/{}", network::NODE)).is_some_and(|n| is_ready(&n))
            })?;
        }
        // Without it no pod is admitted.
        let account = "/api/v1/namespaces/default/serviceaccounts/default";
        self.until("the controllers work", || control::get(&pki, account).is_some())?;
        Ok(fs::write(self.dir.join(READY), "")?)
    }

    fn has_node(&self) -> bool {
        !self.settings.images.is_empty()
    }

    fn make_pki(&self, pki: &Path) -> Result<()> {
        let addresses = ["127.0.0.1", "::1", network::NODE_V4, network::NODE_V6, network::API_V4];
        let output = Command::new(&self.settings.program)
            .arg("pki")
            .arg(pki)
            .args([&control::url(), network::NODE])
            .args(addresses)
            .output()?;
        ensure!(output.status.success(), "making certificates: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    fn start_containerd(&mut self) -> Result<()> {
        let run = Path::new(RUN);
        let arguments = node::containerd(&self.dir, run)?;
        self.part("containerd", Command::new("containerd").args(arguments))?;
        self.until("containerd responds", || node::responds(run))?;
        self.settings.images.iter().try_for_each(|archive| node::import(Command::new("ctr"), run, archive))
    }

    /// Starts a component of Kubernetes.
    fn component(&mut self, arguments: Arguments) -> Result<()> {
        let name = arguments[0].clone();
        let mut command = Command::new(&self.settings.program);
        self.part(&name, command.args(arguments))
    }

    fn part(&mut self, name: &str, command: &mut Command) -> Result<()> {
        let log = File::create(self.log(name))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        self.parts.insert(child.id().cast_signed(), name.to_owned());
        Ok(())
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("log/{name}.log"))
    }

    fn until(&mut self, what: &str, mut ready: impl FnMut() -> bool) -> Result<()> {
        let end = Instant::now() + START_TIMEOUT;
        while !ready() {
            self.reap()?;
            if Instant::now() > end {
                bail!("gave up waiting until {what}; see {}", self.dir.join("log").display());
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Takes note of every process that has ended, containers' leavings among them; a part must not end.
    fn reap(&mut self) -> Result<()> {
        loop {
            let pid = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(()),
                Ok(status) => status.pid(),
                Err(e) => return Err(e.into()),
            };
            if let Some(name) = pid.and_then(|pid| self.parts.remove(&pid.as_raw())) {
                bail!("{name} ended by itself: {}", last_lines(&self.log(&name)));
            }
        }
    }
}

/// Hides what the cluster must not share with the machine behind directories of its own. The mount namespace
/// is ours already, and private.
fn mounts(dir: &Path) -> Result<()> {
    let none = None::<&str>;
    let tmpfs = |to: &str| mount(Some("tmpfs"), to, Some("tmpfs"), MsFlags::empty(), Some("mode=755"));
    tmpfs(RUN).with_context(|| format!("mounting {RUN}"))?;
    for to in PRIVATE {
        fs::create_dir_all(to).with_context(|| format!("making {to}"))?;
        let from = dir.join("private").join(to.trim_start_matches('/'));
        fs::create_dir_all(&from)?;
        mount(Some(&from), to, none, MsFlags::MS_BIND, none).with_context(|| format!("mounting {to}"))?;
    }
    fs::create_dir_all(BPFFS)?;
    mount(Some("bpffs"), BPFFS, Some("bpf"), MsFlags::empty(), none).context("mounting a bpffs")
}

/// True if a node says that it is ready.
fn is_ready(node: &str) -> bool {
    let node: Value = serde_json::from_str(node).unwrap_or_default();
    condition::holds(&node["status"], "Ready")
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}
