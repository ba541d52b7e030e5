//! One wait for many sockets: an epoll of the worker's own, which its driver waits for as for any descriptor.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::UdpSocket as StdSocket;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use monoio::net::udp::UdpSocket;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::runtime::worker;
use crate::time::CancelSafe;

/// Most sockets that one look finds ready.
const READY_MAX: usize = 64;

/// Sockets that something may be received from, by tokens. A socket leaves it by its last descriptor being closed, or by [`Interest::remove`].
pub struct ReadySet {
    epoll: Rc<Epoll>,
    /// A duplicate of the epoll's descriptor, for the driver. It waits for no datagram, and is read by nobody.
    watched: Rc<UdpSocket>,
    ready: Option<Pin<Box<dyn Future<Output = io::Result<()>>>>>,
    events: [EpollEvent; READY_MAX],
}

/// The way into a set, also while somebody waits for it.
#[derive(Clone, Debug)]
pub struct Interest(Rc<Epoll>);

/// The future of [`ReadySet::ready`]. Dropping it loses nothing.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Ready<'a> {
    set: &'a mut ReadySet,
}

impl ReadySet {
    /// An empty set for the calling thread's worker.
    ///
    /// # Errors
    /// The thread runs no worker, or no descriptor is left.
    pub fn new() -> io::Result<Self> {
        worker()?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let duplicate = epoll.0.try_clone()?;
        let watched = Rc::new(UdpSocket::from_std(StdSocket::from(duplicate))?);
        Ok(Self { epoll: Rc::new(epoll), watched, ready: None, events: [EpollEvent::empty(); READY_MAX] })
    }

    /// The way into the set.
    pub fn interest(&self) -> Interest {
        Interest(Rc::clone(&self.epoll))
    }

    /// Tokens of sockets that are ready now, 64 at most, put into `found`. One that stays ready is found again, after others.
    ///
    /// # Errors
    /// None that the kernel documents for a set of its own.
    pub fn look(&mut self, found: &mut Vec<u64>) -> io::Result<()> {
        found.clear();
        let count = match self.epoll.wait(&mut self.events, EpollTimeout::ZERO) {
            Err(nix::errno::Errno::EINTR) => 0,
            done => done?,
        };
        found.extend(self.events.iter().take(count).map(EpollEvent::data));
        Ok(())
    }

    /// Waits until any socket is ready.
    ///
    /// # Errors
    /// The driver cannot wait.
    pub fn ready(&mut self) -> Ready<'_> {
        Ready { set: self }
    }
}

impl Interest {
    /// Adds a socket: from now on [`ReadySet::look`] gives the token while something, an error included, can be received there.
    ///
    /// # Errors
    /// The kernel has no room for one more (`fs.epoll.max_user_watches`).
    pub fn add(&self, socket: &impl AsFd, token: u64) -> io::Result<()> {
        Ok(self.0.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, token))?)
    }

    /// Takes a socket out that stays open elsewhere: the kernel does so by itself only when the last descriptor of it is
    /// closed, in whichever process that is.
    pub fn remove(&self, socket: &impl AsFd) {
        // One that is not in the set is as it should be.
        let _ = self.0.delete(socket);
    }
}

impl Future for Ready<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let set = &mut *self.set;
        let watched = &set.watched;
        let ready = set.ready.get_or_insert_with(|| Box::pin(readable(Rc::clone(watched))));
        let result = std::task::ready!(ready.as_mut().poll(cx));
        set.ready = None;
        Poll::Ready(result)
    }
}

impl CancelSafe for Ready<'_> {}

async fn readable(watched: Rc<UdpSocket>) -> io::Result<()> {
    watched.readable(false).await
}

impl fmt::Debug for ReadySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadySet").field("epoll", &self.epoll).finish_non_exhaustive()
    }
}
