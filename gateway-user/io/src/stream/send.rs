//! The sending half.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    io,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use nix::sys::socket::{Shutdown, shutdown};

use super::{
    pump::{AnyPump, Pump, PumpWake, wanted},
    socket::{SendSide, Transport},
    state::StreamState,
};
use crate::{
    chunk::Chunk,
    kernel::{Gather, GatherBuf, MAX_GATHER, SendBuf},
    time::CancelSafe,
    timers::{Due, OnDue},
};

/// Up to so many bytes a copy costs less than another buffer in a send does: its place in the queue, the
/// vector, and the kernel's slower road for vectors.
const MAX_JOINED: usize = 2048;

/// The sending half of a stream: a queue of chunks and the operation that empties it.
pub struct SendHalf {
    pump: Rc<AnyPump>,
}

/// The future of [`SendHalf::flush`]. Dropping it drops no data: what is queued goes out with the next flush.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Flush<'a> {
    half: &'a mut SendHalf,
}

/// The future of [`SendHalf::send_all`]; the chunk is queued when it is made.
pub type SendAll<'a> = Flush<'a>;

impl SendHalf {
    pub(crate) fn new<T: Transport + 'static>(link: &Rc<StreamState>, socket: SendSide<T>) -> SendHalf {
        let pump = Pump::new(link, on_due, transmit(Rc::clone(link), socket));
        let weak = Rc::downgrade(&pump);
        let target: Weak<dyn OnDue> = weak;
        link.send.way.deadline.register(target, Due::Deadline);
        SendHalf { pump }
    }

    /// Puts a chunk behind those already queued; nothing is sent before a flush. Chunks queued together
    /// go out in one operation (up to ten), so a head and the body behind it cost one system call; a
    /// small one is copied behind the last where there is room. Back-pressure is the caller's: flush
    /// before more is taken in.
    pub fn queue(&mut self, chunk: Chunk) {
        if chunk.is_empty() || self.is_broken() {
            return;
        }
        match self.link().layer.get() {
            None => join_or_push(&mut self.link().send.queue.borrow_mut(), chunk),
            Some(layer) => layer.queue(chunk),
        }
    }

    /// Sends all that is queued. Ready when the kernel has taken all of it.
    ///
    /// # Errors
    /// `TimedOut` when the deadline passes (it is then cleared; the operation goes on with the next flush);
    /// else what the kernel reports. After a kernel error the rest is dropped and every later flush fails
    /// with `BrokenPipe`.
    pub fn flush(&mut self) -> Flush<'_> {
        Flush { half: self }
    }

    /// Queues one chunk and sends all that is queued.
    pub fn send_all(&mut self, chunk: Chunk) -> SendAll<'_> {
        self.queue(chunk);
        self.flush()
    }

    /// [`flush`](Self::flush) for callers with a context of their own.
    ///
    /// # Errors
    /// Those of [`flush`](Self::flush).
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &self.pump.link.send;
        if state.broken.get() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if let Some(Err(error)) = self.link().layer.get().map(|layer| layer.seal(&state.queue)) {
            return Poll::Ready(Err(error));
        }
        state.waits_only.set(false);
        self.poll_pump(cx)
    }

    /// Ready once the socket has room, or has failed.
    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_pump(cx)
    }

    fn poll_pump(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &self.pump.link.send;
        state.way.wanted.set(true);
        self.pump.poll(cx);
        if let Some(result) = state.sent.take() {
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

    /// Makes a pending or later flush fail with `TimedOut` once this time has passed from now on; `None`
    /// clears it. Coarse: never early, at most two ticks late. Costs two stores.
    pub fn set_deadline(&mut self, after: Option<Duration>) {
        let way = &self.pump.link.send.way;
        way.expired.set(false);
        match after {
            Some(after) => way.deadline.set(after),
            None => way.deadline.clear(),
        }
    }

    /// Flushes, then tells the peer that nothing more comes: by the layer's own message if there is one, and
    /// by FIN. The other direction stays open.
    ///
    /// # Errors
    /// Those of [`flush`](Self::flush); `NotConnected` when the connection has gone.
    pub async fn shutdown_write(&mut self) -> io::Result<()> {
        if let Some(layer) = self.link().layer.get() {
            let queue = &self.link().send.queue;
            // After an error of the layer what it left in the queue still goes out: an alert.
            let _ = layer.seal(queue);
            layer.close(queue);
        }
        self.flush().await?;
        shutdown(self.link().fd(), Shutdown::Write)?;
        Ok(())
    }

    /// Frees the memory that an empty queue keeps for the next chunk: for streams that
    /// are quiet for a while.
    pub fn shrink(&mut self) {
        self.link().send.queue.borrow_mut().shrink_to_fit();
        if let Some(layer) = self.link().layer.get() {
            layer.shrink();
            if self.link().recv.is_quiet.get() {
                layer.park();
            }
        }
    }

    /// Bytes queued and not yet given to the kernel.
    #[must_use]
    pub fn queued(&self) -> usize {
        let queued: usize = self.link().send.queue.borrow().iter().map(Chunk::len).sum();
        queued + self.link().layer.get().map_or(0, |layer| layer.queued())
    }

    /// Bytes queued, on their way, or with the kernel and not acknowledged by the peer's. That number
    /// falls only as the peer takes something, so two of them tell a slow peer from one that has stopped.
    /// A system call.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.queued() + self.link().send.sending.get() + self.link().unacknowledged()
    }

    /// True if a send failed: nothing more can be sent.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.link().send.broken.get()
    }

    pub(crate) fn link(&self) -> &StreamState {
        &self.pump.link
    }
}

fn join_or_push(queue: &mut VecDeque<Chunk>, chunk: Chunk) {
    let last = queue.back_mut().filter(|_| chunk.len() <= MAX_JOINED);
    if last.is_none_or(|last| last.extend_from_slice(&chunk).is_err()) {
        queue.push_back(chunk);
    }
}

/// Sends what is queued whenever somebody wants it, until dropped.
async fn transmit<T: Transport>(link: Rc<StreamState>, mut socket: SendSide<T>) {
    let state = &link.send;
    let mut must_wait = false;
    loop {
        wanted(&state.way.wanted).await;
        if state.waits_only.get() || must_wait {
            link.begin_operation();
            let ready = socket.handle().writable().await;
            link.end_operation();
            must_wait = false;
            // Somebody may want something sent by now.
            if state.waits_only.replace(false) {
                finish(&link, ready);
                continue;
            }
        }
        let waiting = state.queue.borrow().len();
        let result = match waiting {
            0 => {
                finish(&link, Ok(()));
                continue;
            }
            1 => send_one(&link, socket.handle()).await,
            _ => send_many(&link, socket.handle()).await,
        };
        match result {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Of a socket that was made non-blocking, over a ring.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => must_wait = true,
            Err(error) => {
                state.broken.set(true);
                state.queue.borrow_mut().clear();
                finish(&link, Err(error));
            }
        }
    }
}

fn finish(link: &StreamState, result: io::Result<()>) {
    link.send.sent.set(Some(result));
    link.send.way.wanted.set(false);
}

/// One send of the queue's first chunk; what the kernel did not take goes back to the front.
async fn send_one(link: &StreamState, socket: &mut impl Transport) -> io::Result<()> {
    let Some(chunk) = link.send.queue.borrow_mut().pop_front() else { return Ok(()) };
    link.begin_operation();
    link.send.sending.set(chunk.len());
    let (result, buffer) = socket.send(SendBuf::new(chunk)).await;
    link.send.sending.set(0);
    link.end_operation();
    let mut chunk = buffer.into_chunk();
    let result = taken(result);
    chunk.advance(*result.as_ref().unwrap_or(&0));
    if !chunk.is_empty() {
        link.send.queue.borrow_mut().push_front(chunk);
    }
    result.map(drop)
}

/// One vectored send of the queue's first chunks.
async fn send_many(link: &StreamState, socket: &mut impl Transport) -> io::Result<()> {
    let mut gather = Gather::take();
    {
        let mut queue = link.send.queue.borrow_mut();
        let count = queue.len().min(MAX_GATHER);
        gather.chunks.extend(queue.drain(..count));
    }
    link.begin_operation();
    link.send.sending.set(gather.chunks.iter().map(Chunk::len).sum());
    let (result, buffer) = socket.send_vectored(GatherBuf::new(gather)).await;
    link.send.sending.set(0);
    link.end_operation();
    let mut gather = buffer.into_gather();
    let result = taken(result);
    let mut sent = *result.as_ref().unwrap_or(&0);
    {
        let mut queue = link.send.queue.borrow_mut();
        for chunk in &mut gather.chunks {
            let part = sent.min(chunk.len());
            chunk.advance(part);
            sent -= part;
        }
        // Back in front of what was queued meanwhile, last one first.
        while let Some(chunk) = gather.chunks.pop() {
            if !chunk.is_empty() {
                queue.push_front(chunk);
            }
        }
    }
    gather.give_back();
    result.map(drop)
}

/// Bytes the kernel took. Nothing taken of something is an error, or the pump would spin.
fn taken(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        other => other,
    }
}

fn on_due(link: &StreamState, _: Due) -> PumpWake {
    link.send.way.expire();
    PumpWake::No
}

impl Future for Flush<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.half.poll_flush(cx)
    }
}

impl Drop for Flush<'_> {
    fn drop(&mut self) {
        self.half.link().send.way.done();
    }
}

impl CancelSafe for Flush<'_> {}

impl Drop for SendHalf {
    fn drop(&mut self) {
        self.link().leave();
    }
}

impl fmt::Debug for SendHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendHalf").field("fd", &self.link().fd()).field("queued", &self.queued()).finish()
    }
}
