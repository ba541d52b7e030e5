//! Hot restart: a second process on the same state directory receives the first one's sockets, and the first
//! one drains.
//!
//! The process that serves listens on a Unix socket in its state directory. The new one finds the directory's
//! lock held and connects. It gets every listening socket and the lock itself, so that both can accept from
//! the same queues. The new process makes its configuration live, says so, and from then on is the one; it
//! accepts once the old process has let go. Until it has said so, the end of the connection, for whatever
//! reason, leaves the old process as it was.

mod channel;
mod client;
mod failures;
mod flow_record;
mod flows;
mod injected;
mod message;
mod received;
mod server;
mod tickets;

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

pub(crate) use client::{FlowTotals, HandoffClient, HandoffReply, TookOver, ask, live};
pub(crate) use failures::{FailureCounters, HandoffError, Reason};
pub(crate) use flows::ReceivedFlows;
pub(crate) use injected::{number as injected_number, stop_at, version};
pub(crate) use message::{Item, Offer, Steering};
pub(crate) use received::Received;
pub(crate) use server::{Handoff, HandoffServer, Release, Request};
pub(crate) use tickets::memory as tickets_memory;

/// A process, for people: its id, and its pod, since in two pods both may be 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) pid: u32,
    pub(crate) pod: Option<String>,
}

impl Name {
    /// This process; its pod by the environment's POD_NAME, which the manifest sets.
    pub(crate) fn own() -> Self {
        let pod = std::env::var("POD_NAME").ok();
        Self { pid: std::process::id(), pod: pod.filter(|name| !name.is_empty() && !name.contains('\n')) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pod {
            None => write!(f, "pid {}", self.pid),
            Some(pod) => write!(f, "pid {} in pod {pod}", self.pid),
        }
    }
}

/// Makes the old process's socket before anybody serves it: who connects waits. Made by root, it stays root's
/// to those who connect, also to versions that know root alone.
pub(crate) fn listen_early(state_dir: &Path) -> Option<OwnedFd> {
    // Being unable to is said by whoever needs it.
    channel::listen(&socket_path(state_dir)).ok()
}

/// The old process's socket in a state directory.
pub(crate) fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join("takeover.sock")
}
