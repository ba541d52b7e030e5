//! The user that a process goes on as once nothing needs root any more (`--user`).
//!
//! Users belong to threads, as capabilities do, and a thread starts as the user of the one that starts it.
//! The C library's setuid(2) changes every thread; these are the bare system calls, which change one. So the
//! main thread changes before it starts those that stay, and what starts earlier (log lines, the allocator's
//! threads) changes by itself.

use std::fmt::Display;
use std::path::Path;
use std::thread;

use anyhow::{Context as _, bail};
use nix::unistd::geteuid;
use rustix::thread::{
    CapabilitySet, Gid, Uid, capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};
use tracing::{info, warn};

use crate::flags::User;
use crate::state_dir;

/// The user of `--user=auto`: the number that container images without root use by convention; it needs no
/// account.
pub(crate) const AUTO: u32 = 65_532;

/// Capabilities for a change of users. DAC_OVERRIDE: the next start as root uses a state directory that is
/// the user's.
const NEEDED: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID);

/// The user that this process goes on as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Another user than now; its group has the same number.
    other: Option<u32>,
    /// Why it stays root though `auto` would have it change.
    stays: Option<String>,
}

impl Identity {
    /// Decides by the setting and by what this process may do. Changes nothing.
    ///
    /// # Errors
    /// A user is asked for by number, and this process cannot become it.
    pub(crate) fn decide(user: User, state_dir: &Path, program: Option<String>) -> anyhow::Result<Self> {
        let euid = geteuid();
        let uid = match user {
            User::Uid(uid) if !euid.is_root() && uid != euid.as_raw() => bail!(
                "--user {uid}: this process runs as uid {euid}, and only root becomes another user; start it as root, or \
                 leave --user out"
            ),
            User::Keep | User::Uid(0) => return Ok(Self::default()),
            _ if !euid.is_root() => return Ok(Self::default()),
            User::Auto => AUTO,
            User::Uid(uid) => uid,
        };
        // Its reads are its own, so they cannot be tried.
        let program = program.filter(|_| user == User::Auto);
        let program = program.map(|name| {
            format!(
                "the kubeconfig gets its credentials from {name}, which may read files that are root's alone"
            )
        });
        match (obstacle(uid, state_dir)?.or(program), user) {
            (None, _) => Ok(Self { other: Some(uid), stays: None }),
            (Some(obstacle), User::Uid(_)) => bail!("--user {uid}: {obstacle}"),
            (Some(obstacle), _) => Ok(Self { other: None, stays: Some(obstacle) }),
        }
    }

    /// The user that it changes to, if it does.
    pub(crate) fn other(&self) -> Option<u32> {
        self.other
    }

    /// The user that it is in the end.
    pub(crate) fn uid(&self) -> u32 {
        self.other.unwrap_or_else(|| geteuid().as_raw())
    }

    /// Says what was decided, where that is not what it is anyway.
    pub(crate) fn announce(&self) {
        if let Some(obstacle) = &self.stays {
            warn!(
                "--user auto: the process stays root: {obstacle}; --user=keep stays root without this line"
            );
        } else if let Some(uid) = self.other {
            info!("changes to uid {uid} once nothing needs root; --user=keep stays root");
        }
    }

    /// Makes the calling thread the user. Capabilities go with root unless the thread keeps them
    /// (`PR_SET_KEEPCAPS`).
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn assume(&self) -> rustix::io::Result<()> {
        self.other.map_or(Ok(()), become_user)
    }

    /// Runs `body` on a thread that is the user, has no right and ends: what fails there would fail later.
    ///
    /// # Errors
    /// The kernel refuses, or the system gives no thread.
    pub(crate) fn try_out<T: Send>(&self, body: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        crate::privileges::without_any(self, body)
    }
}

/// Why this process cannot become the user; `None` if it can.
fn obstacle(uid: u32, state_dir: &Path) -> anyhow::Result<Option<String>> {
    let missing = NEEDED - capabilities(None).context("capabilities of this process")?.effective;
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter_names().map(|(name, _)| format!("CAP_{name}")).collect();
        return Ok(Some(format!("to become uid {uid} takes {}", names.join(", "))));
    }
    let tried = thread::scope(|scope| scope.spawn(|| become_user(uid)).join());
    match tried {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Ok(Some(format!("the system does not let it become uid {uid}: {error}"))),
        Err(_) => bail!("a thread panicked as it began"),
    }
    let of_others = state_dir::strange_entry(state_dir);
    let keep = |name: &dyn Display| {
        format!(
            "--state-dir {} has {name} in it, which is no file of Sluice's, so it is not given to uid {uid}; use a directory \
             of its own",
            state_dir.display()
        )
    };
    Ok(of_others.map(|name| keep(&name.display())))
}

fn become_user(uid: u32) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(uid));
    // In this order: groups are root's to change.
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)
}

#[cfg(test)]
mod tests {
    use gateway_testkit::scratch::Scratch;

    use super::*;

    fn is_root() -> bool {
        geteuid().is_root()
    }

    #[test]
    fn a_thread_becomes_another_user_and_the_others_stay_who_they_are() {
        let dir = Scratch::new("identity").unwrap();
        let identity = Identity::decide(User::Auto, dir.path(), None).unwrap();
        if !is_root() {
            return assert_eq!(identity, Identity::default(), "who is not root stays who it is");
        }
        assert_eq!(identity.uid(), AUTO);
        let inside = || (rustix_euid(), capabilities(None).unwrap().permitted);
        assert_eq!(identity.try_out(inside).unwrap(), (AUTO, CapabilitySet::empty()));
        assert_eq!(rustix_euid(), 0);
    }

    /// Of the calling thread: the C library may remember.
    fn rustix_euid() -> u32 {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    #[test]
    fn what_is_missing_keeps_auto_root_and_refuses_a_number() {
        if !is_root() {
            return;
        }
        let dir = Scratch::new("identity").unwrap();
        dir.write("notes.txt", "").unwrap();
        let identity = Identity::decide(User::Auto, dir.path(), None).unwrap();
        assert_eq!(identity.uid(), 0);
        assert!(identity.stays.unwrap().contains("notes.txt"));
        let error = Identity::decide(User::Uid(7), dir.path(), None).unwrap_err().to_string();
        assert!(error.contains("--user 7") && error.contains("notes.txt"), "{error}");
        assert_eq!(Identity::decide(User::Keep, dir.path(), None).unwrap(), Identity::default());
        let program = Some("aws".to_owned());
        let empty = Scratch::new("identity").unwrap();
        let identity = Identity::decide(User::Auto, empty.path(), program.clone()).unwrap();
        assert!(identity.stays.unwrap().contains("aws"));
        assert_eq!(Identity::decide(User::Uid(7), empty.path(), program).unwrap().uid(), 7);
        let nobody = Identity { other: Some(AUTO), stays: None };
        let error = nobody.try_out(|| Identity::decide(User::Uid(7), dir.path(), None)).unwrap().unwrap_err();
        assert!(error.to_string().contains("start it as root"), "{error}");
    }

    #[test]
    fn a_missing_right_is_named() {
        if !is_root() {
            return;
        }
        let dir = Scratch::new("identity").unwrap();
        let weak = thread::spawn(|| {
            crate::privileges::restrict_to(CapabilitySet::NET_BIND_SERVICE | CapabilitySet::CHOWN).unwrap();
            let dir = dir;
            Identity::decide(User::Auto, dir.path(), None).unwrap()
        });
        let why = weak.join().unwrap().stays.unwrap();
        assert!(why.contains("CAP_SETUID") && !why.contains("CAP_CHOWN"), "{why}");
    }
}
