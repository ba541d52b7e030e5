//! Request bodies on their way to a backend.

use gateway_http::head::Fields;
use gateway_io::Chunk;

use crate::body::ends::{PumpError, Sink};
use crate::body::pacing::SendTimeout;
use crate::h1::body::H1Sink;
use crate::h2::backend::RequestSender;
use crate::h2::sink::H2Sink;

/// The way of one request's body.
pub(crate) enum BackendSink<'a> {
    H1(H1Sink<'a>),
    /// Boxed, so that an exchange over HTTP/1.1 is no larger for it.
    H2(Box<H2Sink<'a, RequestSender>>),
}

impl Sink for BackendSink<'_> {
    fn begin(&mut self) {
        match self {
            Self::H1(sink) => sink.begin(),
            Self::H2(sink) => sink.begin(),
        }
    }

    fn queue(&mut self, data: Chunk) {
        match self {
            Self::H1(sink) => sink.queue(data),
            Self::H2(sink) => sink.queue(data),
        }
    }

    fn finish(&mut self, trailers: Fields<'_>) {
        match self {
            Self::H1(sink) => sink.finish(trailers),
            Self::H2(sink) => sink.finish(trailers),
        }
    }

    fn has_queued(&self) -> bool {
        match self {
            Self::H1(sink) => sink.has_queued(),
            Self::H2(sink) => sink.has_queued(),
        }
    }

    async fn ready(&mut self, timeout: SendTimeout) -> Result<(), PumpError> {
        match self {
            Self::H1(sink) => sink.ready(timeout).await,
            Self::H2(sink) => sink.ready(timeout).await,
        }
    }

    async fn flush(&mut self, timeout: SendTimeout) -> Result<(), PumpError> {
        match self {
            Self::H1(sink) => sink.flush(timeout).await,
            Self::H2(sink) => sink.flush(timeout).await,
        }
    }
}
