//! A stream over the played kernel, the steps that may happen to it, and what must hold.

use std::{
    io,
    os::{fd::AsRawFd, unix::net::UnixStream},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use super::kernel::{Kernel, Socket};
use crate::{
    chunk::Chunk,
    kernel::{lent, set_ring_alive},
    stream::{recv::RecvHalf, send::SendHalf, socket::split, state::StreamState},
    timers::TimerTable,
};

const TICK: Duration = Duration::from_millis(50);
/// After which a receive gives its chunk back, and deadlines of the model pass: within one step of time.
const SOON: Duration = Duration::from_millis(200);
/// As much time as passes between two sweeps at most.
const STEP: Duration = Duration::from_millis(500);

/// Something that the caller, the clock, the kernel or the peer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The caller asks for what was received.
    Receive,
    /// It sets a deadline for that.
    LimitReceive,
    /// It queues a chunk: small and large ones in turn.
    Queue,
    /// It flushes.
    Flush,
    /// It sets a deadline for that.
    LimitSend,
    /// It drops the receiving half.
    DropRecv,
    /// It drops the sending half.
    DropSend,
    /// Time passes.
    Tick,
    /// Bytes arrive for a receive.
    Arrives,
    /// The peer has finished.
    Ends,
    /// A cancelled receive ends without data.
    Cancelled,
    /// Something can be received.
    Readable,
    /// The kernel takes all of a send.
    TakesAll,
    /// It takes one byte.
    TakesSome,
    /// The connection breaks.
    Breaks,
}

impl Step {
    /// After it a direction has no more to do.
    pub(super) fn is_end(self) -> bool {
        matches!(self, Step::DropRecv | Step::DropSend | Step::Ends | Step::Breaks)
    }
}

pub(super) struct World {
    kernel: Rc<Kernel>,
    timers: Rc<TimerTable>,
    now: Instant,
    link: Option<Rc<StreamState>>,
    recv: Option<RecvHalf>,
    send: Option<SendHalf>,
    /// The socket that the link shuts down, and its other end.
    pair: (UnixStream, UnixStream),
    /// Bytes that the peer sent, and bytes that the caller was given.
    delivered: Vec<u8>,
    received: Vec<u8>,
    queued: Vec<u8>,
    chunks: usize,
    ended: bool,
    broken: bool,
    /// A deadline is set for this direction and has not been told.
    limits: [bool; 2],
    history: Vec<Step>,
}

impl World {
    pub(super) fn new() -> World {
        set_ring_alive(true);
        let kernel = Rc::new(Kernel::default());
        let timers = TimerTable::new(TICK);
        let pair = UnixStream::pair().unwrap();
        let link = StreamState::new(pair.0.as_raw_fd(), &timers);
        let (recv, send) = split(Socket::new(&kernel));
        World {
            recv: Some(RecvHalf::new(&link, recv, SOON)),
            send: Some(SendHalf::new(&link, send)),
            link: Some(link),
            kernel,
            timers,
            now: Instant::now(),
            pair,
            delivered: Vec::new(),
            received: Vec::new(),
            queued: Vec::new(),
            chunks: 0,
            ended: false,
            broken: false,
            limits: [false; 2],
            history: Vec::new(),
        }
    }

    /// The steps that may come next.
    pub(super) fn possible(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.recv.is_some() {
            steps.extend([Step::Receive, Step::LimitReceive, Step::DropRecv]);
        }
        if self.send.is_some() {
            steps.extend([Step::Flush, Step::LimitSend, Step::DropSend]);
            if self.queued.len() < 20_000 {
                steps.push(Step::Queue);
            }
        }
        if self.recv.is_some() || self.send.is_some() {
            steps.push(Step::Tick);
        }
        if self.kernel.receive.borrow().is_some() {
            steps.push(Step::Ends);
            if !self.ended {
                steps.push(Step::Arrives);
            }
            if self.was_cancelled() {
                steps.push(Step::Cancelled);
            }
        }
        if self.kernel.poll.borrow().is_some() {
            steps.push(Step::Readable);
        }
        if self.kernel.send.borrow().is_some() {
            steps.extend([Step::TakesAll, Step::TakesSome, Step::Breaks]);
        }
        steps
    }

    /// The receive under way was asked to give its chunk back.
    fn was_cancelled(&self) -> bool {
        let Some(link) = &self.link else { return false };
        let canceller = link.recv.canceller.take();
        let asked = canceller.is_none();
        link.recv.canceller.set(canceller);
        asked
    }

    pub(super) fn vectored_sends(&self) -> usize {
        self.kernel.vectored.get()
    }

    pub(super) fn handles(&self) -> [usize; 2] {
        self.kernel.handles.get()
    }

    pub(super) fn apply(&mut self, step: Step) {
        self.history.push(step);
        match step {
            Step::Receive => drop(self.receive()),
            Step::Flush => drop(self.flush()),
            Step::LimitReceive => {
                self.recv.as_mut().expect("possible").set_deadline(Some(SOON));
                self.limits[0] = true;
            }
            Step::LimitSend => {
                self.send.as_mut().expect("possible").set_deadline(Some(SOON));
                self.limits[1] = true;
            }
            Step::Queue => self.queue(),
            Step::DropRecv => self.recv = None,
            Step::DropSend => self.send = None,
            Step::Tick => {
                self.now += STEP;
                self.timers.run_at(self.now);
            }
            Step::Arrives => {
                let bytes = [self.delivered.len() as u8, 1, 2];
                self.delivered.extend(bytes);
                self.kernel.complete_receive(Ok(&bytes));
            }
            Step::Ends => {
                self.ended = true;
                self.kernel.complete_receive(Ok(&[]));
            }
            Step::Cancelled => {
                self.kernel.complete_receive(Err(io::Error::from_raw_os_error(libc::ECANCELED)));
            }
            Step::Readable => self.kernel.complete_poll(),
            Step::TakesAll => self.kernel.complete_send(usize::MAX),
            Step::TakesSome => self.kernel.complete_send(1),
            Step::Breaks => {
                self.broken = true;
                self.kernel.fail_send();
            }
        }
        let in_use = self.recv.is_some() || self.send.is_some();
        assert!(!in_use || self.kernel.closed.get() == 0, "closed in use: {:?}", self.history);
    }

    fn receive(&mut self) -> Poll<()> {
        let recv = self.recv.as_mut().expect("possible");
        match recv.poll_recv(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(Some(chunk))) => self.received.extend_from_slice(&chunk),
            Poll::Ready(Ok(None)) => {
                assert!(self.ended && self.received == self.delivered, "{:?}", self.history);
                return Poll::Pending;
            }
            Poll::Ready(Err(error)) => {
                assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{:?}", self.history);
                assert!(std::mem::take(&mut self.limits[0]), "no deadline: {:?}", self.history);
            }
        }
        assert!(self.delivered.starts_with(&self.received), "{:?}", self.history);
        Poll::Ready(())
    }

    fn flush(&mut self) -> Poll<io::Result<()>> {
        let send = self.send.as_mut().expect("possible");
        let flushed = send.poll_flush(&mut Context::from_waker(Waker::noop()));
        match &flushed {
            Poll::Ready(Ok(())) => {
                assert_eq!(*self.kernel.sent.borrow(), self.queued, "{:?}", self.history);
            }
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                assert!(std::mem::take(&mut self.limits[1]), "no deadline: {:?}", self.history);
            }
            Poll::Ready(Err(_)) => assert!(self.broken, "{:?}", self.history),
            Poll::Pending => {}
        }
        assert!(self.queued.starts_with(&self.kernel.sent.borrow()), "{:?}", self.history);
        flushed
    }

    fn queue(&mut self) {
        // Large ones are not joined, so that several go out at once.
        let len = if self.chunks.is_multiple_of(2) { 3 } else { 3000 };
        self.chunks += 1;
        let bytes: Vec<u8> = (0..len).map(|at| (at + self.chunks) as u8).collect();
        let mut chunk = Chunk::take();
        chunk.extend_from_slice(&bytes).unwrap();
        self.send.as_mut().expect("possible").queue(chunk);
        self.queued.extend(bytes);
    }

    /// Brings everything to its end and looks at what is left.
    pub(super) fn finish(mut self) {
        if self.recv.is_some() {
            while self.receive().is_ready() {}
            assert_eq!(self.received, self.delivered, "lost: {:?}", self.history);
        }
        if self.send.is_some() {
            while let Poll::Pending | Poll::Ready(Err(_)) = self.flush() {
                if self.broken {
                    break;
                }
                if self.kernel.send.borrow().is_some() {
                    self.kernel.complete_send(usize::MAX);
                }
            }
            assert!(self.broken || *self.kernel.sent.borrow() == self.queued, "{:?}", self.history);
        }
        self.send = None;
        self.recv = None;
        self.link = None;
        // An operation that the kernel still has keeps the descriptor open, and the peer is told without it.
        let [receiving, sending] =
            [self.kernel.receive.borrow().is_some(), self.kernel.send.borrow().is_some()];
        let in_flight = receiving || sending;
        assert_eq!(self.kernel.closed.get(), usize::from(!in_flight), "{:?}", self.history);
        if in_flight && !cfg!(miri) {
            self.pair.1.set_nonblocking(true).unwrap();
            let end = io::Read::read(&mut &self.pair.1, &mut [0]);
            assert_eq!(end.unwrap(), 0, "the peer was not told: {:?}", self.history);
        }
        if receiving {
            // It may still write: nobody else must have the memory.
            self.kernel.complete_receive(Ok(&[7; 64]));
        }
        if sending {
            self.kernel.complete_send(usize::MAX);
            assert!(self.queued.starts_with(&self.kernel.sent.borrow()), "{:?}", self.history);
        }
        assert_eq!(self.kernel.closed.get(), 1, "{:?}", self.history);
        assert_eq!(lent(), 0, "memory is still lent: {:?}", self.history);
    }
}
