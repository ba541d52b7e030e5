//! Take-over: a second process on the same state directory receives the first one's sockets, and the first one drains.
//!
//! The one that serves (the *giver*) listens on a Unix socket in its state directory. The one that starts (the *taker*)
//! finds the directory's lock held and connects. It gets every listening socket and the lock itself, so that both accept
//! from the same queues, makes its configuration live, says so, and from then on is the one. Until it has said so,
//! the end of the connection, for whatever reason, leaves the giver as it was.

mod channel;
mod giver;
mod message;
mod taker;

use std::path::{Path, PathBuf};

use crate::fault;

pub(crate) use giver::{Giver, Handoff, Release, Request};
pub(crate) use message::{Item, Offer, Steering};
pub(crate) use taker::{Asked, Received, Taker, TookOver, ask, live};

/// The giver's socket in a state directory.
pub(crate) fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join("takeover.sock")
}

/// Whether to stop for good at a named point of a take-over, because `SLUICE_FAULT=takeover:POINT` says so: for tests that
/// do something to a process at a certain moment. Release builds have no such thing.
pub(crate) fn is_planted(point: &str) -> bool {
    let planted = fault::is_planted(&format!("takeover:{point}"));
    if planted {
        tracing::warn!("planted: stopped at {point}");
    }
    planted
}
