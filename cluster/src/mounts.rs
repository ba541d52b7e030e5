//! Directories that programs have built in, each cluster's and each node's own.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

/// Of everything that is written outside the cluster's directory, where; each is empty in a mount namespace of ours. The
/// last is where the manifests of `deploy/` keep a node's state.
const PRIVATE: [&str; 5] =
    ["/var/lib/kubelet", "/var/lib/cni", "/var/log/containers", "/var/log/pods", "/var/lib/sluice"];
/// Sockets, network namespaces of pods, locks.
pub(super) const RUN: &str = "/run";
/// A bpffs of the cluster's own.
pub(crate) const BPFFS: &str = "/run/bpffs";

/// Hides what must not be shared with the machine behind directories below `dir`. The mount namespace is ours
/// already, and private.
pub(super) fn make(dir: &Path) -> Result<()> {
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
