//! The control groups of a cluster: one root of its own in every hierarchy, so that its end
//! touches no other's.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use anyhow::{Context, Result};

use crate::cache::Key;
use crate::machines::Node;

/// A killed process leaves its group a moment later.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(30);
const RETRY_DELAY: Duration = Duration::from_millis(20);

/// The path of a cluster's root in each hierarchy. The hierarchies are the machine's, so the root is named by
/// where the cluster lies: two caches may have clusters of one name.
fn root(dir: &Path) -> String {
    let mut key = Key::default();
    key.add(dir.as_os_str().as_encoded_bytes());
    let name = dir.file_name().unwrap_or_default();
    format!("/sluice-{}-{}", name.display(), key.name())
}

/// Makes a node's group below the root in every hierarchy, and gives its path there; kubelet wants it there before it
/// starts. The only node of a cluster has the root itself.
pub(super) fn make(dir: &Path, node: &Node) -> Result<String> {
    let below = if node.apart { node.name.as_str() } else { "" };
    for root in roots(dir)? {
        let group = root.join(below);
        fs::create_dir_all(&group)
            .with_context(|| format!("making the control group {}", group.display()))?;
    }
    Ok(Path::new(&root(dir)).join(below).display().to_string().trim_end_matches('/').to_owned())
}

/// Removes the root and all below it from every hierarchy.
pub(super) fn remove(dir: &Path) -> Result<()> {
    for group in roots(dir)? {
        let end = Instant::now() + REMOVE_TIMEOUT;
        while let Err(e) = remove_tree(&group) {
            if Instant::now() > end {
                return Err(e).with_context(|| format!("removing the control group {}", group.display()));
            }
            thread::sleep(RETRY_DELAY);
        }
    }
    Ok(())
}

/// Groups hold files that cannot be removed; only rmdir(2) from the leaves up works.
fn remove_tree(dir: &Path) -> io::Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_tree(&path)?;
        }
    }
    fs::remove_dir(dir)
}

fn roots(dir: &Path) -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    Ok(hierarchies(&mounts).map(|mount| Path::new(mount).join(root(dir).trim_start_matches('/'))).collect())
}

/// Where version 1 and version 2 hierarchies are mounted.
fn hierarchies(mounts: &str) -> impl Iterator<Item = &str> {
    mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (dir, kind) = (words.next()?, words.next()?);
        ["cgroup", "cgroup2"].contains(&kind).then_some(dir)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_hierarchies_are_found() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(hierarchies(mounts).collect::<Vec<_>>(), ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/unified"]);
    }

    #[test]
    fn clusters_of_one_name_in_two_caches_have_roots_of_their_own() {
        let [one, other] = ["/a/clusters/default", "/b/clusters/default"].map(|dir| root(Path::new(dir)));
        assert!(one.starts_with("/sluice-default-") && other.starts_with("/sluice-default-"));
        assert_ne!(one, other);
    }

    #[test]
    fn trees_go_from_the_leaves_up() {
        let dir = gateway_testkit::scratch::Scratch::new("cgroup").unwrap();
        let root = dir.join("root");
        fs::create_dir_all(root.join("pods/burstable")).unwrap();
        remove_tree(&root).unwrap();
        assert!(!root.exists());
        remove_tree(&root).unwrap();
    }
}
