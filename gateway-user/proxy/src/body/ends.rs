//! The two ends of a body on its way, whatever their protocols.

use std::time::Duration;

use gateway_http::h1::BodyError;
use gateway_http::head::Fields;
use gateway_io::{Chunk, RecvHalf, SendHalf};

use super::pacing::SendTimeout;

/// Where a body comes from.
pub(crate) trait Source {
    /// True if the body is at its end.
    fn is_finished(&self) -> bool;
    /// A piece that came together with the head.
    fn at_hand(&mut self) -> Option<Result<Piece, PumpError>>;
    /// A piece that has come, or the end; `None` if one has to be waited for.
    fn try_next(&mut self) -> Option<Result<Piece, PumpError>>;
    /// The next piece, waited for at most that long.
    async fn next(&mut self, wait: Duration) -> Result<Piece, PumpError>;
    /// The half that it is received by, if all that comes is content.
    fn plain(&mut self) -> Option<&mut RecvHalf> {
        None
    }
    /// Forgets the trailers whose name `keep` does not want. Called once the body is at its end.
    fn retain_trailers(&mut self, keep: impl FnMut(&[u8]) -> bool);
    /// The trailers of a body that is at its end.
    fn trailers(&self) -> Fields<'_>;
}

/// Where a body goes.
pub(crate) trait Sink {
    /// Queues the head that was prepared, if there is one.
    fn begin(&mut self);
    /// Queues content.
    fn queue(&mut self, data: Chunk);
    /// Queues the end of the body.
    fn finish(&mut self, trailers: Fields<'_>);
    /// True if its receiver takes so little that what is queued, and what is still to come, goes on elsewhere.
    fn has_left(&self) -> bool {
        false
    }
    /// True if something is queued and not sent.
    fn has_queued(&self) -> bool;
    /// Returns once the receiver has room for something: what has none is not read from its sender. Without a bound of its
    /// own the connection's is enough.
    async fn ready(&mut self, _timeout: SendTimeout) -> Result<(), PumpError> {
        Ok(())
    }
    /// The half that it is sent by, if content goes as it is.
    fn plain(&mut self) -> Option<&mut SendHalf> {
        None
    }
    /// Sends what is queued, as long as the receiver takes some of it.
    async fn flush(&mut self, timeout: SendTimeout) -> Result<(), PumpError>;
}

/// A part of a body.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Content without its framing.
    pub(crate) data: Option<Chunk>,
    /// Bytes received for it, framing included.
    pub(crate) received: usize,
    /// The body ends with it.
    pub(crate) finished: bool,
}

/// Why a body did not arrive whole.
#[derive(Debug)]
pub(crate) enum PumpError {
    /// The sender closed or broke the connection.
    SourceLost,
    /// The sender paused for too long.
    SourceTimeout,
    /// The sender was never silent for long, and sent next to nothing.
    SourceSlow,
    /// The framing is broken.
    Body(BodyError),
    /// The receiver closed or broke the connection.
    SinkLost,
    /// The receiver paused for too long.
    SinkTimeout,
}
