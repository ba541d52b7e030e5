//! The side that serves: listens for a taker, hands over, and hears whether it may go.
//!
//! Talking is done by threads of their own with blocking calls, each of which has a limit; the control thread only
//! answers.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use futures_channel::oneshot;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use tokio::sync::mpsc as async_mpsc;
use tracing::{debug, warn};

use super::channel::{Channel, MOST, listen};
use super::message::{FromGiver, FromTaker, Item, Offer, PROTOCOL};

/// For the first message.
const HELLO: Duration = Duration::from_secs(5);
/// For the control thread to collect what is handed over.
const COLLECTING: Duration = Duration::from_secs(30);
/// For the taker to make its configuration live. Longer than the taker itself tries, which ends things in better order.
const READY: Duration = Duration::from_secs(150);
/// For the control thread to let go.
const RELEASING: Duration = Duration::from_secs(30);

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) version: String,
    pub(crate) pid: u32,
}

/// A wish to take over. Dropping it refuses.
pub(crate) struct Request {
    pub(crate) peer: Peer,
    answer: mpsc::Sender<Result<Handoff, String>>,
}

/// Everything that a taker gets, and whom to tell how it ended.
pub(crate) struct Handoff {
    pub(crate) offer: Offer,
    pub(crate) items: Vec<(Item, OwnedFd)>,
    pub(crate) outcome: oneshot::Sender<Result<Release, String>>,
}

/// The taker serves. It is told that it is the only one when [`Release::done`] is called.
pub(crate) struct Release {
    /// Whether it accepts from our sockets.
    pub(crate) same_sockets: bool,
    done: mpsc::Sender<()>,
}

/// Listens for takers.
pub(crate) struct Giver {
    requests: async_mpsc::UnboundedReceiver<Request>,
    listener: Arc<OwnedFd>,
    wake: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

/// The one that is being served, of which there is one at a time.
type Current = Arc<Mutex<Option<Peer>>>;

impl Giver {
    /// Listens at `path`, or on the socket there that was taken over.
    ///
    /// # Errors
    /// The socket cannot be made: the path may be too long (108 octets, unix(7)).
    pub(crate) fn start(path: &Path, inherited: Option<OwnedFd>) -> anyhow::Result<Self> {
        let listener = match inherited {
            Some(listener) => listener,
            None => listen(path).with_context(|| format!("{}: cannot listen there", path.display()))?,
        };
        let (listener, wake) = (Arc::new(listener), Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?));
        let (sender, requests) = async_mpsc::unbounded_channel();
        let (theirs, woken) = (Arc::clone(&listener), Arc::clone(&wake));
        let thread = thread::Builder::new()
            .name("sluice-takeover".to_owned())
            .spawn(move || accept(&theirs, &woken, &sender))?;
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

    /// A duplicate of the listening socket, for the taker.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn socket(&self) -> io::Result<OwnedFd> {
        self.listener.try_clone()
    }
}

impl Drop for Giver {
    /// Ends listening before it returns, so that the next giver on this socket gets every connection from now on.
    fn drop(&mut self) {
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &OwnedFd, wake: &OwnedFd, requests: &async_mpsc::UnboundedSender<Request>) {
    let current = Current::default();
    loop {
        let mut wait = [PollFd::new(wake, PollFlags::IN), PollFd::new(listener, PollFlags::IN)];
        match poll(&mut wait, None) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return warn!("nobody can take over any more: {error}"),
            Ok(_) if wait.iter().take(1).any(|wake| !wake.revents().is_empty()) => return,
            Ok(_) => {}
        }
        let channel = match Channel::accept(listener.as_fd()) {
            Ok(channel) => channel,
            Err(error) => {
                warn!("a take-over was not accepted: {error}");
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        let (current, requests) = (Arc::clone(&current), requests.clone());
        let talking = move || converse(&channel, &current, &requests);
        if let Err(error) = thread::Builder::new().name("sluice-handover".to_owned()).spawn(talking) {
            warn!("a take-over was not accepted: {error}");
        }
    }
}

/// Hears who is there and serves it unless somebody else is being served.
fn converse(channel: &Channel, current: &Current, requests: &async_mpsc::UnboundedSender<Request>) {
    let refuse = |reason: String| {
        debug!("a take-over was refused: {reason}");
        let _ = channel.send(&FromGiver::Refused { reason }, &[]);
    };
    let peer = match channel.receive(HELLO) {
        Ok((FromTaker::Hello { protocol: PROTOCOL, version, pid }, _)) => Peer { version, pid },
        Ok((FromTaker::Hello { protocol, .. }, _)) => {
            return refuse(format!("it speaks version {PROTOCOL} of the take-over protocol, not {protocol}"));
        }
        Ok((FromTaker::Ready { .. }, _)) => return refuse("a take-over begins with hello".to_owned()),
        Err(error) => return refuse(error.to_string()),
    };
    {
        let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = &*current {
            return refuse(format!("sluice {} (pid {}) is taking over just now", other.version, other.pid));
        }
        *current = Some(peer.clone());
    }
    if let Err(reason) = hand_over(channel, peer, requests) {
        refuse(reason);
    }
    *current.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// One take-over, after the greeting. An error is what a taker is told that has got nothing yet.
fn hand_over(
    channel: &Channel,
    peer: Peer,
    requests: &async_mpsc::UnboundedSender<Request>,
) -> Result<(), String> {
    let stopping = || "it is about to end".to_owned();
    let (answer, answered) = mpsc::channel();
    requests.send(Request { peer, answer }).map_err(|_| stopping())?;
    let Handoff { offer, items, outcome } = match answered.recv_timeout(COLLECTING) {
        Ok(handoff) => handoff?,
        Err(RecvTimeoutError::Disconnected) => return Err(stopping()),
        Err(RecvTimeoutError::Timeout) => return Err("it is busy".to_owned()),
    };
    match give(channel, offer, &items) {
        Ok(same_sockets) => {
            // The taker has its own by now; ours must not keep sockets open that workers close.
            drop(items);
            let (release, released) = mpsc::channel();
            let nobody_waits = outcome.send(Ok(Release { same_sockets, done: release })).is_err();
            if !nobody_waits && released.recv_timeout(RELEASING).is_ok() {
                let _ = channel.send(&FromGiver::Released, &[]);
            }
        }
        Err(reason) => {
            // Before the connection ends: a giver that ends without a word has died, and the taker would go on.
            let _ = channel.send(&FromGiver::Refused { reason: reason.clone() }, &[]);
            let _ = outcome.send(Err(reason));
        }
    }
    Ok(())
}

/// Sends everything and waits for the taker to be ready; says why it is not.
fn give(channel: &Channel, offer: Offer, items: &[(Item, OwnedFd)]) -> Result<bool, String> {
    let lost = |error: io::Error| format!("the connection to it failed: {error}");
    channel.send(&FromGiver::Offer(offer), &[]).map_err(lost)?;
    for some in items.chunks(MOST) {
        let descriptors: Vec<_> = some.iter().map(|(_, descriptor)| descriptor.as_fd()).collect();
        let items = some.iter().map(|(item, _)| *item).collect();
        channel.send(&FromGiver::Items { items }, &descriptors).map_err(lost)?;
    }
    let heard = match channel.receive(READY) {
        // What it says from now on would come too late; what it has just said counts.
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            channel.hear_no_more();
            channel.receive(Duration::from_millis(1))
        }
        heard => heard,
    };
    match heard {
        Ok((FromTaker::Ready { same_sockets }, _)) => Ok(same_sockets),
        Ok((FromTaker::Hello { .. }, _)) => Err("it said hello twice".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err("it ended before its configuration was live; its own log says why".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

impl Request {
    /// Hands over.
    pub(crate) fn accept(self, handoff: Handoff) {
        // Nobody there is told by the outcome, whose sender goes with the handoff.
        let _ = self.answer.send(Ok(handoff));
    }

    /// Refuses, saying why.
    pub(crate) fn refuse(self, reason: String) {
        let _ = self.answer.send(Err(reason));
    }
}

impl Release {
    /// Lets the taker be the only one.
    pub(crate) fn done(self) {
        let _ = self.done.send(());
    }
}
