//! A body made while it is sent.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep_until};

use crate::pacer::Pacer;
use crate::pattern::Pattern;

/// The first bytes of a pattern, spread over a time.
pub(super) struct PatternBody {
    pattern: Pattern,
    pacer: Pacer,
    length: u64,
    done: u64,
    chunked: bool,
    /// Until the next piece is due; none if there is no waiting.
    wait: Option<Pin<Box<Sleep>>>,
}

impl PatternBody {
    /// `chunked` leaves the length unsaid.
    pub(super) fn new(seed: u64, length: u64, over: Duration, chunked: bool) -> Self {
        let pacer = Pacer::new(length, over);
        let wait = pacer.is_spread().then(|| Box::pin(sleep_until(pacer.due(0))));
        Self { pattern: Pattern::new(seed), pacer, length, done: 0, chunked, wait }
    }
}

impl Body for PatternBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let n = this.pacer.piece(this.done);
        if n == 0 {
            return Poll::Ready(None);
        }
        if let Some(wait) = &mut this.wait {
            ready!(wait.as_mut().poll(cx));
        }
        let mut piece = BytesMut::zeroed(n);
        this.pattern.fill(&mut piece);
        this.done += n as u64;
        if let Some(wait) = &mut this.wait {
            wait.as_mut().reset(this.pacer.due(this.done));
        }
        Poll::Ready(Some(Ok(Frame::data(piece.freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.done == self.length && !self.chunked
    }

    fn size_hint(&self) -> SizeHint {
        match self.chunked {
            true => SizeHint::default(),
            false => SizeHint::with_exact(self.length - self.done),
        }
    }
}
