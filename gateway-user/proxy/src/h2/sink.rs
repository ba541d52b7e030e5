//! Bodies over HTTP/2: each piece waits for the receiver's window.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use gateway_http::h2::read_trailers;
use gateway_http::head::Fields;
use gateway_io::{Chunk, now};
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{HeaderMap, Response};

pub(crate) use super::backlog::Data;
use super::backlog::{Ahead, Backlog, SMALL_RECEIVE};
use super::connection::H2Connection;
use super::unsent::Leaving;
use crate::body::ends::{PumpError, Sink};
use crate::body::pacing::SendTimeout;
use crate::clock::within;
use crate::exchange::progress::Progress;

/// Most content that a stream hands to the crate at a time, so that streams take turns.
const MAX_PIECE: usize = 16 * 1024;
/// Parts of a chunk up to this length have memory of their own: they may wait in the crate for long.
const SMALL_PART: usize = 2 * 1024;

/// A stream as what is sent on it sees it.
pub(crate) trait Outgoing {
    type Head;
    /// Sends the head; `ends` tells that nothing follows.
    ///
    /// # Errors
    /// The stream is gone.
    fn open(&mut self, head: Self::Head, ends: bool) -> Result<(), h2::Error>;
    /// The stream, once the head is out.
    fn stream(&mut self) -> Option<&mut SendStream<Data>>;
    /// The count of what waits on the connection, if that has a bound.
    fn backlog(&self) -> Option<&Rc<Backlog>> {
        None
    }
    /// True if only [`SMALL_RECEIVE`] may be received for it at a time, until its window is known.
    fn is_limited(&self) -> bool {
        false
    }
}

/// The way of one response to the client, asked by its body and by whoever waits for the client to be gone.
pub(crate) struct Sender {
    pub(super) response: SendResponse<Data>,
    /// There once the head is out.
    pub(super) stream: Option<SendStream<Data>>,
    pub(super) conn: Rc<H2Connection>,
    /// Leave to receive whole chunks for it.
    pub(super) ahead: Option<Ahead>,
    /// It has none.
    pub(super) is_limited: bool,
}

impl Sender {
    pub(super) fn new(conn: &Rc<H2Connection>, response: SendResponse<Data>) -> Self {
        Self { response, stream: None, conn: Rc::clone(conn), ahead: None, is_limited: false }
    }

    /// Asks for leave to receive a whole chunk of a response that has not begun; true if the client's windows have room for
    /// it.
    pub(super) fn may_receive(&mut self) -> bool {
        if self.ahead.is_none() {
            let (window, of_stream) = self.conn.transport.windows();
            let bytes = Chunk::ordinary();
            self.ahead =
                (of_stream >= bytes as u64).then(|| self.conn.backlog.allow(bytes, window)).flatten();
        }
        self.is_limited = self.ahead.is_none();
        !self.is_limited
    }

    /// The bytes that may be received now: what both windows have room for, and [`SMALL_RECEIVE`] at least. `None` is a whole
    /// chunk.
    pub(super) fn receivable(&mut self) -> Option<usize> {
        self.ahead = None;
        let bytes = Chunk::ordinary();
        let stream = self.stream.as_mut()?;
        // Not kept: others would have no window for as long as the backend has nothing to send.
        stream.reserve_capacity(bytes);
        let taken = stream.capacity();
        stream.reserve_capacity(1);
        if taken > SMALL_RECEIVE {
            let (window, _) = self.conn.transport.windows();
            let ahead = self.conn.backlog.allow_most(taken.min(bytes), window);
            self.ahead = Some(ahead).filter(|ahead| ahead.bytes > SMALL_RECEIVE);
        }
        let most = self.ahead.as_ref().map_or(SMALL_RECEIVE, |ahead| ahead.bytes);
        Some(most).filter(|most| *most < bytes)
    }

    /// Ready once the client has reset the stream, or its connection is gone.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.stream {
            Some(stream) => stream.poll_reset(cx).map(drop),
            None => self.response.poll_reset(cx).map(drop),
        }
    }

    pub(super) fn reset(&mut self, reason: Reason) {
        match &mut self.stream {
            Some(stream) => stream.send_reset(reason),
            None => self.response.send_reset(reason),
        }
    }
}

impl Outgoing for Sender {
    type Head = Response<()>;

    fn open(&mut self, head: Response<()>, ends: bool) -> Result<(), h2::Error> {
        self.stream = Some(self.response.send_response(head, ends)?);
        Ok(())
    }

    fn stream(&mut self) -> Option<&mut SendStream<Data>> {
        self.stream.as_mut()
    }

    fn backlog(&self) -> Option<&Rc<Backlog>> {
        Some(&self.conn.backlog)
    }

    fn is_limited(&self) -> bool {
        self.is_limited
    }
}

/// The pace at which a receiver takes what is sent to it: counts while it is waited for.
#[derive(Debug, Default)]
pub(super) struct TakingRate {
    waited: Duration,
    taken: u64,
}

impl TakingRate {
    /// Counts a wait, and the bytes that were taken at its end; false if they are too few. A client that widens its window by
    /// a byte at a time is as slow as one that does not.
    fn note(&mut self, waited: Duration, taken: usize, timeout: SendTimeout) -> bool {
        self.waited += waited;
        self.taken += taken as u64;
        if self.waited < timeout.limit || taken == 0 {
            return true;
        }
        let Self { waited, taken } = std::mem::take(self);
        let required =
            u64::try_from(waited.as_millis()).unwrap_or(u64::MAX).saturating_mul(timeout.rate) / 1000;
        taken >= required.max(1)
    }
}

/// A body on its way.
pub(crate) struct H2Sink<'a, S: Outgoing> {
    pub(super) to: &'a RefCell<S>,
    /// Prepared: it goes out with the first flush after [`Sink::begin`].
    pub(super) head: Option<S::Head>,
    pub(super) begun: bool,
    /// The head says that no content follows.
    pub(super) is_empty: bool,
    pub(super) queued: VecDeque<Chunk>,
    /// The end is queued, with these trailers.
    pub(super) end: Option<HeaderMap>,
    /// Takes what is left when the client has no window for a response.
    pub(super) leaving: Option<Leaving<'a>>,
    /// It was taken.
    pub(super) left: bool,
    pub(super) taking: TakingRate,
}

impl<'a, S: Outgoing> H2Sink<'a, S> {
    pub(super) fn new(to: &'a RefCell<S>) -> Self {
        Self {
            to,
            head: None,
            begun: false,
            is_empty: false,
            queued: VecDeque::new(),
            end: None,
            leaving: None,
            left: false,
            taking: TakingRate::default(),
        }
    }

    /// True if what comes next is the stream's last frame.
    fn is_last(&self) -> bool {
        self.queued.is_empty() && (self.is_empty || self.end.as_ref().is_some_and(HeaderMap::is_empty))
    }

    fn send_head(&mut self) -> Result<(), PumpError> {
        if !self.begun {
            return Ok(());
        }
        let Some(head) = self.head.take() else { return Ok(()) };
        let ends = self.is_last();
        self.to.borrow_mut().open(head, ends).map_err(|_| PumpError::SinkLost)?;
        if ends {
            self.end = None;
        }
        Ok(())
    }

    /// Sends a part of the first chunk, as much as the client's window has room for; gives the number of bytes.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, PumpError>> {
        let lost = || Poll::Ready(Err(PumpError::SinkLost));
        let Some(chunk) = self.queued.front_mut() else { return Poll::Ready(Ok(0)) };
        let sender = &mut *self.to.borrow_mut();
        if let Some(backlog) = sender.backlog() {
            ready!(backlog.poll_room(cx));
        }
        let Some(stream) = sender.stream() else { return lost() };
        stream.reserve_capacity(chunk.len().min(MAX_PIECE));
        let room = loop {
            match stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(0))) => {}
                Poll::Ready(Some(Ok(room))) => break room,
                Poll::Ready(Some(Err(_)) | None) => return lost(),
                Poll::Pending => return Poll::Pending,
            }
        };
        let part = match room < chunk.len() {
            true => {
                let mut part =
                    if room <= SMALL_PART { Chunk::exact(room) } else { Chunk::with_capacity(room) };
                let _ = part.extend_from_slice(chunk.get(..room).unwrap_or_default());
                chunk.advance(room);
                part
            }
            false => match self.queued.pop_front() {
                Some(chunk) => chunk,
                None => return Poll::Ready(Ok(0)),
            },
        };
        let sent = part.len();
        let ends = self.queued.is_empty() && self.end.as_ref().is_some_and(HeaderMap::is_empty);
        let data = Data::new(part, sender.backlog());
        if sender.stream().is_none_or(|stream| stream.send_data(data, ends).is_err()) {
            return lost();
        }
        if ends {
            self.end = None;
        }
        Poll::Ready(Ok(sent))
    }

    /// The place for what the client has no window for, if it may be left.
    fn leaving(&self) -> Option<Leaving<'a>> {
        self.leaving.filter(|leaving| leaving.progress.is_none_or(Progress::may_end_before_client))
    }

    /// Sends what there is a window for, and leaves the rest; false if it stays here.
    fn leave(&mut self) -> Result<bool, PumpError> {
        let Some(leaving) = self.leaving() else { return Ok(false) };
        while !self.queued.is_empty() {
            match self.poll_send(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(sent) => drop(sent?),
                Poll::Pending => {
                    leaving.take(std::mem::take(&mut self.queued), self.end.take());
                    self.left = true;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Leaves a response of which everything that has come is sent, where its client has no window for more of it, or where
    /// nobody knows; false if it stays here.
    fn leave_unread(&mut self) -> Result<bool, PumpError> {
        let Some(leaving) = self.leaving() else { return Ok(false) };
        if !self.to.borrow().is_limited() {
            match self.poll_ready(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(ready) => return ready.map(|()| false),
                Poll::Pending => {}
            }
        }
        leaving.take(VecDeque::new(), None);
        self.left = true;
        Ok(true)
    }

    /// Ready once the receiver has room for something.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PumpError>> {
        let sender = &mut *self.to.borrow_mut();
        // Before the head nothing is known of the window, and nothing waits.
        if let Some(backlog) = sender.backlog() {
            ready!(backlog.poll_room(cx));
        }
        let Some(stream) = sender.stream() else { return Poll::Ready(Ok(())) };
        stream.reserve_capacity(1);
        match stream.capacity() {
            0 => match stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(0))) | Poll::Pending => Poll::Pending,
                Poll::Ready(Some(Ok(_))) => Poll::Ready(Ok(())),
                Poll::Ready(Some(Err(_)) | None) => Poll::Ready(Err(PumpError::SinkLost)),
            },
            _ => Poll::Ready(Ok(())),
        }
    }

    fn send_end(&mut self) -> Result<(), PumpError> {
        let Some(trailers) = self.end.take() else { return Ok(()) };
        let sender = &mut *self.to.borrow_mut();
        let Some(stream) = sender.stream() else { return Err(PumpError::SinkLost) };
        let sent = match trailers.is_empty() {
            true => stream.send_data(Data::new(Chunk::with_capacity(0), None), true),
            false => stream.send_trailers(trailers),
        };
        sent.map_err(|_| PumpError::SinkLost)
    }
}

impl<S: Outgoing> Sink for H2Sink<'_, S> {
    fn begin(&mut self) {
        self.begun = true;
    }

    fn queue(&mut self, data: Chunk) {
        // An empty frame that ends a stream is data too, for which no window has room.
        if !self.is_empty && !data.is_empty() {
            self.queued.push_back(data);
        }
    }

    fn finish(&mut self, trailers: Fields<'_>) {
        if !self.is_empty {
            self.end = Some(read_trailers(trailers));
        }
    }

    fn has_queued(&self) -> bool {
        (self.begun && self.head.is_some()) || !self.queued.is_empty() || self.end.is_some()
    }

    async fn flush(&mut self, timeout: SendTimeout) -> Result<(), PumpError> {
        self.send_head()?;
        if self.leave()? {
            return Ok(());
        }
        while !self.queued.is_empty() {
            let began = now();
            let piece = pin!(poll_fn(|cx| self.poll_send(cx)));
            let taken = within(timeout.limit, piece).await.unwrap_or(Err(PumpError::SinkTimeout))?;
            let is_met = self.taking.note(now().saturating_duration_since(began), taken, timeout);
            // Who has everything may have been slow.
            let has_all = self.queued.is_empty() && self.end.is_some();
            if !is_met && !has_all {
                return Err(PumpError::SinkTimeout);
            }
        }
        self.send_end()
    }

    async fn ready(&mut self, timeout: SendTimeout) -> Result<(), PumpError> {
        if self.leave_unread()? {
            return Ok(());
        }
        let began = now();
        let room = pin!(poll_fn(|cx| self.poll_ready(cx)));
        let ready = within(timeout.limit, room).await.unwrap_or(Err(PumpError::SinkTimeout));
        self.taking.note(now().saturating_duration_since(began), 0, timeout);
        ready
    }

    fn has_left(&self) -> bool {
        self.left
    }
}
