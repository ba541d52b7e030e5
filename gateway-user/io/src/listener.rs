//! Accepting connections.

use std::{
    cell::RefCell,
    fmt,
    future::Future,
    io,
    net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream},
    os::fd::{AsRawFd, BorrowedFd},
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use monoio::net::TcpListener;
use nix::fcntl::{FcntlArg, fcntl};

use crate::{
    runtime::worker,
    stream::{Stream, normalise},
    time::{CancelSafe, sleep},
    timers::{Due, OnDue, Slot},
};

/// Connections taken before the listener waits for readiness again, so that other tasks run during a burst.
const BURST: u8 = 16;

/// A listening socket on this worker.
///
/// It waits for readiness and then calls accept4 itself: a readiness wait can be dropped at any time, while
/// an accept operation that is dropped as it completes leaks its connection and hangs the client.
pub struct Listener {
    socket: Rc<StdListener>,
    /// Resolves when the socket has become readable. Watches a duplicate, which can be closed before
    /// the socket is.
    ready: Option<Pin<Box<dyn Future<Output = io::Result<()>>>>>,
    watched: Rc<TcpListener>,
    burst: u8,
    deadline: Slot,
    flag: Rc<TimeoutFlag>,
}

/// Makes duplicates of a listener's socket for as long as the listener lives, without keeping it open.
#[derive(Clone, Debug)]
pub struct ListenerHandle(Weak<StdListener>);

/// A connection and both its addresses; v4-mapped ones are given as IPv4.
#[derive(Debug)]
pub struct Accepted {
    /// The connection, TCP_NODELAY set.
    pub stream: Stream,
    /// The peer.
    pub peer: SocketAddr,
    /// The address and port that the client chose, whatever socket the connection was steered to.
    pub local: SocketAddr,
}

/// The future of [`Listener::accept`]. Dropping it loses no connection.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Accept<'a> {
    listener: &'a mut Listener,
}

#[derive(Default)]
struct TimeoutFlag {
    rung: std::cell::Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Listener {
    /// Takes over a socket that listens already. Binding is the caller's (the runtime's own bind would set
    /// SO_REUSEPORT unasked).
    ///
    /// # Errors
    /// The thread runs no worker, or a descriptor cannot be made.
    pub fn from_std(socket: StdListener) -> io::Result<Listener> {
        let worker = worker()?;
        socket.set_nonblocking(true)?;
        let watched = Rc::new(TcpListener::from_std(socket.try_clone()?)?);
        let flag = Rc::new(TimeoutFlag::default());
        let deadline = Slot::new(Rc::clone(&worker.timers));
        let weak = Rc::downgrade(&flag);
        let target: Weak<dyn OnDue> = weak;
        deadline.register(target, Due::Deadline);
        // The first accept tries at once: connections may be queued already.
        let socket = Rc::new(socket);
        Ok(Listener { socket, ready: None, watched, burst: BURST, deadline, flag })
    }

    /// The next connection.
    ///
    /// # Errors
    /// Those of accept4(2). The listener stays usable: after [`is_out_of_descriptors`] wait before the next
    /// call, the connection stays queued; `ConnectionAborted` and the like concern one connection only.
    /// `TimedOut` when the deadline passes.
    pub fn accept(&mut self) -> Accept<'_> {
        Accept { listener: self }
    }

    /// [`accept`](Self::accept) for callers with a context of their own.
    ///
    /// # Errors
    /// Those of [`accept`](Self::accept).
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        loop {
            if self.burst > 0 {
                match self.socket.accept() {
                    Ok(connection) => {
                        self.burst -= 1;
                        return Poll::Ready(accepted(connection));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.burst = 0,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            let watched = &self.watched;
            let ready = self.ready.get_or_insert_with(|| Box::pin(readable(Rc::clone(watched))));
            match ready.as_mut().poll(cx) {
                Poll::Ready(result) => {
                    self.ready = None;
                    self.burst = BURST;
                    if let Err(error) = result {
                        return Poll::Ready(Err(error));
                    }
                }
                Poll::Pending if self.flag.rung.take() => {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Pending => {
                    self.flag.waker.replace(Some(cx.waker().clone()));
                    return Poll::Pending;
                }
            }
        }
    }

    /// Makes a pending or later accept fail with `TimedOut` once this time has passed from now on; `None`
    /// clears it. Coarse: never early, at most two ticks late.
    pub fn set_deadline(&mut self, after: Option<Duration>) {
        self.flag.rung.set(false);
        match after {
            Some(after) => self.deadline.set(after),
            None => self.deadline.clear(),
        }
    }

    /// A handle for duplicates of the socket.
    #[must_use]
    pub fn handle(&self) -> ListenerHandle {
        ListenerHandle(Rc::downgrade(&self.socket))
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// The system call fails.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Stops listening and gives all connections that are queued: lets the kernel give up its watch, takes
    /// them, and closes the socket right behind the last one. (The socket of another process or a duplicate
    /// keeps listening.)
    pub async fn close(self) -> Vec<Accepted> {
        let Listener { socket, ready, watched, .. } = self;
        drop(ready);
        let duplicate = watched.as_raw_fd();
        drop(watched);
        // The duplicate is closed by the ring, after the readiness operation was cancelled: a few turns.
        // Until then it would keep the socket listening, and what it still takes in would be reset.
        for _ in 0..50 {
            sleep(Duration::from_millis(1)).await;
            if !is_open(duplicate) {
                break;
            }
        }
        let mut queued = Vec::new();
        loop {
            match socket.accept() {
                Ok(connection) => queued.extend(accepted(connection)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_of_one_connection(&error) => {}
                Err(_) => return queued,
            }
        }
    }
}

impl ListenerHandle {
    /// Another descriptor of the same socket, queue included; `None` once the listener is closed.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn duplicate(&self) -> Option<io::Result<StdListener>> {
        self.0.upgrade().map(|socket| socket.try_clone())
    }
}

/// True if an error of `accept` or `connect` says that descriptors or memory for sockets have run out: the
/// process's (EMFILE), the machine's (ENFILE), or socket memory (ENOBUFS, ENOMEM). Waiting helps, trying
/// again at once does not.
#[must_use]
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// accept(2): errors already pending on the new socket are passed on by Linux and concern nobody else.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionReset) || error.raw_os_error() == Some(libc::EPROTO)
}

async fn readable(watched: Rc<TcpListener>) -> io::Result<()> {
    watched.readable(false).await
}

fn accepted((socket, peer): (StdStream, SocketAddr)) -> io::Result<Accepted> {
    let local = normalise(socket.local_addr()?);
    socket.set_nodelay(true)?;
    Ok(Accepted { stream: Stream::from_std(socket)?, peer: normalise(peer), local })
}

fn is_open(descriptor: i32) -> bool {
    // SAFETY: only asked whether the number is in use; nothing is done with it.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
    fcntl(descriptor, FcntlArg::F_GETFD).is_ok()
}

impl Future for Accept<'_> {
    type Output = io::Result<Accepted>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.listener.poll_accept(cx)
    }
}

impl CancelSafe for Accept<'_> {}

impl OnDue for TimeoutFlag {
    fn on_due(&self, _: Due) {
        self.rung.set(true);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("socket", &self.socket).finish_non_exhaustive()
    }
}
