//! Connections to one backend that requests share, each request on a stream of its own (RFC 9113 section 5).

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use gateway_io::now;
use h2::client::SendRequest;
use http::uri::Scheme;

use super::Swept;
use super::dial_error::DialError;
use crate::h2::backend::Call;
use crate::h2::io::Transport;
use crate::h2::sink::Data;
use crate::signal::Signal;

/// A connection that is idle for so long is not part of a conversation.
pub(super) const UNUSED_AFTER: Duration = Duration::from_secs(1);
/// A request that has waited so long on a connection that says nothing takes it for dead: others go elsewhere.
const SILENT_AFTER: Duration = Duration::from_secs(5);

/// One worker's connections to one backend, and those that are being opened.
#[derive(Debug, Default)]
pub(super) struct SharedConnections {
    open: RefCell<Vec<Rc<SharedConnection>>>,
    opening: RefCell<Vec<Rc<Opening>>>,
    /// Streams that the backend took on the last connection that was opened.
    taken: Cell<Option<usize>>,
}

/// A connection. It ends when this is dropped and its last stream is over.
#[derive(Debug)]
pub(crate) struct SharedConnection {
    requests: RefCell<SendRequest<Data>>,
    /// Gone with the connection.
    transport: Weak<Transport>,
    /// It goes over TLS.
    is_secure: bool,
    /// Requests under way.
    streams: Cell<usize>,
    /// It takes no new ones.
    retired: Cell<bool>,
    /// It has refused one: others are asked first.
    refuses: Cell<bool>,
    /// When the last stream ended.
    since: Cell<Instant>,
}

/// A connection that is being opened, and the requests that wait for it.
#[derive(Debug, Default)]
pub(super) struct Opening {
    pub(super) done: Signal,
    waiting: Cell<usize>,
    result: RefCell<Option<Result<Rc<SharedConnection>, DialError>>>,
}

/// A request's place on a connection, and its stream once its head is sent.
#[derive(Debug)]
pub(crate) struct SharedStream {
    connection: Rc<SharedConnection>,
    began: Instant,
    pub(crate) call: Call,
}

impl SharedConnections {
    /// A connection that takes one more stream: the first one, so that those which are not needed become idle.
    pub(super) fn take(&self, most: usize) -> Option<Rc<SharedConnection>> {
        let mut open = self.open.borrow_mut();
        open.retain(|connection| connection.is_usable());
        let with_room = || open.iter().filter(|connection| connection.has_room(most));
        with_room().find(|connection| !connection.refuses.get()).or_else(|| with_room().next()).cloned()
    }

    /// A connection that is being opened, with room for one more request.
    pub(super) fn opening(&self, most: usize) -> Option<Rc<Opening>> {
        let most = most.min(self.taken.get().unwrap_or(most)).max(1);
        let opening = self.opening.borrow();
        opening.iter().find(|opening| opening.waiting.get() < most).cloned()
    }

    /// Notes that one is being opened.
    pub(super) fn begin(&self) -> Rc<Opening> {
        let opening = Rc::new(Opening::default());
        self.opening.borrow_mut().push(Rc::clone(&opening));
        opening
    }

    /// Takes the outcome, and tells those who wait for it.
    pub(super) fn finish(&self, opening: &Rc<Opening>, result: Result<Rc<SharedConnection>, DialError>) {
        self.opening.borrow_mut().retain(|other| !Rc::ptr_eq(other, opening));
        if let Ok(connection) = &result {
            self.taken.set(Some(connection.max_streams()));
            self.open.borrow_mut().push(Rc::clone(connection));
        }
        opening.result.replace(Some(result));
        opening.done.raise();
    }

    /// Lets go of connections that were idle for `limit`, and of those that are over; counts them, and those that are idle.
    pub(super) fn sweep(&self, limit: Duration, swept: &mut Swept) {
        let now = now();
        self.open.borrow_mut().retain(|connection| {
            let (usable, idle) = (connection.is_usable(), connection.is_idle());
            let expired = idle && connection.unused_for(now) >= limit;
            swept.stale += u64::from(!usable && idle);
            swept.evicted += u64::from(usable && expired);
            swept.idle += u64::from(usable && idle && !expired);
            usable && !expired
        });
    }

    /// Connections that were not used lately.
    pub(super) fn unused(&self, now: Instant) -> usize {
        self.open.borrow().iter().filter(|connection| connection.is_unused(now)).count()
    }

    /// Closes at most so many of those; gives their number.
    pub(super) fn close_unused(&self, now: Instant, mut most: usize) -> usize {
        let all = most;
        self.open.borrow_mut().retain(|connection| {
            let goes = most > 0 && connection.is_unused(now);
            most -= usize::from(goes);
            !goes
        });
        all - most
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.borrow().is_empty()
    }
}

impl SharedConnection {
    pub(super) fn new(requests: SendRequest<Data>, transport: &Rc<Transport>, is_secure: bool) -> Rc<Self> {
        Rc::new(Self {
            requests: RefCell::new(requests),
            transport: Rc::downgrade(transport),
            is_secure,
            streams: Cell::new(0),
            retired: Cell::new(false),
            refuses: Cell::new(false),
            since: Cell::new(now()),
        })
    }

    /// True if new streams may be begun here.
    pub(super) fn is_usable(&self) -> bool {
        !self.retired.get() && self.transport.upgrade().is_some_and(|transport| !transport.takes_no_more())
    }

    /// True if it has fewer streams than `most`, and than its backend takes.
    pub(super) fn has_room(&self, most: usize) -> bool {
        self.streams.get() < most.min(self.max_streams())
    }

    pub(super) fn max_streams(&self) -> usize {
        self.requests.borrow().current_max_send_streams()
    }

    fn is_idle(&self) -> bool {
        self.streams.get() == 0
    }

    fn unused_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since.get())
    }

    fn is_unused(&self, now: Instant) -> bool {
        self.is_idle() && self.unused_for(now) >= UNUSED_AFTER
    }

    /// A place for a request.
    pub(super) fn enter(self: Rc<Self>) -> SharedStream {
        self.streams.set(self.streams.get() + 1);
        SharedStream { connection: self, began: now(), call: Call::default() }
    }

    /// True if nothing has come since then, for so long that the backend is not there any more.
    fn is_silent_since(&self, began: Instant) -> bool {
        let silent = |transport: Rc<Transport>| transport.last_read() <= began;
        now().saturating_duration_since(began) >= SILENT_AFTER && self.transport.upgrade().is_some_and(silent)
    }
}

impl Opening {
    /// Counts a request that waits.
    pub(super) fn join(&self) {
        self.waiting.set(self.waiting.get() + 1);
    }

    /// The outcome, once there is one.
    pub(super) fn result(&self) -> Option<Result<Rc<SharedConnection>, DialError>> {
        self.result.borrow().clone()
    }
}

impl SharedStream {
    /// The scheme of its requests: that of the connection.
    pub(crate) fn scheme(&self) -> Scheme {
        if self.connection.is_secure { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// A handle to send a request with.
    pub(crate) fn requests(&self) -> SendRequest<Data> {
        self.connection.requests.borrow().clone()
    }
}

impl Drop for SharedStream {
    fn drop(&mut self) {
        let connection = &self.connection;
        if connection.is_silent_since(self.began) {
            connection.retired.set(true);
        }
        if self.call.is_refused() {
            connection.refuses.set(true);
        }
        // The stream ends before its place is free.
        self.call = Call::default();
        connection.streams.set(connection.streams.get().saturating_sub(1));
        connection.since.set(now());
    }
}
