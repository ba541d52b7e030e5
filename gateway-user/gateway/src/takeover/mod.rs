//! Take-over: a second process on the same state directory receives the first one's sockets, and the first one drains.
//!
//! The one that serves (the *giver*) listens on a Unix socket in its state directory. The one that starts (the *taker*)
//! finds the directory's lock held and connects. It gets every listening socket and the lock itself, so that both can accept
//! from the same queues. The taker makes its configuration live, says so, and from then on is the one; it accepts once
//! the giver has let go. Until it has said so, the end of the connection, for whatever reason, leaves the giver as it was.

mod channel;
mod failures;
mod giver;
mod message;
mod planted;
mod taker;

use std::path::{Path, PathBuf};

pub(crate) use failures::{Failure, Failures, Reason};
pub(crate) use giver::{Giver, Handoff, Release, Request};
pub(crate) use message::{Item, Offer, Steering};
pub(crate) use planted::{number as planted_number, stop_at, version};
pub(crate) use taker::{Asked, Received, Taker, TookOver, ask, live};

/// The giver's socket in a state directory.
pub(crate) fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join("takeover.sock")
}
