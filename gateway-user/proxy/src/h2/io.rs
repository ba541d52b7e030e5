//! Between the `h2` crate and a stream: bytes both ways, with a look at each frame's header.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use gateway_io::{Chunk, Stream, now};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::empty_data::EmptyDataFilter;
use super::flood::{Flood, Frames, Peer};
use super::frames::FrameScan;

/// Bytes of the client's preface (RFC 9113 section 3.4).
const PREFACE: usize = 24;
/// Bytes that are queued before the crate is told to wait.
const MAX_QUEUED: usize = 64 * 1024;
/// Bytes and frames of a client in one turn of its connection, before others have theirs.
const TURN_BYTES: usize = 64 * 1024;
const TURN_FRAMES: u32 = 256;

/// A connection, shared by the crate and by the task that runs it.
pub(crate) struct Transport {
    stream: RefCell<Stream>,
    /// Received and not read.
    inbox: RefCell<Option<Chunk>>,
    /// Of a backend.
    filter: Option<Box<RefCell<EmptyDataFilter>>>,
    inward: RefCell<FrameScan>,
    outward: RefCell<FrameScan>,
    frames: RefCell<Frames>,
    /// Resets for errors that somebody has asked for.
    counted_errors: Cell<u64>,
    began: Instant,
    turn: Cell<Turn>,
    /// No byte more is read: the connection is being ended.
    deaf: Cell<bool>,
    /// When a head that is not whole began.
    head_began: Cell<Option<Instant>>,
    /// When the last byte was read.
    last_read: Cell<Instant>,
}

/// The part of a turn that is left.
#[derive(Clone, Copy, Debug)]
struct Turn {
    bytes: usize,
    frames: u32,
    is_over: bool,
}

impl Turn {
    const WHOLE: Self = Self { bytes: TURN_BYTES, frames: TURN_FRAMES, is_over: false };
}

/// The crate's handle.
pub(crate) struct Io(Rc<Transport>);

impl Transport {
    /// A client's, with what was received of it.
    pub(super) fn of_client(stream: Stream, inbox: Option<Chunk>) -> Rc<Self> {
        Self::new(Peer::Client, stream, inbox)
    }

    /// A backend's.
    pub(super) fn of_backend(stream: Stream) -> Rc<Self> {
        Self::new(Peer::Backend, stream, None)
    }

    fn new(peer: Peer, stream: Stream, inbox: Option<Chunk>) -> Rc<Self> {
        let (inward, outward) = if peer == Peer::Client { (PREFACE, 0) } else { (0, PREFACE) };
        Rc::new(Self {
            stream: RefCell::new(stream),
            inbox: RefCell::new(inbox),
            filter: (peer == Peer::Backend).then(Box::default),
            inward: RefCell::new(FrameScan::new(inward)),
            outward: RefCell::new(FrameScan::new(outward)),
            frames: RefCell::new(Frames::of(peer)),
            counted_errors: Cell::new(0),
            began: now(),
            turn: Cell::new(Turn::WHOLE),
            deaf: Cell::new(false),
            head_began: Cell::new(None),
            last_read: Cell::new(now()),
        })
    }

    pub(super) fn io(self: &Rc<Self>) -> Io {
        Io(Rc::clone(self))
    }

    /// The stream, once the crate has let go of it.
    pub(super) fn into_stream(self: Rc<Self>) -> Option<Stream> {
        Rc::into_inner(self).map(|own| own.stream.into_inner())
    }

    /// Frees the memory that empty queues keep, on a connection without a stream.
    pub(super) fn shrink(&self) {
        self.stream.borrow_mut().send.shrink();
    }

    /// Begins a turn, after others had theirs.
    pub(super) fn begin_turn(&self) {
        self.turn.set(Turn::WHOLE);
    }

    /// True if the turn's part is used up and there may be more to read: nobody will wake the task for it.
    pub(super) fn is_turn_over(&self) -> bool {
        self.turn.get().is_over
    }

    /// The frames of which the client has sent too many.
    pub(super) fn flood(&self) -> Option<Flood> {
        self.frames.borrow().flood(now().saturating_duration_since(self.began).as_secs())
    }

    /// True once a client's trailers had a pseudo-header: the connection is to end.
    pub(super) fn has_pseudo_trailer(&self) -> bool {
        self.frames.borrow().has_pseudo_trailer()
    }

    /// Streams that were reset for an error of the peer since this was asked last.
    pub(super) fn take_error_resets(&self) -> u64 {
        let all = self.frames.borrow().error_resets();
        all.saturating_sub(self.counted_errors.replace(all))
    }

    /// When the head began that is under way, if one is.
    pub(super) fn head_began(&self) -> Option<Instant> {
        self.head_began.get()
    }

    /// Bytes that the connection's window has room for, and the window of a new stream.
    pub(super) fn windows(&self) -> (u64, u64) {
        let frames = self.frames.borrow();
        (frames.window(), frames.stream_window())
    }

    /// True once the peer has sent its settings.
    pub(super) fn has_settings(&self) -> bool {
        self.frames.borrow().has_settings()
    }

    /// True if no stream is to be begun here any more.
    pub(crate) fn takes_no_more(&self) -> bool {
        self.frames.borrow().takes_no_more()
    }

    /// When the last byte was read.
    pub(crate) fn last_read(&self) -> Instant {
        self.last_read.get()
    }

    /// From now on nothing is read.
    pub(super) fn stop_reading(&self) {
        self.deaf.set(true);
    }

    /// Looks at what the peer has sent.
    fn look(&self, bytes: &[u8]) {
        self.last_read.set(now());
        let mut turn = self.turn.get();
        let mut frames = self.frames.borrow_mut();
        let on = |frames: &mut Frames, frame| {
            frames.received(frame);
            turn.frames = turn.frames.saturating_sub(1);
        };
        self.inward.borrow_mut().take_all(bytes, &mut *frames, on, Frames::payload);
        turn.bytes = turn.bytes.saturating_sub(bytes.len());
        self.turn.set(turn);
        self.head_began.set(match frames.has_open_head() {
            true => self.head_began.get().or_else(|| Some(now())),
            false => None,
        });
    }

    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        // The end of a header for which there was no room.
        self.pass(&[], buffer);
        while buffer.filled().len() == before && buffer.remaining() > 0 {
            if !ready!(self.poll_piece(cx, buffer))? {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what has come as far as there is room for it; false at the end.
    fn poll_piece(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        if self.deaf.get() {
            return Poll::Pending;
        }
        let turn = self.turn.get();
        if turn.bytes == 0 || turn.frames == 0 {
            self.turn.set(Turn { is_over: true, ..turn });
            return Poll::Pending;
        }
        let mut inbox = self.inbox.borrow_mut();
        let chunk = match inbox.as_mut() {
            Some(chunk) if !chunk.is_empty() => chunk,
            _ => match self.stream.borrow_mut().recv.poll_recv(cx)? {
                Poll::Ready(Some(more)) => inbox.insert(more),
                Poll::Ready(None) => {
                    *inbox = None;
                    return Poll::Ready(Ok(false));
                }
                Poll::Pending => {
                    // Others run while this one waits.
                    self.turn.set(Turn::WHOLE);
                    return Poll::Pending;
                }
            },
        };
        let before = buffer.filled().len();
        let taken = self.pass(chunk, buffer);
        self.look(chunk.get(..taken).unwrap_or_default());
        if self.has_pseudo_trailer() {
            // The crate would take the request for a whole one.
            buffer.set_filled(before);
            self.stop_reading();
            return Poll::Pending;
        }
        chunk.advance(taken);
        if chunk.is_empty() {
            // It goes back to the pool: a quiet connection keeps none.
            *inbox = None;
        }
        Poll::Ready(Ok(true))
    }

    /// Gives the crate what it is to see of these bytes; says how many were taken.
    fn pass(&self, bytes: &[u8], buffer: &mut ReadBuf<'_>) -> usize {
        if let Some(filter) = &self.filter {
            return filter.borrow_mut().pass(bytes, buffer);
        }
        let fits = buffer.remaining().min(bytes.len());
        buffer.put_slice(bytes.get(..fits).unwrap_or_default());
        fits
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let send = &mut self.stream.borrow_mut().send;
        if send.queued() >= MAX_QUEUED {
            ready!(send.poll_flush(cx))?;
        }
        let mut chunk = Chunk::take();
        let taken = chunk.append(bytes);
        self.outward.borrow_mut().take_all(
            bytes.get(..taken).unwrap_or_default(),
            &mut *self.frames.borrow_mut(),
            Frames::sent,
            Frames::sent_payload,
        );
        send.queue(chunk);
        Poll::Ready(Ok(taken))
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.stream.borrow_mut().send.poll_flush(cx)
    }

    /// The end of the connection is the task's to say.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
