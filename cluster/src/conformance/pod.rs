//! The DaemonSet of `deploy/kubernetes/together.yaml`, as a node runs it: an image of the binary that was tested, started
//! with the rights that the manifest gives, asked through `kubectl exec`, and replaced by a pod that
//! takes over from it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::account::USER;
use super::install::TOGETHER;
use crate::cargo::workspace;
use crate::deploy::give_image;
use crate::deploy::install::POD_TIMEOUT;
use crate::documents;
use crate::handle::Cluster;
use crate::kubectl::NAMESPACE;

/// The manifest's directory on the node.
const STATE: &str = "hostPath: {path: /var/lib/sluice,";
/// The one capability of a process that is not helped (capabilities(7)).
const NET_BIND_SERVICE: u64 = 1 << 10;
/// CAP_CHOWN, DAC_OVERRIDE, FOWNER, NET_BIND_SERVICE, NET_ADMIN, PERFMON and BPF (capabilities(7)).
const OF_HELPER: u64 = 1 | 1 << 1 | 1 << 3 | NET_BIND_SERVICE | 1 << 12 | 1 << 38 | 1 << 39;

/// Runs it and asks it. The logs of a pod that does not come up are in `dir`.
///
/// # Errors
/// The pod does not become ready, has more rights than it should, does not respond, or its successor does
/// not take over.
pub(super) fn judge(sluice: &Path, cluster: &Cluster, dir: &Path) -> Result<()> {
    give_image(sluice, cluster, dir)?;
    let manifest = daemon_set(TOGETHER, &cluster.join("pod-state"))?;
    let file = dir.join("daemonset.yaml");
    fs::write(&file, manifest)?;
    cluster.apply(&[file])?;
    let judged = ready_and_asked(cluster).and_then(|first| {
        cluster.sluice(&["rollout", "restart", "daemonset/sluice"])?;
        let second = ready_and_asked(cluster)?;
        ensure!(first != second, "the pod {first} was to be replaced and is still there");
        cluster.sluice(&["delete", "daemonset/sluice", "--cascade=foreground", POD_TIMEOUT]).map(drop)
    });
    judged.context(TOGETHER)
}

/// Waits for the one pod that should be there; gives its name.
fn ready_and_asked(cluster: &Cluster) -> Result<String> {
    cluster.sluice(&["rollout", "status", "daemonset/sluice", POD_TIMEOUT])?;
    let names = cluster.sluice(&["get", "pods", "--field-selector=status.phase=Running", "--output=name"])?;
    // The one before it still drains.
    let name = newest(cluster, NAMESPACE, &names)?;
    let status = cluster.sluice(&["exec", &name, "--container=node", "--", "sluice", "status"])?;
    ensure!(status.contains("generation"), "`sluice status` in {name} says: {status}");
    let count = judge_threads(0)?;
    println!(
        "{name}: ready, asked through kubectl exec, {count} threads without rights, no token but the controller's"
    );
    Ok(name)
}

/// For looking whether another host has an address of a pool.
pub(super) const NET_RAW: u64 = 1 << 13;

/// Judges every thread of all three roles, where the helper may hold `more` capabilities; gives their number.
pub(super) fn judge_threads(more: u64) -> Result<usize> {
    let mut count = 0;
    for (role, user, allowed) in [("node", USER, 0), ("controller", USER, 0), ("helper", 0, OF_HELPER | more)]
    {
        let threads = threads(role)?;
        ensure!(!threads.is_empty(), "no thread of the {role} is to be seen");
        for (thread, rights) in &threads {
            rights.judge(user, allowed).with_context(|| format!("the {role}'s thread {thread}"))?;
        }
        count += threads.len();
    }
    Ok(count)
}

/// Of pods, as `pod/NAME` in lines, the one that began last.
pub(super) fn newest(cluster: &Cluster, namespace: &str, names: &str) -> Result<String> {
    let mut pods = Vec::new();
    for name in names.lines() {
        let words = ["get", name, "--output=jsonpath={.metadata.creationTimestamp}"];
        let begun = cluster.say_in(namespace, &words)?;
        pods.push((begun, name.to_owned()));
    }
    pods.into_iter().max().map(|(_, name)| name).context("no pod runs")
}

/// The DaemonSet of a manifest, with its state in `state` on this machine.
pub(super) fn daemon_set(of: &'static str, state: &Path) -> Result<String> {
    let all = documents::split(&fs::read_to_string(workspace().join(of)).context(of)?)?;
    let set = all.into_iter().find(|one| one.kind() == "DaemonSet");
    let text = set.with_context(|| format!("{of} has no DaemonSet"))?.text;
    ensure!(text.contains(STATE), "{of} has no `{STATE}`");
    Ok(text.replace(STATE, &format!("hostPath: {{path: {},", state.display())))
}

/// A thread's users and capabilities (proc(5)).
#[derive(Debug, Default, PartialEq, Eq)]
struct Rights {
    users: Vec<u32>,
    capabilities: u64,
    no_new_privileges: bool,
}

impl Rights {
    fn read(status: &str) -> Self {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_default().trim().to_owned()
        };
        let capabilities = ["CapInh", "CapPrm", "CapEff", "CapAmb"].map(|set| {
            // A set that cannot be read is every right.
            u64::from_str_radix(&field(set), 16).unwrap_or(u64::MAX)
        });
        Self {
            users: field("Uid").split_whitespace().filter_map(|user| user.parse().ok()).collect(),
            capabilities: capabilities.into_iter().fold(0, |all, set| all | set),
            no_new_privileges: field("NoNewPrivs") == "1",
        }
    }

    /// Judges a thread that is to be this user, and may hold these capabilities.
    fn judge(&self, user: u32, allowed: u64) -> Result<()> {
        ensure!(self.users == [user; 4], "its users are {:?}, not {user}", self.users);
        ensure!(self.capabilities & !allowed == 0, "it holds capabilities {:#x}", self.capabilities);
        ensure!(self.no_new_privileges, "it may get new privileges");
        Ok(())
    }
}

/// Every thread of the gateways of this role that run in pods, by name and number. Only a controller's container has a token.
fn threads(role: &str) -> Result<BTreeMap<String, Rights>> {
    let started = format!("/sluice\0{role}\0");
    let mut all = BTreeMap::new();
    for process in fs::read_dir("/proc")?.flatten() {
        let dir = process.path();
        // Processes that have ended meanwhile are passed over.
        let command = fs::read(dir.join("cmdline")).unwrap_or_default();
        let groups = fs::read_to_string(dir.join("cgroup")).unwrap_or_default();
        if !command.starts_with(started.as_bytes()) || !groups.contains("kubepods") {
            continue;
        }
        let has_token = dir.join("root/var/run/secrets/kubernetes.io/serviceaccount/token").exists();
        ensure!(has_token == (role == "controller"), "the {role} has a token: {has_token}");
        for task in fs::read_dir(dir.join("task")).into_iter().flatten().flatten() {
            let Ok(status) = fs::read_to_string(task.path().join("status")) else { continue };
            let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            all.insert(format!("{} {}", name.trim(), task.file_name().display()), Rights::read(&status));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::image;

    const STATUS: &str = "Name:\tworker-0\nUid:\t65532\t65532\t65532\t65532\nCapInh:\t0000000000000000\n\
         CapPrm:\t0000000000000400\nCapEff:\t0000000000000400\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n";

    #[test]
    fn a_thread_with_one_right_more_is_found() {
        assert!(Rights::read(STATUS).judge(USER, NET_BIND_SERVICE).is_ok());
        for (right, wrong) in [
            ("CapPrm:\t0000000000000400", "CapPrm:\t0000000000001400"),
            ("Uid:\t65532\t65532\t65532", "Uid:\t65532\t65532\t0"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
            ("CapAmb:\t0000000000000000\n", ""),
        ] {
            let status = STATUS.replace(right, wrong);
            assert_ne!(status, STATUS);
            assert!(Rights::read(&status).judge(USER, NET_BIND_SERVICE).is_err(), "{wrong}");
        }
        assert!(Rights::read(STATUS).judge(USER, 0).is_err(), "a controller has none");
    }

    #[test]
    fn the_manifests_state_lies_elsewhere() {
        let text = daemon_set(TOGETHER, Path::new("/elsewhere")).unwrap();
        assert!(text.contains("hostPath: {path: /elsewhere,"), "{text}");
        let (_, name) = image::NAME.rsplit_once('/').unwrap();
        assert!(text.contains(&format!("image: {name}\n")), "{text}");
    }
}
