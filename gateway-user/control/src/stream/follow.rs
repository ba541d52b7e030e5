//! A node's connection to its controller, again and again.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use gateway_sync::capability::Capabilities;
use gateway_sync::client::{self, FollowError, Identity, Terms};
use gateway_sync::frame::Ack;
use gateway_sync::replica::Replica;
use tokio::sync::watch;
use tracing::{info, warn};

use super::keep::{self, CopyWriter, KeepOptions};
use super::probe::{self, ProbeAnswers, Prober};
use super::remote::ControllerAddress;
use super::teller::{Copy, StreamState, Teller};
use crate::backoff::{Backoff, jittered};
use crate::reconcile::Received;

/// Delays between attempts to connect.
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// Delay while the leader that is named is not there.
const ELECTION_DELAY: Duration = Duration::from_millis(500);
/// A connection that lasted so long was a good one.
const LASTING: Duration = Duration::from_secs(10);
/// Limit for a last word at the end.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// The other side and this one.
#[derive(Clone, Debug)]
pub struct FollowOptions {
    /// The controller's address.
    pub controller: ControllerAddress,
    /// This node's name.
    pub node: String,
    /// Version of this program, for people.
    pub version: String,
    /// Capabilities of this data plane.
    pub known: Capabilities,
    /// The copy on disk.
    pub keep: Option<KeepOptions>,
    /// Socket addresses at which other nodes reach it by probes ([`Following::answer`]).
    pub probe_at: Vec<String>,
    /// Another process of the node serves until this one does. Otherwise ports are closed meanwhile, and the copy is served as
    /// soon as all addresses of the controller refuse; at once if it was served until a moment ago.
    pub takes_over: bool,
    /// Time that a controller which may be there has to say what is to be served before the copy on disk is: the copy may be
    /// older, and have no keys.
    pub copy_after: Duration,
}

/// The thread that follows. Dropped, it ends.
#[derive(Debug)]
pub struct Following {
    stop: watch::Sender<bool>,
    keeps: watch::Sender<bool>,
    acks: watch::Sender<Option<Ack>>,
    state: Arc<Mutex<StreamState>>,
    runtime: tokio::runtime::Handle,
    thread: Option<JoinHandle<()>>,
}

/// Follows a controller from a thread of its own, which calls `first` before all else. What is there is put into `received`
/// and told to `wake`: what the copy on disk has, if the controller does not say anything in time. What comes into the acknowledgements is told the controller.
///
/// # Errors
/// The system gives no thread.
pub fn follow(
    options: FollowOptions,
    received: watch::Sender<Received>,
    (acks, acked): (watch::Sender<Option<Ack>>, watch::Receiver<Option<Ack>>),
    wake: impl Fn() + Send + Sync + 'static,
    first: impl FnOnce() + Send + 'static,
) -> io::Result<Following> {
    let (stop, stopped) = watch::channel(false);
    let (keeps, kept) = watch::channel(false);
    let state = Arc::new(Mutex::new(StreamState::default()));
    let copy_writer = options.keep.clone().map(|keep| CopyWriter::start(keep, kept)).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut node = Node {
        replica: Replica::new(options.known.clone()),
        teller: Teller {
            received,
            wake: Arc::new(wake),
            state: Arc::clone(&state),
            copy_writer,
            copy: None,
            prober: Prober::default(),
        },
        options,
        acks: acked,
        terms: Terms::default(),
    };
    let handle = runtime.handle().clone();
    let thread = std::thread::Builder::new().name("sluice-stream".to_owned()).spawn(move || {
        first();
        node.begin();
        runtime.block_on(node.run(stopped));
    })?;
    Ok(Following { stop, keeps, acks, state, runtime: handle, thread: Some(thread) })
}

impl Following {
    /// The stream as it is.
    pub fn state(&self) -> Arc<Mutex<StreamState>> {
        Arc::clone(&self.state)
    }

    /// Answers probes of other nodes, on the stream's thread, for as long as this is followed.
    pub fn answer(&self, answers: ProbeAnswers) {
        self.runtime.spawn(probe::answer(answers));
    }

    /// From here on the copy on disk is this process's to write.
    pub fn keep(&self) {
        self.keeps.send_replace(true);
    }

    /// Ends it; with `last` no other process speaks for the node from now on, and the controller is told so. Blocks for a
    /// second at most.
    pub fn leave(self, last: bool) {
        if last {
            self.acks.send_replace(None);
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Node<F> {
    replica: Replica,
    teller: Teller<F>,
    options: FollowOptions,
    acks: watch::Receiver<Option<Ack>>,
    terms: Terms,
}

impl<F: Fn() + Send + Sync + 'static> Node<F> {
    /// Reads the copy on disk.
    fn begin(&mut self) {
        let Some(keep) = &self.options.keep else { return };
        match keep::load(keep, &mut self.replica) {
            Ok(true) => {
                let received = Received::of(&self.replica);
                self.teller.copy = Some(Copy { received, path: keep.path.clone() });
            }
            Ok(false) => {}
            Err(error) => warn!("{}: {error}; nothing is served from it", keep.path.display()),
        }
    }

    async fn run(&mut self, mut stop: watch::Receiver<bool>) {
        let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY);
        if let Some(copy) = self.teller.copy.clone() {
            let to = self.teller.received.clone();
            let wake = Arc::clone(&self.teller.wake);
            let copy_after = if self.was_killed() { Duration::ZERO } else { self.options.copy_after };
            tokio::spawn(async move {
                tokio::time::sleep(copy_after).await;
                if copy.tell(&to) {
                    wake();
                }
            });
        }
        let mut leader = None;
        loop {
            let begun = tokio::time::Instant::now();
            let error = {
                let mut stop = stop.clone();
                let following = self.connect(leader);
                tokio::pin!(following);
                tokio::select! {
                    error = &mut following => error,
                    _ = stop.wait_for(|stop| *stop) => {
                        // What was put into `acks` last is still said.
                        let _ = tokio::time::timeout(LEAVE_TIMEOUT, following).await;
                        return;
                    }
                }
            };
            let named = named_leader(&error);
            if named.is_some() && named != leader {
                info!("{error}; connecting there");
                leader = named;
                continue;
            }
            let is_away = self.is_away(&error, leader);
            self.teller.lost(&error, &self.options.controller, is_away);
            if begun.elapsed() > LASTING {
                backoff.reset();
            }
            // A controller that names a leader which is not there knows within seconds who is the next one.
            let delay = if leader.take().is_some() { jittered(ELECTION_DELAY) } else { backoff.next_delay() };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(delay) => {}
            }
        }
    }

    /// True if a process of the node served the copy until a moment ago and none does now.
    fn was_killed(&self) -> bool {
        !self.options.takes_over
            && self.options.keep.as_ref().is_some_and(|keep| keep::was_served_lately(&keep.path))
    }

    /// True if nobody is to be waited for before the copy is served. Of a network all addresses refuse, also while one of several
    /// controllers has just died: that costs a process that takes over nothing to wait out.
    fn is_away(&self, error: &FollowError, leader: Option<SocketAddr>) -> bool {
        match &self.options.controller {
            ControllerAddress::Local(_) => true,
            ControllerAddress::Network(_) if self.options.takes_over || leader.is_some() => false,
            ControllerAddress::Network(_) => {
                matches!(error, FollowError::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused)
            }
        }
    }

    async fn connect(&mut self, leader: Option<SocketAddr>) -> FollowError {
        let connected = match self.options.controller.connect(leader).await {
            Ok(connected) => connected,
            Err(error) => return error.into(),
        };
        let identity = Identity {
            node: self.options.node.clone(),
            version: self.options.version.clone(),
            token: connected.token,
            probe_at: self.options.probe_at.clone(),
        };
        let Self { replica, teller, acks, terms, .. } = self;
        client::follow(connected.stream, &identity, replica, terms, acks, teller).await
    }
}

/// The address of the leader, if a controller named another one.
fn named_leader(error: &FollowError) -> Option<SocketAddr> {
    match error {
        FollowError::Goodbye { leader, .. } => leader.parse().ok(),
        _ => None,
    }
}
