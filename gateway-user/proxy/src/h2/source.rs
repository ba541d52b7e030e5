//! Bodies over HTTP/2: each piece is paid back to its window once it was passed on.

use std::borrow::BorrowMut;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use gateway_http::h1::{BodyDecoder, BodyError, BodyFraming};
use gateway_http::h2::write_trailers;
use gateway_http::head::Fields;
use gateway_io::Chunk;
use h2::RecvStream;
use http::HeaderMap;

use crate::body::ends::{Piece, PumpError, Source};
use crate::clock::within;

/// A body that is received. `R` holds its stream: a request's is borrowed, a response's is owned.
#[derive(Debug)]
pub(crate) struct H2Source<'a, R> {
    pub(super) from: R,
    /// Reads the trailers, and knows the limits.
    pub(super) decoder: &'a mut BodyDecoder,
    pub(super) limit: u64,
    pub(super) received: u64,
    /// Passed on and not paid back.
    pub(super) owed: usize,
    /// Came with others and did not fit their chunk.
    pub(super) held: Option<Bytes>,
    pub(super) finished: bool,
}

/// A response whose stream is a tunnel.
#[derive(Debug)]
pub(crate) struct FromTunnel {
    stream: RecvStream,
    /// Reads trailers, which a tunnel passes none of.
    decoder: BodyDecoder,
}

/// A response whose exchange is over before it is read.
#[derive(Debug)]
pub(crate) struct Parted {
    stream: RecvStream,
    limit: u64,
    received: u64,
    owed: usize,
    held: Option<Bytes>,
}

impl Parted {
    /// The rest of the body.
    pub(super) fn source<'a>(&'a mut self, decoder: &'a mut BodyDecoder) -> H2Source<'a, &'a mut RecvStream> {
        let Self { stream, limit, received, owed, held } = self;
        H2Source {
            from: stream,
            decoder,
            limit: *limit,
            received: *received,
            owed: std::mem::take(owed),
            held: held.take(),
            finished: false,
        }
    }
}

impl H2Source<'_, RecvStream> {
    /// The source of a body that is not at its end, without what belongs to its exchange.
    pub(super) fn part(self) -> Parted {
        let Self { from: stream, limit, received, owed, held, .. } = self;
        Parted { stream, limit, received, owed, held }
    }
}

impl FromTunnel {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream, decoder: BodyDecoder::default() }
    }

    /// The body that comes through it.
    pub(super) fn source(&mut self) -> H2Source<'_, &mut RecvStream> {
        let is_empty = self.stream.is_end_stream();
        H2Source::new(&mut self.stream, &mut self.decoder, u64::MAX, is_empty)
    }
}

impl<'a, R: BorrowMut<RecvStream>> H2Source<'a, R> {
    /// `is_empty`: the stream ended with its head.
    pub(super) fn new(from: R, decoder: &'a mut BodyDecoder, limit: u64, is_empty: bool) -> Self {
        Self { from, decoder, limit, received: 0, owed: 0, held: None, finished: is_empty }
    }

    fn pay_back(&mut self) {
        if self.owed > 0 {
            // Fails for a stream that is gone, which needs no window.
            let _ = self.from.borrow_mut().flow_control().release_capacity(std::mem::take(&mut self.owed));
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, PumpError>> {
        self.pay_back();
        if let Some(data) = self.held.take() {
            return Poll::Ready(self.take(&data, cx));
        }
        match self.from.borrow_mut().poll_data(cx) {
            Poll::Ready(Some(Ok(data))) => Poll::Ready(self.take(&data, cx)),
            Poll::Ready(Some(Err(_))) => Poll::Ready(Err(PumpError::SourceLost)),
            Poll::Ready(None) => self.poll_trailers(cx),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Takes a piece, and those that have come behind it as far as they fit one chunk: messages of a few bytes go on
    /// together.
    fn take(&mut self, data: &Bytes, cx: &mut Context<'_>) -> Result<Piece, PumpError> {
        let mut chunk = Chunk::with_capacity(data.len());
        // Fits: the capacity was just asked for.
        let _ = chunk.extend_from_slice(data);
        while !self.from.borrow().is_end_stream() {
            match self.from.borrow_mut().poll_data(cx) {
                Poll::Ready(Some(Ok(more))) if more.len() <= chunk.spare_len() => {
                    let _ = chunk.extend_from_slice(&more);
                }
                Poll::Ready(Some(Ok(more))) => {
                    self.held = Some(more);
                    break;
                }
                Poll::Ready(Some(Err(_))) => return Err(PumpError::SourceLost),
                // Trailers, if any, are the next piece's affair.
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        self.owed = chunk.len();
        self.received += chunk.len() as u64;
        if self.received > self.limit {
            return Err(PumpError::Body(BodyError::TooLong));
        }
        self.finished = self.held.is_none() && self.from.borrow().is_end_stream();
        if self.finished {
            // Nothing more is read, so nothing more is asked for.
            self.pay_back();
        }
        let received = chunk.len();
        Ok(Piece { data: Some(chunk), received, finished: self.finished })
    }

    fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, PumpError>> {
        let trailers = match self.from.borrow_mut().poll_trailers(cx) {
            Poll::Ready(Ok(trailers)) => trailers,
            Poll::Ready(Err(_)) => return Poll::Ready(Err(PumpError::SourceLost)),
            Poll::Pending => return Poll::Pending,
        };
        if let Some(trailers) = trailers {
            self.read(&trailers).map_err(PumpError::Body)?;
        }
        self.finished = true;
        Poll::Ready(Ok(Piece { data: None, received: 0, finished: true }))
    }

    fn read(&mut self, trailers: &HeaderMap) -> Result<(), BodyError> {
        let mut text = Vec::with_capacity(64 * trailers.len());
        write_trailers(&mut text, trailers)?;
        self.decoder.begin(BodyFraming::Chunked)?;
        self.decoder.decode(&text).map(drop)
    }
}

impl<R: BorrowMut<RecvStream>> Source for H2Source<'_, R> {
    fn is_finished(&self) -> bool {
        self.finished
    }

    fn at_hand(&mut self) -> Option<Result<Piece, PumpError>> {
        None
    }

    fn try_next(&mut self) -> Option<Result<Piece, PumpError>> {
        match self.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(piece) => Some(piece),
            Poll::Pending => None,
        }
    }

    async fn next(&mut self, wait: Duration) -> Result<Piece, PumpError> {
        let piece = pin!(poll_fn(|cx| self.poll_next(cx)));
        within(wait, piece).await.unwrap_or(Err(PumpError::SourceTimeout))
    }

    fn retain_trailers(&mut self, mut keep: impl FnMut(&[u8]) -> bool) {
        self.decoder.retain_trailers(|trailer| keep(trailer.name));
    }

    fn trailers(&self) -> Fields<'_> {
        self.decoder.trailers()
    }
}
