//! State that both halves of a stream and their pumps share.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::VecDeque,
    io,
    os::fd::{BorrowedFd, RawFd},
    rc::Rc,
    task::{Context, Waker},
};

use monoio::io::Canceller;
#[cfg(not(miri))]
use nix::sys::socket::{Shutdown, shutdown};
use nix::sys::socket::{getsockopt, sockopt};

use super::layer::Layered;
use crate::{
    chunk::Chunk,
    timers::{Slot, TimerTable},
};

/// One connection's shared state.
pub(crate) struct StreamState {
    fd: RawFd,
    /// Halves alive.
    halves: Cell<u8>,
    /// Operations begun and not ended, the abandoned ones included.
    in_flight: Cell<u8>,
    /// The connection ends by a reset: no orderly shutdown.
    reset: Cell<bool>,
    /// Its operations fail where they would have to wait.
    pub(crate) is_nonblocking: Cell<bool>,
    /// The layer between the socket and the halves, if there is one.
    pub(crate) layer: OnceCell<Box<Layered>>,
    pub(crate) recv: RecvState,
    pub(crate) send: SendState,
}

/// Caller's side of one direction.
pub(crate) struct Direction {
    /// Somebody wants the pump to work.
    pub(crate) wanted: Cell<bool>,
    /// The deadline passed and nobody was told yet.
    pub(crate) expired: Cell<bool>,
    pub(crate) deadline: Slot,
    waker: RefCell<Option<Waker>>,
}

pub(crate) struct RecvState {
    pub(crate) way: Direction,
    /// The pump's last result; `Ok(None)` is the end.
    pub(crate) received: Cell<Option<io::Result<Option<Chunk>>>>,
    pub(crate) ended: Cell<bool>,
    /// Cancels the receive in flight; absent once used, until the next receive.
    pub(crate) canceller: Cell<Option<Canceller>>,
    /// Due when a receive has held a chunk for too long.
    pub(crate) quiet: Slot,
    /// The receive holds no chunk and waits for readiness.
    pub(crate) is_quiet: Cell<bool>,
    /// The pump is to wait for readiness alone: its caller receives by itself.
    pub(crate) waits_only: Cell<bool>,
    /// Outcome of such a wait.
    pub(crate) ready: Cell<Option<io::Result<()>>>,
    /// A long body is expected.
    pub(crate) expects_long: Cell<bool>,
    /// Most bytes of a receive that begins from now on; 0 if its chunk is one of the pool's.
    pub(crate) most: Cell<usize>,
}

pub(crate) struct SendState {
    pub(crate) way: Direction,
    /// Not yet given to the kernel, in order.
    pub(crate) queue: RefCell<VecDeque<Chunk>>,
    /// Bytes in a send that is with the kernel.
    pub(crate) sending: Cell<usize>,
    /// The pump is to wait for room alone: its caller sends by itself.
    pub(crate) waits_only: Cell<bool>,
    /// Result of the pump's work.
    pub(crate) sent: Cell<Option<io::Result<()>>>,
    /// A send failed: what was sent is unknown, nothing more can be.
    pub(crate) broken: Cell<bool>,
}

impl StreamState {
    pub(crate) fn new(fd: RawFd, timers: &Rc<TimerTable>) -> Rc<StreamState> {
        let slot = || Slot::new(Rc::clone(timers));
        let way = || Direction {
            wanted: Cell::new(false),
            expired: Cell::new(false),
            deadline: slot(),
            waker: RefCell::new(None),
        };
        Rc::new(StreamState {
            fd,
            halves: Cell::new(2),
            in_flight: Cell::new(0),
            reset: Cell::new(false),
            is_nonblocking: Cell::new(false),
            layer: OnceCell::new(),
            recv: RecvState {
                way: way(),
                received: Cell::new(None),
                ended: Cell::new(false),
                canceller: Cell::new(None),
                quiet: slot(),
                is_quiet: Cell::new(false),
                waits_only: Cell::new(false),
                ready: Cell::new(None),
                expects_long: Cell::new(false),
                most: Cell::new(0),
            },
            send: SendState {
                way: way(),
                queue: RefCell::default(),
                sending: Cell::new(0),
                waits_only: Cell::new(false),
                sent: Cell::new(None),
                broken: Cell::new(false),
            },
        })
    }

    /// The socket; open as long as a half lives.
    pub(crate) fn fd(&self) -> RawFd {
        self.fd
    }

    /// The socket, for system calls.
    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        // SAFETY: `fd` is open as long as a half lives, and only a live half asks.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }

    /// Bytes that the kernel has taken and the peer's has not acknowledged; 0 if it does not say.
    pub(crate) fn unacknowledged(&self) -> usize {
        let mut count: libc::c_int = 0;
        // SAFETY: `fd` is open as long as a half lives, and only a live half asks; SIOCOUTQ (tcp(7))
        // writes one int.
        let result = unsafe { libc::ioctl(self.fd, libc::TIOCOUTQ, std::ptr::from_mut(&mut count)) };
        if result == 0 { usize::try_from(count).unwrap_or(0) } else { 0 }
    }

    /// True if the kernel has noted an error of the connection, such as a reset, that no operation has
    /// told. Takes it.
    pub(crate) fn has_failed(&self) -> bool {
        getsockopt(&self.socket(), sockopt::SocketError) != Ok(0)
    }

    pub(crate) fn begin_operation(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
    }

    pub(crate) fn end_operation(&self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
    }

    pub(crate) fn close_by_reset(&self) {
        self.reset.set(true);
    }

    fn shut_down(&self) {
        // Miri knows no shutdown(2). It fails only when the connection is gone already.
        #[cfg(not(miri))]
        let _ = shutdown(self.fd, Shutdown::Both);
    }

    /// Called by each half before it goes. The last one shuts the socket down if an operation is still with
    /// the kernel: the descriptor is closed only when that has ended, and the peer shall not wait for it.
    pub(crate) fn leave(&self) {
        self.halves.set(self.halves.get().saturating_sub(1));
        if self.halves.get() == 0 && self.in_flight.get() > 0 && !self.reset.get() {
            self.shut_down();
        }
    }
}

impl RecvState {
    /// True if a receive is in flight, or has brought what nobody has taken yet.
    pub(crate) fn has_receive(&self) -> bool {
        let received = self.received.take();
        let has_received = received.is_some();
        self.received.set(received);
        has_received || (self.way.wanted.get() && !self.waits_only.get())
    }
}

impl SendState {
    /// True if something is queued or in flight.
    pub(crate) fn is_busy(&self) -> bool {
        self.way.wanted.get() || !self.queue.borrow().is_empty()
    }
}

impl Direction {
    /// Remembers who waits.
    pub(crate) fn wait(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &*waker {
            Some(known) if known.will_wake(cx.waker()) => {}
            _ => *waker = Some(cx.waker().clone()),
        }
    }

    /// Nobody waits any more. A kept waker would keep its whole task in memory.
    pub(crate) fn done(&self) {
        self.waker.borrow_mut().take();
    }

    /// The waiting task's waker, or one that does nothing.
    pub(crate) fn waker(&self) -> Waker {
        self.waker.borrow().clone().unwrap_or_else(|| Waker::noop().clone())
    }

    /// The deadline came.
    pub(crate) fn expire(&self) {
        self.expired.set(true);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
