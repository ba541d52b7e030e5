//! Bodies of scripts: pieces that have come, then what happens to who waits for more.

use std::future::pending;
use std::time::Duration;

use gateway_http::h1::BodyDecoder;
use gateway_http::head::Fields;
use gateway_io::{Chunk, pause};

use super::stage::Stage;
use crate::body::ends::{Piece, PumpError, Sink, Source};
use crate::body::pacing::SendTimeout;

/// The next step of a body's source once all that has come is taken.
#[derive(Debug)]
pub(super) enum Then {
    /// The body is at its end.
    Finished,
    /// A piece with the rest comes once the stage has passed.
    Rest(&'static [u8]),
    /// The sender's end, once the stage is reached.
    End(fn() -> PumpError),
    /// The same, and it is the body's end.
    Closed,
    /// The sender falls silent.
    Silence,
}

/// Bytes that came together with a head, or their fault.
pub(super) type Came = Result<&'static [u8], fn() -> PumpError>;

/// A body that comes.
pub(super) struct ScriptSource<'a> {
    pub(super) came: Option<Came>,
    pub(super) then: Then,
    pub(super) stage: &'a Stage,
    /// It is this side that reaches the stage.
    pub(super) reaches: bool,
    pub(super) trailers: BodyDecoder,
}

/// A body that goes.
#[derive(Default)]
pub(super) struct ScriptSink {
    pub(super) prepared: bool,
    queued: bool,
}

/// Waits until something has happened on the other side, while all else goes on.
pub(super) async fn until(mut happened: impl FnMut() -> bool) {
    while !happened() {
        pause().await;
    }
}

fn piece(bytes: &[u8], finished: bool) -> Piece {
    let mut data = Chunk::with_capacity(bytes.len());
    data.extend_from_slice(bytes).unwrap();
    Piece { data: Some(data), received: bytes.len(), finished }
}

impl Source for ScriptSource<'_> {
    fn is_finished(&self) -> bool {
        self.came.is_none() && matches!(self.then, Then::Finished)
    }

    fn at_hand(&mut self) -> Option<Result<Piece, PumpError>> {
        let finished = matches!(self.then, Then::Finished);
        Some(self.came.take()?.map(|bytes| piece(bytes, finished)).map_err(|fault| fault()))
    }

    fn try_next(&mut self) -> Option<Result<Piece, PumpError>> {
        None
    }

    async fn next(&mut self, _: Duration) -> Result<Piece, PumpError> {
        if self.reaches {
            self.stage.reach();
        } else {
            until(|| self.stage.is_reached()).await;
        }
        match std::mem::replace(&mut self.then, Then::Finished) {
            Then::Finished | Then::Silence => pending().await,
            Then::Rest(bytes) => {
                until(|| self.stage.has_passed()).await;
                Ok(piece(bytes, true))
            }
            Then::End(fault) => Err(fault()),
            Then::Closed => {
                until(|| self.stage.has_passed()).await;
                Ok(Piece { data: None, received: 0, finished: true })
            }
        }
    }

    fn retain_trailers(&mut self, _: impl FnMut(&[u8]) -> bool) {}

    fn trailers(&self) -> Fields<'_> {
        self.trailers.trailers()
    }
}

impl Sink for ScriptSink {
    fn begin(&mut self) {
        self.queued |= std::mem::take(&mut self.prepared);
    }

    fn queue(&mut self, data: Chunk) {
        drop(data);
        self.queued = true;
    }

    fn finish(&mut self, _: Fields<'_>) {}

    fn has_queued(&self) -> bool {
        self.queued
    }

    async fn flush(&mut self, _: SendTimeout) -> Result<(), PumpError> {
        self.queued = false;
        Ok(())
    }
}
