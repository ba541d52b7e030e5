//! Request and response bodies: from a source to a sink, each of its own protocol.

pub(crate) mod coop_budget;
pub(crate) mod ends;
pub(crate) mod min_rate;
pub(crate) mod pacing;
pub(crate) mod pump;

use std::time::Duration;

use gateway_http::head::Fields;
use gateway_io::Chunk;

use crate::h1::body::{H1Sink, H1Source};
use ends::{Piece, PumpError, Sink, Source};
use pacing::SendTimeout;

/// A body on its way in, by its protocol.
#[derive(Debug)]
pub(crate) enum BodySource<'a> {
    H1(H1Source<'a>),
}

/// A body on its way out, by its protocol.
#[derive(Debug)]
pub(crate) enum BodySink<'a> {
    H1(H1Sink<'a>),
}

impl Source for BodySource<'_> {
    fn is_finished(&self) -> bool {
        let Self::H1(source) = self;
        source.is_finished()
    }

    fn at_hand(&mut self) -> Option<Result<Piece, PumpError>> {
        let Self::H1(source) = self;
        source.at_hand()
    }

    fn try_next(&mut self) -> Option<Result<Piece, PumpError>> {
        let Self::H1(source) = self;
        source.try_next()
    }

    async fn next(&mut self, wait: Duration) -> Result<Piece, PumpError> {
        let Self::H1(source) = self;
        source.next(wait).await
    }

    fn retain_trailers(&mut self, keep: impl FnMut(&[u8]) -> bool) {
        let Self::H1(source) = self;
        source.retain_trailers(keep);
    }

    fn trailers(&self) -> Fields<'_> {
        let Self::H1(source) = self;
        source.trailers()
    }
}

impl Sink for BodySink<'_> {
    fn begin(&mut self) {
        let Self::H1(sink) = self;
        sink.begin();
    }

    fn queue(&mut self, data: Chunk) {
        let Self::H1(sink) = self;
        sink.queue(data);
    }

    fn finish(&mut self, trailers: Fields<'_>) {
        let Self::H1(sink) = self;
        sink.finish(trailers);
    }

    fn has_queued(&self) -> bool {
        let Self::H1(sink) = self;
        sink.has_queued()
    }

    async fn flush(&mut self, timeout: SendTimeout) -> Result<(), PumpError> {
        let Self::H1(sink) = self;
        sink.flush(timeout).await
    }
}
