//! One body on its way from a source to a sink: a piece at a time, so that a slow receiver slows the sender.

use std::cell::Cell;
use std::time::{Duration, Instant};

use gateway_io::now;

use super::ends::{Piece, PumpError, Sink, Source};
use super::pacing::Pacing;
use crate::body::min_rate::MinRate;
use crate::filters::RequestTrailers;

/// Most that is taken at once of a body that nobody wants, in pieces and in bytes.
const MOST_PIECES: usize = 4;
const MOST_AT_HAND: usize = 64 * 1024;

/// Moves a body. What is queued at the sink (a request's head) goes out with the first piece.
pub(crate) struct Pump<'a, S, K> {
    pub(crate) source: &'a mut S,
    pub(crate) sink: &'a mut K,
    pub(crate) pacing: Pacing<'a>,
    /// Policy for a request's trailers; a response's are forwarded.
    pub(crate) trailers: Option<RequestTrailers<'a>>,
    /// A response's head, which the sink has prepared. It goes out with the first piece, or when one has to be waited for; a
    /// body that breaks before that takes it along, and the client is told something else.
    pub(crate) head: Option<ResponseStart<'a>>,
    /// Bytes of the body passed on so far.
    pub(crate) bytes: &'a Cell<u64>,
    /// When the receiver last took something, by the worker's coarse clock.
    pub(crate) progress: &'a Cell<Instant>,
}

/// The end of a pump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PumpEnd {
    /// The receiver has all of the body, or the sink all that is left of it.
    Whole,
    /// The rest of the body is passed on elsewhere.
    Left,
}

/// A response's head on its way to the client.
pub(crate) struct ResponseStart<'a> {
    pub(crate) status: u16,
    /// Takes the status when the head is given to the client.
    pub(crate) started: &'a Cell<u16>,
}

impl<S: Source, K: Sink> Pump<'_, S, K> {
    /// Runs to the body's end, or until its sink has left.
    pub(crate) async fn run(&mut self) -> Result<PumpEnd, PumpError> {
        loop {
            self.pacing.budget.take().await;
            if self.source.is_finished() {
                // Nothing to read: an empty body.
                self.start();
                self.flush().await?;
                return Ok(PumpEnd::Whole);
            }
            let Some(Piece { data, finished, .. }) = self.next().await? else { return Ok(PumpEnd::Left) };
            self.start();
            if let Some(data) = data {
                self.bytes.set(self.bytes.get() + data.len() as u64);
                if !data.is_empty() {
                    self.sink.queue(data);
                }
            }
            if finished {
                self.finish();
            }
            self.flush().await?;
            if finished {
                return Ok(PumpEnd::Whole);
            }
            if self.sink.has_left() {
                return Ok(PumpEnd::Left);
            }
        }
    }

    /// The next piece; `None` if it is to be received elsewhere.
    async fn next(&mut self) -> Result<Option<Piece>, PumpError> {
        if let Some(piece) = self.source.at_hand() {
            return piece.map(Some);
        }
        if self.head.is_some() {
            // A piece that is there goes out with the head; the connection's end, instead of it.
            if let Some(piece) = self.source.try_next() {
                return piece.map(Some);
            }
            self.start();
        }
        if self.sink.has_queued() {
            // A head must not wait for its body.
            self.flush().await?;
        }
        self.sink.ready(self.pacing.send_timeout).await?;
        if self.sink.has_left() {
            return Ok(None);
        }
        timed(self.source, self.pacing.wait, self.pacing.min_rate.as_ref()).await.map(Some)
    }

    /// Queues the head, if there is one left: from here on the client has a response.
    fn start(&mut self) {
        if let Some(ResponseStart { status, started }) = self.head.take() {
            started.set(status);
            self.sink.begin();
        }
    }

    fn finish(&mut self) {
        if let Some(policy) = self.trailers.filter(|_| !self.source.trailers().is_empty()) {
            self.source.retain_trailers(|name| policy.keeps(name));
        }
        self.sink.finish(self.source.trailers());
    }

    async fn flush(&mut self) -> Result<(), PumpError> {
        self.sink.flush(self.pacing.send_timeout).await?;
        self.progress.set(now());
        Ok(())
    }
}

/// Receives the rest of a body that nobody wants.
pub(crate) async fn discard<S: Source>(
    source: &mut S,
    wait: Duration,
    min_rate: &MinRate<'_>,
) -> Result<(), PumpError> {
    while !source.is_finished() {
        timed(source, wait, Some(min_rate)).await?;
    }
    Ok(())
}

/// Takes the rest of a body that nobody wants, if it has come and is short; true if it was at its end by then.
pub(crate) fn is_at_hand<S: Source>(source: &mut S) -> bool {
    let mut len = 0;
    // A sender that is never silent would have the worker for itself.
    for _ in 0..MOST_PIECES {
        if source.is_finished() {
            return true;
        }
        let Some(Ok(piece)) = source.at_hand().or_else(|| source.try_next()) else { return false };
        len += piece.received;
        if len > MOST_AT_HAND {
            return false;
        }
    }
    source.is_finished()
}

/// The next piece of a sender that keeps its pace.
async fn timed<S: Source>(
    source: &mut S,
    wait: Duration,
    min_rate: Option<&MinRate<'_>>,
) -> Result<Piece, PumpError> {
    let began = now();
    let piece = source.next(wait).await?;
    let waited = || now().saturating_duration_since(began);
    match min_rate {
        // The end of a connection has no pace.
        Some(min_rate) if piece.received > 0 && !min_rate.is_met(waited(), piece.received) => {
            Err(PumpError::SourceSlow)
        }
        _ => Ok(piece),
    }
}

#[cfg(test)]
mod tests {
    use gateway_http::head::Fields;

    use super::*;
    use crate::body::replay::copy;

    /// A sender that has sent so many pieces of this length, the last of which may be the end.
    struct Sender {
        left: usize,
        len: usize,
        ends: bool,
    }

    impl Source for Sender {
        fn is_finished(&self) -> bool {
            self.left == 0 && self.ends
        }

        fn at_hand(&mut self) -> Option<Result<Piece, PumpError>> {
            None
        }

        fn try_next(&mut self) -> Option<Result<Piece, PumpError>> {
            self.left = self.left.checked_sub(1)?;
            let data = Some(copy(&vec![b'x'; self.len]));
            Some(Ok(Piece { data, received: self.len, finished: self.is_finished() }))
        }

        async fn next(&mut self, _: Duration) -> Result<Piece, PumpError> {
            std::future::pending().await
        }

        fn retain_trailers(&mut self, _: impl FnMut(&[u8]) -> bool) {}

        fn trailers(&self) -> Fields<'_> {
            Fields::default()
        }
    }

    #[test]
    fn a_body_that_nobody_wants_is_taken_if_it_is_there_and_short() {
        let taken = |left, len, ends| {
            let mut sender = Sender { left, len, ends };
            (is_at_hand(&mut sender), left - sender.left)
        };
        assert_eq!(taken(0, 0, true), (true, 0));
        assert_eq!(taken(4, 16_384, true), (true, 4));
        assert_eq!(taken(2, 10, false), (false, 2), "more is to come");
        assert_eq!(taken(usize::MAX, 1, true), (false, 4), "without an end");
        assert_eq!(taken(4, 60_000, true), (false, 2));
    }
}
