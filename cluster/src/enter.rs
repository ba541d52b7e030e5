//! Running a program inside a cluster.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};

use super::handle::Cluster;
use super::machines::Node;
use super::network::{self, CLIENT};
use super::proc;

/// In the cluster's network alone: files are the machine's.
///
/// # Errors
/// The cluster does not run.
pub fn network(cluster: &Cluster, program: &str) -> Result<Command> {
    let mut command = Command::new("nsenter");
    command.arg("--target").arg(cluster.first()?.to_string()).args(["--net", "--"]).arg(program);
    Ok(command)
}

/// Among the cluster's processes, with its mounts and network: it ends with the cluster at the latest.
///
/// # Errors
/// The cluster does not run.
pub fn whole(cluster: &Cluster, program: &str) -> Result<Command> {
    let mut command = Command::new("nsenter");
    command.arg("--target").arg(cluster.first()?.to_string());
    let here = std::env::current_dir()?;
    command
        .args(["--net", "--mount", "--pid"])
        .arg(format!("--wd={}", here.display()))
        .arg("--")
        .arg(program);
    Ok(command)
}

/// On a node, among its processes, with its mounts and network.
///
/// # Errors
/// The cluster does not run, or has no such node.
pub fn node(cluster: &Cluster, node: &Node, program: &str) -> Result<Command> {
    let pid = if node.apart { first_of(cluster, node)? } else { cluster.first()? };
    let mut command = Command::new("nsenter");
    command.arg("--target").arg(pid.to_string());
    command.args(["--net", "--mount", "--pid", "--"]).arg(program);
    Ok(command)
}

/// As a client of nodes that have networks of their own: in none of these networks, but on the same switch. Processes
/// and mounts are the cluster's.
///
/// # Errors
/// The cluster does not run.
pub fn client(cluster: &Cluster, program: &str) -> Result<Command> {
    let mut command = Command::new("nsenter");
    command.arg("--target").arg(cluster.first()?.to_string()).args(["--mount", "--pid"]);
    let here = std::env::current_dir()?;
    command.arg(client_network(cluster)?).arg(format!("--wd={}", here.display()));
    command.arg("--").arg(program);
    Ok(command)
}

/// The flag of nsenter for that network.
///
/// # Errors
/// The cluster does not run.
pub fn client_network(cluster: &Cluster) -> Result<String> {
    Ok(format!("--net={}", path(cluster, &network::namespace(CLIENT))?.display()))
}

/// The first process of a node that is a machine of its own, by its id outside: the only child of the one that the
/// cluster's first process started for it.
///
/// # Errors
/// The cluster or the node does not run.
pub(crate) fn first_of(cluster: &Cluster, node: &Node) -> Result<u32> {
    let dir = cluster.dir().as_os_str().as_encoded_bytes();
    let last: [&[u8]; 3] = [b"machine", dir, node.name.as_bytes()];
    let started_for = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> =
            line.trim_ascii_end().split(|byte| *byte == 0).filter(|word| !word.is_empty()).collect();
        words.ends_with(&last)
    };
    let outer = proc::children(cluster.first()?)?.into_iter().find(started_for);
    outer.and_then(proc::first_child).with_context(|| format!("the node {} does not run", node.name))
}

/// The path, from outside, of a file of the cluster's own mounts, such as one in `/run`.
///
/// # Errors
/// The cluster does not run.
pub fn path(cluster: &Cluster, path: &str) -> Result<PathBuf> {
    Ok(PathBuf::from(format!("/proc/{}/root{path}", cluster.first()?)))
}

/// Runs `body` on a thread that is in the cluster's network, and waits for it; what it starts is there, too.
///
/// # Errors
/// The cluster does not run, or this process may not enter its network; or those of `body`.
pub fn inside<T: Send>(cluster: &Cluster, body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let path = format!("/proc/{}/ns/net", cluster.first()?);
    let namespace = File::open(&path).with_context(|| path)?;
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(namespace, CloneFlags::CLONE_NEWNET).context("entering the cluster's network")?;
            body()
        });
        thread.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause))
    })
}
