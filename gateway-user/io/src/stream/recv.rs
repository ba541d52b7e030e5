//! The receiving half.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use monoio::io::Canceller;

use super::{
    pump::{AnyPump, Pump, PumpWake, wanted},
    socket::{RecvSide, Transport},
    state::StreamState,
};
use crate::{
    chunk::Chunk,
    kernel::RecvBuf,
    pool::{BufferLevel, buffer_level},
    time::CancelSafe,
    timers::{Due, OnDue},
};

/// The receiving half of a stream: the bytes that the peer sends, chunk by chunk.
pub struct RecvHalf {
    pump: Rc<AnyPump>,
}

/// The future of [`RecvHalf::recv`]. Dropping it loses nothing.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Recv<'a> {
    half: &'a mut RecvHalf,
}

/// The future of [`RecvHalf::recv_unless_quiet`]. Dropping it loses nothing.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct RecvUnlessQuiet<'a> {
    half: &'a mut RecvHalf,
}

impl RecvHalf {
    pub(crate) fn new<T: Transport + 'static>(
        link: &Rc<StreamState>,
        socket: RecvSide<T>,
        quiet_after: Duration,
    ) -> RecvHalf {
        let pump = Pump::new(link, on_due, receive(Rc::clone(link), socket, quiet_after));
        let weak = Rc::downgrade(&pump);
        let target: Weak<dyn OnDue> = weak;
        link.recv.way.deadline.register(Weak::clone(&target), Due::Deadline);
        link.recv.quiet.register(target, Due::Quiet);
        RecvHalf { pump }
    }

    /// The next bytes, in a chunk the half lends; `None` once the peer has finished sending.
    ///
    /// The receive belongs to the half: a dropped future leaves it running, and the next call returns what
    /// came. After about a second without data it gives its chunk back and waits for readiness.
    ///
    /// # Errors
    /// `TimedOut` when the deadline set by [`set_deadline`](Self::set_deadline) passes (the deadline is then
    /// cleared, the receive goes on); else what the kernel reports, such as `ConnectionReset`.
    pub fn recv(&mut self) -> Recv<'_> {
        Recv { half: self }
    }

    /// [`recv`](Self::recv), but ends with `None` as soon as the receive has given its chunk back, for
    /// callers that can then wait with less memory of their own. The deadline stays set, and the next call
    /// goes on waiting.
    ///
    /// # Errors
    /// Those of [`recv`](Self::recv).
    pub fn recv_unless_quiet(&mut self) -> RecvUnlessQuiet<'_> {
        RecvUnlessQuiet { half: self }
    }

    /// [`recv`](Self::recv) for callers with a context of their own.
    ///
    /// # Errors
    /// Those of [`recv`](Self::recv).
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
        let state = &self.pump.link.recv;
        if let Some(result) = self.content(cx) {
            state.way.done();
            return Poll::Ready(result);
        }
        if state.way.expired.take() {
            state.way.done();
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        state.way.wait(cx);
        Poll::Pending
    }

    /// The bytes that have come, without waiting; starts a receive if none is in flight. `Some` on a
    /// connection that should be silent (a pooled one) means that it must not be used.
    ///
    /// # Errors
    /// Those of [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Option<io::Result<Option<Chunk>>> {
        // A task that waits by `poll_recv` shall still be woken.
        let waker = self.pump.link.recv.way.waker();
        self.content(&mut Context::from_waker(&waker))
    }

    /// Makes a pending or later receive fail with `TimedOut` once this time has passed from now on; `None`
    /// clears it. Coarse: never early, at most two ticks late. Costs two stores.
    pub fn set_deadline(&mut self, after: Option<Duration>) {
        let way = &self.pump.link.recv.way;
        way.expired.set(false);
        match after {
            Some(after) => way.deadline.set(after),
            None => way.deadline.clear(),
        }
    }

    /// True if receives that begin from now on may take a large chunk, once one has filled an ordinary chunk:
    /// for as long as a long body is expected. What comes with a head is copied and kept, so heads take
    /// ordinary ones.
    pub fn expect_long(&mut self, long: bool) {
        self.link().recv.expects_long.set(long);
    }

    /// Receives that begin from now on take at most so many bytes, in memory of that size: for a caller that may
    /// have to keep what comes. `None` is a chunk of the pool.
    pub fn limit(&mut self, most: Option<usize>) {
        self.link().recv.most.set(most.unwrap_or(0));
    }

    /// Has a receive that is in flight give its chunk back and wait for readiness, unless data has come by then.
    pub fn give_back_chunk(&mut self) {
        // The second call, on the next tick, takes up the outcome.
        if cancel(self.link()) {
            self.link().recv.quiet.set(Duration::ZERO);
        }
    }

    /// True if the peer has finished sending, and all of it was received.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        match self.link().layer.get() {
            None => self.link().recv.ended.get(),
            Some(layer) => layer.is_ended(),
        }
    }

    /// True if the connection has broken since its last operation. After the peer's end no receive tells that
    /// any more; a peer that is gone sends a reset for whatever it gets. A system call, which takes the error
    /// (socket(7) `SO_ERROR`).
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.link().has_failed()
    }

    pub(crate) fn link(&self) -> &StreamState {
        &self.pump.link
    }

    /// The bytes that came, as the stream's layer opens them.
    fn content(&self, cx: &mut Context<'_>) -> Option<io::Result<Option<Chunk>>> {
        let Some(layer) = self.link().layer.get() else { return self.advance(cx) };
        loop {
            if let Some(content) = layer.content() {
                return Some(content);
            }
            match self.advance(cx)? {
                Ok(received) => layer.take(received, &self.link().send.queue),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// The outcome of a wait for readiness, once there is one; or of a receive that was in flight before it.
    pub(super) fn wait_readable(&self, cx: &mut Context<'_>) -> Option<io::Result<()>> {
        let state = &self.pump.link.recv;
        if state.has_receive() {
            // What it brings is taken by the next receive.
            self.pump.poll(cx);
            return (!state.way.wanted.get()).then_some(Ok(()));
        }
        state.waits_only.set(true);
        state.way.wanted.set(true);
        self.pump.poll(cx);
        state.ready.take()
    }

    fn advance(&self, cx: &mut Context<'_>) -> Option<io::Result<Option<Chunk>>> {
        let state = &self.pump.link.recv;
        if state.ended.get() {
            return Some(Ok(None));
        }
        // A result the sweep has taken up comes first.
        let mut received = state.received.take();
        if received.is_none() {
            state.waits_only.set(false);
            state.way.wanted.set(true);
            self.pump.poll(cx);
            received = state.received.take();
        }
        let result = received?;
        state.ended.set(matches!(result, Ok(None)));
        Some(result)
    }
}

/// Receives whenever somebody wants it, until dropped.
async fn receive<T: Transport>(link: Rc<StreamState>, mut socket: RecvSide<T>, quiet_after: Duration) {
    let state = &link.recv;
    let mut wait_first = false;
    let mut filled = false;
    loop {
        wanted(&state.way.wanted).await;
        if state.waits_only.get() {
            link.begin_operation();
            let ready = socket.handle().readable().await;
            link.end_operation();
            // Somebody may want content by now.
            if state.waits_only.replace(false) {
                state.ready.set(Some(ready));
                state.way.wanted.set(false);
                continue;
            }
        }
        // Where buffers have run out, a wait of any length must not hold one.
        if wait_first || buffer_level() >= BufferLevel::Full {
            link.begin_operation();
            state.is_quiet.set(true);
            // Without a buffer alone it waits no longer than others.
            if wait_first && let Some(layer) = link.layer.get() {
                layer.park();
            }
            let ready = socket.handle().readable().await;
            state.is_quiet.set(false);
            link.end_operation();
            if let Err(error) = ready {
                finish(&link, Err(error));
                continue;
            }
        }
        let canceller = state.canceller.take().unwrap_or_default();
        let handle = canceller.handle();
        state.canceller.set(Some(canceller));
        link.begin_operation();
        state.quiet.set(quiet_after);
        let large = filled && state.expects_long.get();
        let chunk = match state.most.get() {
            0 if large => Chunk::bulk(),
            0 => Chunk::take(),
            most => Chunk::exact(most),
        };
        let (result, buffer) = socket.handle().recv(RecvBuf::new(chunk), handle).await;
        state.quiet.clear();
        link.end_operation();
        let chunk = buffer.into_chunk();
        wait_first = false;
        match result {
            Ok(0) => finish(&link, Ok(None)),
            Ok(_) => {
                filled = chunk.is_bulk();
                finish(&link, Ok(Some(chunk)));
            }
            Err(error) if goes_on(&error) => wait_first = true,
            Err(error) => finish(&link, Err(error)),
        }
    }
}

fn finish(link: &StreamState, result: io::Result<Option<Chunk>>) {
    link.recv.received.set(Some(result));
    link.recv.way.wanted.set(false);
}

/// The receive was cancelled (by us, for being quiet) or interrupted: wait for readiness, then receive again.
fn goes_on(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ECANCELED | libc::EAGAIN | libc::EINTR))
}

/// A quiet receive is cancelled. Its outcome (data may win) comes with a completion of its own; when nobody
/// waits to take that up, the next due tick polls the pump.
fn on_due(link: &StreamState, what: Due) -> PumpWake {
    match what {
        Due::Deadline => {
            link.recv.way.expire();
            PumpWake::No
        }
        Due::Quiet => {
            let is_new = cancel(link);
            // Again at each tick: the outcome of a receive that was cancelled just before a tick comes after it. The end
            // of the receive clears this.
            link.recv.quiet.set(Duration::ZERO);
            if is_new { PumpWake::No } else { PumpWake::Poll }
        }
    }
}

/// Cancels the receive that is in flight, if one is; false if that was done already.
fn cancel(link: &StreamState) -> bool {
    // The handle of the receive is used up: the next receive makes a new canceller.
    link.recv.canceller.take().map(|canceller| drop(Canceller::cancel(canceller))).is_some()
}

impl Future for Recv<'_> {
    type Output = io::Result<Option<Chunk>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.half.poll_recv(cx)
    }
}

impl Drop for Recv<'_> {
    fn drop(&mut self) {
        self.half.link().recv.way.done();
    }
}

impl CancelSafe for Recv<'_> {}

impl Future for RecvUnlessQuiet<'_> {
    type Output = Option<io::Result<Option<Chunk>>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.half.poll_recv(cx) {
            Poll::Ready(received) => Poll::Ready(Some(received)),
            // The end of the receive that held a chunk woke us.
            Poll::Pending if self.half.link().recv.is_quiet.get() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for RecvUnlessQuiet<'_> {
    fn drop(&mut self) {
        self.half.link().recv.way.done();
    }
}

impl CancelSafe for RecvUnlessQuiet<'_> {}

impl Drop for RecvHalf {
    fn drop(&mut self) {
        self.link().leave();
    }
}

impl fmt::Debug for RecvHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvHalf").field("fd", &self.link().fd()).field("ended", &self.is_ended()).finish()
    }
}
