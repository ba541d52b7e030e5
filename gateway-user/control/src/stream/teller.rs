//! Word of what a controller said, or that it says nothing, to the rest of a node's process.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use gateway_sync::client::{FollowError, Follower};
use gateway_sync::frame::{Probe, Probed};
use gateway_sync::replica::Replica;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::keep::CopyWriter;
use super::probe::Prober;
use super::remote::ControllerAddress;
use crate::reconcile::Received;

/// The stream as this node sees it, for metrics and status.
#[derive(Clone, Debug, Default)]
pub struct StreamState {
    /// True while a controller is there.
    pub connected: bool,
    /// Version of its program.
    pub controller: String,
    /// When it was heard last; `None` before the first time.
    pub heard: Option<Instant>,
    /// Connections that began.
    pub connections: u64,
    /// The reason for having none, as long as there is none.
    pub error: Option<String>,
}

/// Tells the rest of the process what came.
pub(super) struct Teller<F> {
    pub(super) received: watch::Sender<Received>,
    pub(super) wake: Arc<F>,
    pub(super) state: Arc<Mutex<StreamState>>,
    pub(super) copy_writer: Option<CopyWriter>,
    /// The copy on disk, until something was told.
    pub(super) copy: Option<Copy>,
    pub(super) prober: Prober,
}

/// The copy on disk, to be served for want of anything newer.
#[derive(Clone)]
pub(super) struct Copy {
    pub(super) received: Received,
    pub(super) path: PathBuf,
}

impl Copy {
    /// Serves it unless something is served already; true if it is now.
    pub(super) fn tell(&self, to: &watch::Sender<Received>) -> bool {
        let told = to.send_if_modified(|known| {
            let is_first = known.desired.is_none();
            if is_first {
                known.clone_from(&self.received);
            }
            is_first
        });
        if told {
            info!(path = %self.path.display(), "served from the copy on disk until the controller is heard");
        }
        told
    }
}

impl<F: Fn()> Teller<F> {
    fn tell(&mut self, replica: &Replica) {
        self.copy = None;
        let received = Received::of(replica);
        if let Some(copy_writer) = &self.copy_writer {
            copy_writer.follow(replica.desired());
        }
        self.received.send_replace(received);
        (self.wake)();
    }

    /// A connection has failed or ended; with `is_away` the copy is not to wait for its time.
    pub(super) fn lost(&mut self, error: &FollowError, controller: &ControllerAddress, is_away: bool) {
        let text = format!("the controller at {controller}: {error}");
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.error.as_ref() != Some(&text) {
            warn!("{text}; connecting again, and what is there is served meanwhile");
        }
        state.connected = false;
        state.error = Some(text.clone());
        drop(state);
        if is_away && self.copy.take().is_some_and(|copy| copy.tell(&self.received)) {
            return (self.wake)();
        }
        let waits = self.received.send_if_modified(|received| {
            let waits = received.desired.is_none() && received.waiting.as_ref() != Some(&text);
            if waits {
                received.waiting = Some(text);
            }
            waits
        });
        if waits {
            (self.wake)();
        }
    }
}

impl<F: Fn()> Follower for Teller<F> {
    fn welcomed(&mut self, version: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        info!(version, "the controller is there");
        (state.connected, state.error) = (true, None);
        state.connections += 1;
        version.clone_into(&mut state.controller);
    }

    fn hears(&mut self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).heard = Some(Instant::now());
    }

    fn committed(&mut self, replica: &Replica) {
        self.tell(replica);
    }

    fn asked(&mut self, probe: Probe, answers: &mpsc::Sender<Probed>) {
        self.prober.ask(probe, answers);
    }
}
