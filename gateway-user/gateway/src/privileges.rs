//! Rights that are given up once nothing needs them any more (capabilities(7)).
//!
//! Capabilities belong to threads, and a thread starts with those of the one that starts it. So they are dropped when
//! kernel programs are loaded and attached, and before any other thread that stays is started.

use std::thread;

use anyhow::Context as _;
use gateway_steer::{Steering, SteeringPath};
use nix::unistd::geteuid;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use crate::flags::Capabilities;

/// Gives up what is not needed from here on, for this thread and those it starts. Returns the names of what is held.
///
/// # Errors
/// The kernel refuses, which it has no reason to.
pub(crate) fn drop_unneeded(
    keep: &Capabilities,
    steering: &mut Steering,
    changes_addresses: bool,
) -> anyhow::Result<Vec<String>> {
    if let Capabilities::Listed(listed) = keep {
        let held = capabilities(None).context("capabilities of this process")?;
        let mut needed = *listed | always_needed(steering.path());
        if changes_addresses {
            needed |= CapabilitySet::NET_ADMIN;
        }
        if !works_with(steering, held.permitted & needed) {
            needed |= CapabilitySet::BPF | CapabilitySet::NET_ADMIN;
        }
        restrict(held, needed).context("--keep-capabilities: dropping the others")?;
    }
    Ok(names(capabilities(None).context("capabilities of this process")?.permitted))
}

/// Runs `start` on a thread without any right, which the threads that it starts share.
///
/// # Errors
/// The thread cannot be started, or the kernel refuses to take its rights.
pub(crate) fn without_any<T: Send>(start: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    thread::scope(|scope| {
        let started = scope.spawn(|| {
            let held = capabilities(None)?;
            restrict(held, CapabilitySet::empty()).map(|()| start())
        });
        let started = started.join().map_err(|_| anyhow::anyhow!("a thread panicked as it began"))?;
        started.context("dropping the rights of a thread")
    })
}

/// What later work needs on any kernel.
fn always_needed(path: &SteeringPath) -> CapabilitySet {
    let mut needed = CapabilitySet::empty();
    if matches!(path, SteeringPath::ReusePort { .. }) {
        // Listeners that are added later bind their ports then.
        needed |= CapabilitySet::NET_BIND_SERVICE;
    }
    if geteuid().is_root() {
        // Resources and the directory of the access log may belong to others, and are opened again and again.
        needed |= CapabilitySet::DAC_OVERRIDE;
    }
    needed
}

/// Whether maps can be used with no more than `rights`. Linux before 5.19 asks CAP_BPF for each use of a map where
/// kernel.unprivileged_bpf_disabled is set (c8644cd0efe7 changed that); found out by trying, on a thread that ends.
fn works_with(steering: &mut Steering, rights: CapabilitySet) -> bool {
    let tried = thread::scope(|scope| {
        let trying = scope.spawn(|| {
            let sets =
                CapabilitySets { effective: rights, permitted: rights, inheritable: CapabilitySet::empty() };
            set_capabilities(None, sets).is_ok() && steering.counters().is_ok()
        });
        trying.join()
    });
    tried.unwrap_or(false)
}

fn restrict(held: CapabilitySets, needed: CapabilitySet) -> rustix::io::Result<()> {
    let kept = held.permitted & needed;
    // Nothing that this process could ever start may get more.
    set_no_new_privs(true)?;
    clear_ambient_capability_set()?;
    if held.effective.contains(CapabilitySet::SETPCAP) {
        for one in
            CapabilitySet::all().iter().filter(|one| one.bits().count_ones() == 1 && !kept.contains(*one))
        {
            // An error says that this kernel does not know it.
            if capability_is_in_bounding_set(one).unwrap_or(false) {
                remove_capability_from_bounding_set(one)?;
            }
        }
    }
    set_capabilities(
        None,
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() },
    )
}

fn names(set: CapabilitySet) -> Vec<String> {
    set.iter_names().map(|(name, _)| format!("CAP_{name}")).collect()
}
