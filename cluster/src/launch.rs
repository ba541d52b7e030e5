//! Starting a cluster in namespaces of its own, and waiting until it is up.

use std::env;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::handle::Cluster;
use super::machines::Nodes;
use super::settings::{READY, SETTINGS, Settings};
use crate::{proc, process};

/// How long a cluster lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until somebody ends it.
    Detached,
    /// Until the thread that starts it ends, in whatever way.
    Bound,
}

/// Longer than the cluster itself waits, so that it gets to say what is missing.
const START_TIMEOUT: Duration = Duration::from_secs(600);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Starts a cluster at a place that is free, and waits until it is up; one that does not come up is removed,
/// but for its logs.
pub(super) fn start(
    cluster: &Cluster,
    program: PathBuf,
    images: Vec<PathBuf>,
    nodes: Nodes,
    lifetime: Lifetime,
) -> Result<()> {
    let lock = cluster.take()?;
    let settings = Settings { program, images, nodes };
    fs::write(cluster.join(SETTINGS), serde_json::to_string_pretty(&settings)?)?;
    let mut outer = namespaces(lifetime)
        .arg(env::current_exe()?)
        .args(["cluster", "supervise"])
        .arg(cluster.dir())
        .stdin(Stdio::null())
        .stdout(File::create(cluster.join("supervisor.log"))?)
        .stderr(File::create(cluster.join("supervisor.err"))?)
        .spawn()
        .context("starting unshare (package util-linux)")?;
    // From here on the cluster's processes hold it.
    drop(lock);
    let up =
        first(&mut outer).and_then(|pid| cluster.remember(pid)).and_then(|()| until_up(cluster, &mut outer));
    if up.is_err() {
        let kept = env::temp_dir().join(format!("sluice-cluster-{}-{}", cluster.name(), std::process::id()));
        let _ = outer.kill();
        let _ = outer.wait();
        if fs::create_dir_all(&kept).is_ok() && copy_logs(cluster, &kept).is_ok() {
            eprintln!("the logs of the cluster that did not come up are in {}", kept.display());
        }
        cluster.end()?;
    }
    up
}

/// Namespaces for mounts, networks and processes. With its parent the first process dies, and so do all.
fn namespaces(lifetime: Lifetime) -> Command {
    let mut command = match lifetime {
        Lifetime::Detached => Command::new("setsid"),
        Lifetime::Bound => Command::new("setpriv"),
    };
    if lifetime == Lifetime::Bound {
        command.args(["--pdeathsig", "KILL", "setsid"]);
    }
    command.args(["unshare", "--mount", "--propagation", "private", "--net", "--pid", "--fork"]);
    command.args(["--mount-proc", "--kill-child"]);
    command
}

/// The first process's id outside its namespace: the only child of the one that made the namespaces.
fn first(outer: &mut Child) -> Result<u32> {
    let parent = outer.id();
    wait(outer, "its first process runs", || Ok(proc::first_child(parent)))
}

fn until_up(cluster: &Cluster, outer: &mut Child) -> Result<()> {
    let ready = cluster.join(READY);
    let up = wait(outer, "it is up", || Ok(ready.exists().then_some(())));
    up.with_context(|| {
        let said = fs::read_to_string(cluster.join("supervisor.err")).unwrap_or_default();
        format!("the cluster {} did not come up: {}", cluster.name(), said.trim())
    })
}

fn wait<T>(outer: &mut Child, what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + START_TIMEOUT;
    loop {
        process::check_interrupt()?;
        if let Some(found) = look()? {
            return Ok(found);
        }
        if let Some(status) = outer.try_wait()? {
            bail!("it ended ({status}) before {what}");
        }
        if Instant::now() > end {
            bail!("gave up waiting until {what}");
        }
        thread::sleep(POLL_INTERVAL);
    }
}

fn copy_logs(cluster: &Cluster, to: &std::path::Path) -> std::io::Result<()> {
    for dir in [cluster.dir().to_owned(), cluster.join("log")] {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let log = path.extension().is_some_and(|extension| extension == "log" || extension == "err");
            if let (true, Some(name)) = (log, path.file_name()) {
                fs::copy(&path, to.join(name))?;
            }
        }
    }
    Ok(())
}
