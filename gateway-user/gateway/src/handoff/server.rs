//! The side that serves: listens for a new process, hands over, and hears whether it may go.
//!
//! Talking is done by threads of their own with blocking calls, each of which has a limit; the control thread
//! only responds.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use futures_channel::oneshot;
use gateway_proxy::worker::HandedFlow;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use tokio::sync::mpsc as async_mpsc;
use tracing::{debug, warn};

use super::Name;
use super::channel::{Channel, MAX_DESCRIPTORS, listen};
use super::failures::{FailureCounters, HandoffError, Reason};
use super::flows;
use super::injected::{hands_datagrams_over, limit};
use super::message::{ClientMessage, Item, Offer, Range, ServerMessage};
use crate::state_dir;

/// Limit for the first message.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Limit for the control thread to collect what is handed over.
const COLLECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Limit for the new process to make its configuration live. Longer than the new process itself tries, which
/// ends things in better order.
const READY_TIMEOUT: Duration = Duration::from_secs(150);

/// Between two looks whether a new process that was ready has failed after all.
const POLL_INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// The process that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) version: String,
    pub(crate) name: Name,
    /// It opens an admin socket in place of ours.
    pub(crate) admin_socket: bool,
    /// It is root, and of a version that stays so and leaves sockets to their owner.
    pub(crate) stays_root: bool,
    /// It receives datagrams from our sockets.
    pub(crate) datagrams: bool,
}

/// A request to take over. Dropping it refuses.
pub(crate) struct Request {
    pub(crate) peer: Peer,
    /// Version of the messages that is spoken.
    pub(crate) protocol: u32,
    response: mpsc::Sender<Result<Handoff, HandoffError>>,
}

/// Everything that a new process gets, and whom to tell how it ended.
pub(crate) struct Handoff {
    pub(crate) offer: Offer,
    pub(crate) items: Vec<(Item, OwnedFd)>,
    pub(crate) outcome: oneshot::Sender<Result<Release, HandoffError>>,
}

/// The new process is ready to serve alone. It is told that it does when [`Release::done`] is called, and
/// decides for itself if that takes long.
pub(crate) struct Release {
    /// The new process.
    pub(crate) name: Name,
    /// True if it accepts from our sockets.
    pub(crate) same_sockets: bool,
    /// It opens an admin socket in place of ours.
    pub(crate) opens_admin_socket: bool,
    /// Flows that it goes on with at most; `None` if it makes sockets for datagrams beside ours.
    pub(crate) flows: Option<usize>,
    channel: Arc<Channel>,
    handed: Arc<AtomicBool>,
}

/// Listens for new processes.
pub(crate) struct HandoffServer {
    requests: async_mpsc::UnboundedReceiver<Request>,
    listener: Arc<OwnedFd>,
    wake: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

/// The word of a new process that is ready.
struct Ready {
    same_sockets: bool,
    flows: usize,
}

/// The one that is being served, of which there is one at a time.
type Current = Arc<Mutex<Option<Peer>>>;

/// State that the threads for new processes share.
#[derive(Clone)]
struct ServerContext {
    current: Current,
    requests: async_mpsc::UnboundedSender<Request>,
    failures: FailureCounters,
    /// A new process is ready: whoever comes now is for it to serve, on the same socket.
    handed: Arc<AtomicBool>,
    /// The state directory.
    dir: PathBuf,
}

impl HandoffServer {
    /// Listens at `path`, or on the socket there that was taken over.
    ///
    /// # Errors
    /// The socket cannot be made: the path may be too long (108 bytes, unix(7)).
    pub(crate) fn start(
        path: &Path,
        inherited: Option<OwnedFd>,
        failures: &FailureCounters,
    ) -> anyhow::Result<Self> {
        let listener = match inherited {
            Some(listener) => listener,
            None => listen(path).with_context(|| format!("{}: cannot listen there", path.display()))?,
        };
        let (listener, wake) = (Arc::new(listener), Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?));
        let (sender, requests) = async_mpsc::unbounded_channel();
        let (theirs, woken) = (Arc::clone(&listener), Arc::clone(&wake));
        let context = ServerContext {
            current: Current::default(),
            requests: sender,
            failures: failures.clone(),
            handed: Arc::default(),
            dir: path.parent().map(Path::to_owned).unwrap_or_default(),
        };
        let thread = thread::Builder::new()
            .name("sluice-takeover".to_owned())
            .spawn(move || accept(&theirs, &woken, &context))?;
        Ok(Self { requests, listener, wake, thread: Some(thread) })
    }

    /// The next wish to take over.
    pub(crate) async fn next(&mut self) -> Request {
        match self.requests.recv().await {
            Some(request) => request,
            // The thread has ended, which it said.
            None => std::future::pending().await,
        }
    }

    /// A duplicate of the listening socket, for the new process.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn socket(&self) -> io::Result<OwnedFd> {
        self.listener.try_clone()
    }
}

impl Drop for HandoffServer {
    /// Ends listening before it returns, so that the next old process on this socket gets every connection
    /// from now on.
    fn drop(&mut self) {
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &OwnedFd, wake: &OwnedFd, context: &ServerContext) {
    loop {
        let handed = context.handed.load(Ordering::SeqCst);
        let events = if handed { PollFlags::empty() } else { PollFlags::IN };
        let mut wait = [PollFd::new(wake, PollFlags::IN), PollFd::new(listener, events)];
        match poll(&mut wait, handed.then_some(&POLL_INTERVAL)) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return warn!("no process can take over any more: {error}"),
            Ok(_) if wait.iter().take(1).any(|wake| !wake.revents().is_empty()) => return,
            Ok(_) if context.handed.load(Ordering::SeqCst) => continue,
            Ok(0) => continue,
            Ok(_) => {}
        }
        let channel = match Channel::accept(listener.as_fd(), state_dir::owner(&context.dir)) {
            Ok(channel) => channel,
            Err(error) => {
                let stranger = error.kind() == io::ErrorKind::PermissionDenied;
                context.failures.count(if stranger { Reason::Peer } else { Reason::Lost });
                warn!("a take-over was not accepted: {error}");
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        let theirs = context.clone();
        let talking = move || converse(&Arc::new(channel), &theirs);
        if let Err(error) = thread::Builder::new().name("sluice-handover".to_owned()).spawn(talking) {
            context.failures.count(Reason::Lost);
            warn!("a take-over was not accepted: {error}");
        }
    }
}

/// Hears who is there and serves it unless somebody else is being served.
fn converse(channel: &Arc<Channel>, context: &ServerContext) {
    let refuse = |failure: HandoffError| {
        debug!("a take-over was refused: {failure}");
        context.failures.count(failure.reason);
        let ends = failure.reason == Reason::Stopping;
        let _ = channel.send(&ServerMessage::Refused { reason: failure.message, ends }, &[]);
    };
    let (peer, protocol) = match greet(channel) {
        Ok(greeted) => greeted,
        Err(failure) => return refuse(failure),
    };
    {
        let mut current = context.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = &*current {
            let message = format!("sluice {} ({}) is taking over just now", other.version, other.name);
            return refuse(HandoffError::new(Reason::Busy, message));
        }
        *current = Some(peer.clone());
    }
    if let Err(failure) = hand_over(channel, peer, protocol, context) {
        refuse(failure);
    }
    *context.current.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// The process that asks, and the version of the messages that both speak.
fn greet(channel: &Channel) -> Result<(Peer, u32), HandoffError> {
    let (protocol, oldest, peer) = match channel.receive(HELLO_TIMEOUT) {
        Ok((
            ClientMessage::Hello { protocol, oldest, version, pid, admin_socket, pod, user, datagrams },
            _,
        )) => {
            let stays_root = user.is_none() && channel.peer_is_root();
            let (name, datagrams) = (Name { pid, pod }, datagrams && hands_datagrams_over());
            (protocol, oldest, Peer { version, name, admin_socket, stays_root, datagrams })
        }
        Ok(_) => return Err(HandoffError::new(Reason::Protocol, "a take-over begins with hello")),
        Err(error) => return Err(HandoffError::new(Reason::Lost, error.to_string())),
    };
    let (ours, theirs) = (Range::ours(), Range { oldest: oldest.unwrap_or(protocol), newest: protocol });
    let common = ours.common(theirs).ok_or_else(|| {
        let message = format!("it speaks {ours} of the take-over protocol, and the other one {theirs}");
        HandoffError::new(Reason::Protocol, message)
    })?;
    Ok((peer, common))
}

/// One take-over, after the greeting. An error is what a new process is told that has got nothing yet.
fn hand_over(
    channel: &Arc<Channel>,
    peer: Peer,
    protocol: u32,
    context: &ServerContext,
) -> Result<(), HandoffError> {
    let stopping = || HandoffError::new(Reason::Stopping, "it is about to end");
    let (response, received) = mpsc::channel();
    let (name, opens_admin_socket, datagrams) = (peer.name.clone(), peer.admin_socket, peer.datagrams);
    context.requests.send(Request { peer, protocol, response }).map_err(|_| stopping())?;
    let Handoff { offer, items, outcome } = match received.recv_timeout(COLLECT_TIMEOUT) {
        Ok(handoff) => handoff?,
        Err(RecvTimeoutError::Disconnected) => return Err(stopping()),
        Err(RecvTimeoutError::Timeout) => return Err(HandoffError::new(Reason::Busy, "it is busy")),
    };
    match give(channel, offer, &items) {
        Ok(Ready { same_sockets, flows }) => {
            // The new process has its own by now; ours must not keep sockets open that workers close.
            drop(items);
            context.handed.store(true, Ordering::SeqCst);
            let (channel, handed) = (Arc::clone(channel), Arc::clone(&context.handed));
            let flows = datagrams.then_some(flows);
            let _ =
                outcome.send(Ok(Release { name, same_sockets, opens_admin_socket, flows, channel, handed }));
        }
        Err(failure) => {
            // Before the connection ends: an old process that ends without a message has died, and the new
            // process would go on.
            let _ =
                channel.send(&ServerMessage::Refused { reason: failure.message.clone(), ends: false }, &[]);
            let _ = outcome.send(Err(failure));
        }
    }
    Ok(())
}

/// Sends everything and waits for the new process to be ready; says why it is not.
fn give(channel: &Channel, offer: Offer, items: &[(Item, OwnedFd)]) -> Result<Ready, HandoffError> {
    let lost =
        |error: io::Error| HandoffError::new(Reason::Lost, format!("the connection to it failed: {error}"));
    channel.send(&ServerMessage::Offer(offer), &[]).map_err(lost)?;
    for some in items.chunks(MAX_DESCRIPTORS) {
        let descriptors: Vec<_> = some.iter().map(|(_, descriptor)| descriptor.as_fd()).collect();
        let items = some.iter().map(|(item, _)| *item).collect();
        channel.send(&ServerMessage::Items { items }, &descriptors).map_err(lost)?;
    }
    loop {
        let heard = match channel.receive(limit("ready", READY_TIMEOUT)) {
            // Messages from now on would come too late; one that has just arrived counts.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                channel.shut_down_receive();
                // All else that is to be read now is the end that this side has just made.
                channel.receive(Duration::from_millis(1)).map_err(|_| error)
            }
            heard => heard,
        };
        return match heard {
            Ok((ClientMessage::Ready { same_sockets, flows }, _)) => Ok(Ready { same_sockets, flows }),
            Ok((ClientMessage::Unknown, _)) => continue,
            Ok((ClientMessage::Hello { .. }, _)) => {
                Err(HandoffError::new(Reason::Protocol, "it said hello twice"))
            }
            Err(error) => Err(not_ready(&error)),
        };
    }
}

fn not_ready(error: &io::Error) -> HandoffError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => HandoffError::new(
            Reason::Ended,
            "it ended before its configuration was live; its own log says why",
        ),
        io::ErrorKind::TimedOut => {
            HandoffError::new(Reason::Timeout, "its configuration was not live in time; its own log says why")
        }
        io::ErrorKind::InvalidData => HandoffError::new(Reason::Protocol, error.to_string()),
        _ => HandoffError::new(Reason::Lost, error.to_string()),
    }
}

impl Request {
    /// Hands over.
    pub(crate) fn accept(self, handoff: Handoff) {
        // Nobody there is told by the outcome, whose sender goes with the handoff.
        let _ = self.response.send(Ok(handoff));
    }

    /// Refuses, saying why.
    pub(crate) fn refuse(self, failure: HandoffError) {
        let _ = self.response.send(Err(failure));
    }
}

impl Release {
    /// True if the new process still runs; until it is told that it is alone it keeps the connection.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.channel.has_ended()
    }

    /// Sends flows, and how many are kept here; off the calling thread, since it may take long. Gives them back, with the number
    /// of those that were sent and the error that ended it.
    pub(crate) async fn send_flows(
        &self,
        flows: Vec<Vec<HandedFlow>>,
        kept: usize,
    ) -> (Vec<Vec<HandedFlow>>, usize, io::Result<()>) {
        let channel = Arc::clone(&self.channel);
        let sending = move || {
            let (sent, result) = flows::send(&channel, flows.iter().flatten(), kept);
            (flows, sent, result)
        };
        match tokio::task::spawn_blocking(sending).await {
            Ok(done) => done,
            Err(error) => (Vec::new(), 0, Err(io::Error::other(error))),
        }
    }

    /// Lets the new process be the only one.
    pub(crate) fn done(self) {
        let _ = self.channel.send(&ServerMessage::Released, &[]);
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        self.handed.store(false, Ordering::SeqCst);
    }
}
