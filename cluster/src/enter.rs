//! Running a program inside a cluster.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};

use super::handle::Cluster;

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
