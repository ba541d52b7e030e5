//! Rights of this process, as the kernel sees them: root in a container often may less than its name says.

use std::fs;

use anyhow::{Context, Result};

/// Numbers of capabilities(7).
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_BPF: u32 = 39;

/// True if network and mount namespaces can be made.
pub(super) fn may_make_namespaces() -> Result<bool> {
    Ok(has(effective()?, CAP_SYS_ADMIN) && in_first_user_namespace()?)
}

/// True if kernel programs can be loaded and attached to a network namespace.
pub(super) fn may_load_programs() -> Result<bool> {
    let caps = effective()?;
    let bpf = has(caps, CAP_BPF) || has(caps, CAP_SYS_ADMIN);
    Ok(bpf && has(caps, CAP_NET_ADMIN) && in_first_user_namespace()?)
}

fn has(caps: u64, bit: u32) -> bool {
    caps & (1 << bit) != 0
}

fn effective() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let caps = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .context("no CapEff in /proc/self/status")?;
    u64::from_str_radix(caps.trim(), 16).context("CapEff in /proc/self/status")
}

/// A user namespace's root has every capability in it and none over BPF; only the first one maps all ids.
fn in_first_user_namespace() -> Result<bool> {
    Ok(fs::read_to_string("/proc/self/uid_map")?.split_whitespace().nth(2) == Some("4294967295"))
}
