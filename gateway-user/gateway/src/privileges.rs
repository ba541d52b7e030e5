//! Rights that are given up once nothing needs them any more (capabilities(7)), and root with them.
//!
//! Capabilities belong to threads, and a thread starts with those of the one that starts it. So they are
//! dropped when kernel programs are loaded and attached, and before any other thread that stays is started.

use std::thread;

use anyhow::Context as _;
use gateway_steer::Steering;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities, set_no_new_privs,
};

use crate::flags::Capabilities;
use crate::identity::Identity;

/// Work that takes a right once the process serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Later {
    /// None: a helper does it.
    Nothing,
    /// Binding ports.
    Bind,
    /// Binding ports, and putting addresses on an interface.
    BindAndAssign,
}

/// Gives up what is not needed from here on, for this thread and those it starts, and becomes the user that
/// the process goes on as. Returns the names of what is held.
///
/// # Errors
/// The kernel refuses, which it has no reason to.
pub(crate) fn drop_unneeded(
    keep: &Capabilities,
    steering: &mut Steering,
    later: Later,
    identity: &Identity,
) -> anyhow::Result<Vec<String>> {
    let held = capabilities(None).context("capabilities of this process")?;
    if let Capabilities::Listed(listed) = keep {
        let mut needed = *listed | always_needed(identity, later);
        if later == Later::BindAndAssign {
            needed |= CapabilitySet::NET_ADMIN;
        }
        if !works_with(steering, held.permitted & needed) {
            needed |= CapabilitySet::BPF | CapabilitySet::NET_ADMIN;
        }
        restrict(held, needed, identity).context("--keep-capabilities: dropping the others")?;
    } else if identity.other().is_some() {
        become_and_keep(held.permitted, identity).context("--user")?;
    }
    Ok(names(capabilities(None).context("capabilities of this process")?.permitted))
}

/// Gives up everything, for this thread and those it starts, and becomes the user that the process goes on as: a controller
/// needs no right. Returns the names of what is held: nothing.
///
/// # Errors
/// The kernel refuses, which it has no reason to.
pub(crate) fn drop_all(identity: &Identity) -> anyhow::Result<Vec<String>> {
    let held = capabilities(None).context("capabilities of this process")?;
    restrict(held, CapabilitySet::empty(), identity).context("dropping capabilities")?;
    Ok(names(capabilities(None).context("capabilities of this process")?.permitted))
}

/// Drops all rights but these, for this thread and those it starts. Returns the names of what is held.
///
/// # Errors
/// The kernel refuses, which it has no reason to.
pub(crate) fn keep_alone(needed: CapabilitySet) -> anyhow::Result<Vec<String>> {
    let identity = Identity::default();
    restrict(capabilities(None).context("capabilities of this process")?, needed, &identity)?;
    Ok(names(capabilities(None).context("capabilities of this process")?.permitted))
}

/// Runs `start` on a thread that is the process's later user and has no right, as the threads that it starts.
///
/// # Errors
/// The thread cannot be started, or the kernel refuses to take its rights.
pub(crate) fn without_any<T: Send>(
    identity: &Identity,
    start: impl FnOnce() -> T + Send,
) -> anyhow::Result<T> {
    thread::scope(|scope| {
        let started = scope.spawn(|| {
            let held = capabilities(None)?;
            restrict(held, CapabilitySet::empty(), identity).map(|()| start())
        });
        let started = started.join().map_err(|_| anyhow::anyhow!("a thread panicked as it began"))?;
        started.context("dropping the rights of a thread")
    })
}

/// Capabilities that later work needs on any kernel.
fn always_needed(identity: &Identity, later: Later) -> CapabilitySet {
    // Listeners that are added later bind their ports then; with kernel programs, sockets that keep others
    // from them.
    let mut needed = match later {
        Later::Nothing => CapabilitySet::empty(),
        Later::Bind | Later::BindAndAssign => CapabilitySet::NET_BIND_SERVICE,
    };
    if identity.uid() == 0 {
        // Resources and the directory of the access log may belong to others, and are opened again and again.
        needed |= CapabilitySet::DAC_OVERRIDE;
    }
    needed
}

/// True if maps can be used with no more than `rights`. Linux before 5.19 asks CAP_BPF for each use of a map
/// where kernel.unprivileged_bpf_disabled is set (c8644cd0efe7 changed that); found out by trying, on a
/// thread that ends.
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

fn restrict(held: CapabilitySets, needed: CapabilitySet, identity: &Identity) -> rustix::io::Result<()> {
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
    become_and_keep(kept, identity)
}

/// A change of users takes the effective set and, but for `PR_SET_KEEPCAPS`, the permitted one.
fn become_and_keep(kept: CapabilitySet, identity: &Identity) -> rustix::io::Result<()> {
    if identity.other().is_some() {
        set_keep_capabilities(true)?;
        identity.assume()?;
        set_keep_capabilities(false)?;
    }
    set_capabilities(
        None,
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() },
    )
}

/// Leaves the calling thread these rights alone.
#[cfg(test)]
pub(crate) fn restrict_to(rights: CapabilitySet) -> rustix::io::Result<()> {
    restrict(capabilities(None)?, rights, &Identity::default())
}

fn names(set: CapabilitySet) -> Vec<String> {
    set.iter_names().map(|(name, _)| format!("CAP_{name}")).collect()
}
