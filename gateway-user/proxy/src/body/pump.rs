//! One body on its way from one connection to another: a chunk at a time, so that a slow receiver slows the sender.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use gateway_http::h1::encode::{CHUNK_END, ChunkSize, LAST_CHUNK, last_chunk};
use gateway_http::h1::{BodyDecoder, BodyError};
use gateway_io::{Chunk, RecvHalf, SendHalf, now};

use crate::body::coop_budget::CoopBudget;
use crate::body::min_rate::MinRate;
use crate::filters::RequestTrailers;
use crate::h1::sink::ChunkSink;

/// From so many bytes on a body is a long one.
const LONG_BODY: u64 = 64 * 1024;

/// Moves a body. Its decoder has begun it; what is queued at the receiver (a head) goes out with the first piece.
pub(crate) struct Pump<'a> {
    pub(crate) decoder: &'a mut BodyDecoder,
    /// True if the receiver is sent chunks; otherwise the bytes alone.
    pub(crate) chunked: bool,
    /// Policy for a request's trailers; a response's are forwarded.
    pub(crate) trailers: Option<RequestTrailers<'a>>,
    /// A response's head. It goes out with the first piece, or when one has to be waited for; a body that breaks before that
    /// takes it along, and the client is told something else.
    pub(crate) head: Option<ResponseStart<'a>>,
    pub(crate) from: &'a mut RecvHalf,
    /// Bytes that came together with the head.
    pub(crate) first: Option<Chunk>,
    pub(crate) to: &'a mut SendHalf,
    /// Longest wait for a piece.
    pub(crate) wait: Duration,
    /// The sender's minimum rate meanwhile.
    pub(crate) min_rate: Option<MinRate<'a>>,
    /// How long the receiver may take nothing.
    pub(crate) send_timeout: SendTimeout,
    /// Bytes of the body passed on so far.
    pub(crate) bytes: &'a Cell<u64>,
    /// Lets other connections run.
    pub(crate) budget: CoopBudget,
    /// When the receiver last took something, by the worker's coarse clock.
    pub(crate) progress: &'a Cell<Instant>,
}

/// A response's head on its way to the client.
pub(crate) struct ResponseStart<'a> {
    pub(crate) out: Chunk,
    pub(crate) status: u16,
    /// Takes the status when the head is given to the client.
    pub(crate) started: &'a Cell<u16>,
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

/// How slowly a receiver may take what is sent to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendTimeout {
    /// A wait as long as this ends, unless
    pub(crate) limit: Duration,
    /// the receiver took so many bytes a second in its second half; with zero, any.
    pub(crate) rate: u64,
}

impl SendTimeout {
    /// For receivers that only have to take something.
    pub(crate) fn of(limit: Duration) -> Self {
        Self { limit, rate: 0 }
    }
}

impl Pump<'_> {
    /// Runs to the body's end. Gives the bytes received behind it.
    pub(crate) async fn run(&mut self) -> Result<Option<Chunk>, PumpError> {
        loop {
            self.budget.take().await;
            if self.decoder.is_finished() {
                // Nothing to read: an empty body.
                let rest = self.first.take();
                self.start();
                self.flush().await?;
                return Ok(rest.filter(|rest| !rest.is_empty()));
            }
            let Some(chunk) = self.next().await? else {
                self.decoder.close().map_err(|_| PumpError::SourceLost)?;
                self.start();
                self.queue(None, true);
                self.flush().await?;
                return Ok(None);
            };
            let piece = decode(self.decoder, chunk).map_err(PumpError::Body)?;
            self.start();
            self.bytes.set(self.bytes.get() + piece.data.len() as u64);
            self.queue(Some(piece.data), piece.finished);
            self.flush().await?;
            if piece.finished {
                return Ok(piece.rest);
            }
        }
    }

    /// The next bytes; `None` at the sender's end.
    async fn next(&mut self) -> Result<Option<Chunk>, PumpError> {
        if let Some(first) = self.first.take().filter(|first| !first.is_empty()) {
            return Ok(Some(first));
        }
        self.from.expect_long(self.is_long());
        if self.head.is_some() {
            // What is there already goes out with the head, or instead of it if it is the connection's end.
            if let Some(received) = self.from.try_recv() {
                self.from.expect_long(false);
                return received.map_err(|_| PumpError::SourceLost);
            }
            self.start();
        }
        if self.to.queued() > 0 {
            // A head must not wait for its body.
            self.flush().await?;
        }
        let began = now();
        self.from.set_deadline(Some(self.wait));
        let received = self.from.recv().await;
        self.from.expect_long(false);
        self.from.set_deadline(None);
        let received = received.map_err(|error| source_fault(&error))?;
        if let (Some(min_rate), Some(chunk)) = (&self.min_rate, &received)
            && !min_rate.is_met(now().saturating_duration_since(began), chunk.len())
        {
            return Err(PumpError::SourceSlow);
        }
        Ok(received)
    }

    /// Queues the head, if there is one left: from here on the client has a response.
    fn start(&mut self) {
        if let Some(ResponseStart { out, status, started }) = self.head.take() {
            started.set(status);
            self.to.queue(out);
        }
    }

    /// True if so much is to come that large chunks pay. Of a request whose length is not known nothing is expected: what
    /// follows it in the same chunk would have to be copied and kept.
    fn is_long(&self) -> bool {
        self.decoder.remaining().map_or(self.min_rate.is_none(), |left| left >= LONG_BODY)
    }

    fn queue(&mut self, data: Option<Chunk>, finished: bool) {
        let data = data.filter(|data| !data.is_empty());
        match data {
            Some(data) if self.chunked => queue_chunk(self.to, data),
            Some(data) => self.to.queue(data),
            None => {}
        }
        if finished && self.chunked {
            if let Some(trailers) = self.trailers {
                trailers.screen(self.decoder);
            }
            queue_end(self.to, self.decoder);
        }
    }

    async fn flush(&mut self) -> Result<(), PumpError> {
        flush(self.to, self.send_timeout).await?;
        self.progress.set(now());
        Ok(())
    }
}

/// Sends what is queued, as long as the receiver takes some of it. What it has taken is what it has acknowledged, as the
/// kernel says: a send that waits says nothing, since the kernel lets it go on only when a third of a buffer of
/// megabytes is free, minutes later for a slow receiver.
pub(crate) async fn flush(to: &mut SendHalf, timeout: SendTimeout) -> Result<(), PumpError> {
    let half = timeout.limit / 2;
    let required = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).saturating_mul(timeout.rate) / 1000;
    loop {
        if flush_within(to, half).await? {
            return Ok(());
        }
        let before = to.unacknowledged();
        if flush_within(to, timeout.limit.saturating_sub(half)).await? {
            return Ok(());
        }
        let taken = before.saturating_sub(to.unacknowledged()) as u64;
        if taken < required.max(1) {
            return Err(PumpError::SinkTimeout);
        }
    }
}

/// False if it takes longer.
async fn flush_within(to: &mut SendHalf, limit: Duration) -> Result<bool, PumpError> {
    to.set_deadline(Some(limit));
    let flushed = to.flush().await;
    to.set_deadline(None);
    match flushed {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(false),
        Err(_) => Err(PumpError::SinkLost),
    }
}

/// Receives the rest of a body that nobody wants. Gives the bytes received behind it.
pub(crate) async fn discard(
    from: &mut RecvHalf,
    decoder: &mut BodyDecoder,
    wait: Duration,
    min_rate: &MinRate<'_>,
) -> Result<Option<Chunk>, PumpError> {
    while !decoder.is_finished() {
        let began = now();
        from.set_deadline(Some(wait));
        let received = from.recv().await;
        from.set_deadline(None);
        let Some(chunk) = received.map_err(|error| source_fault(&error))? else {
            return Err(PumpError::SourceLost);
        };
        if !min_rate.is_met(now().saturating_duration_since(began), chunk.len()) {
            return Err(PumpError::SourceSlow);
        }
        let piece = decode(decoder, chunk).map_err(PumpError::Body)?;
        if piece.finished {
            return Ok(piece.rest);
        }
    }
    Ok(None)
}

fn source_fault(error: &io::Error) -> PumpError {
    match error.kind() {
        io::ErrorKind::TimedOut => PumpError::SourceTimeout,
        _ => PumpError::SourceLost,
    }
}

/// The part of a body that one received chunk holds.
#[derive(Debug)]
pub(crate) struct Piece {
    /// The content, moved together within the chunk it came in.
    pub(crate) data: Chunk,
    /// Bytes behind the body's end.
    pub(crate) rest: Option<Chunk>,
    pub(crate) finished: bool,
}

/// Takes the framing out of a chunk. A body without framing inside is not moved at all.
pub(crate) fn decode(decoder: &mut BodyDecoder, mut chunk: Chunk) -> Result<Piece, BodyError> {
    let (mut start, mut end, mut read) = (0, 0, 0);
    while !decoder.is_finished() {
        let Some(input) = chunk.as_slice().get(read..).filter(|input| !input.is_empty()) else { break };
        let step = decoder.decode(input)?;
        let found = read + step.data.start..read + step.data.end;
        if start == end {
            (start, end) = (found.start, found.end);
        } else if !found.is_empty() {
            let length = found.len();
            // In bounds: the decoder gives ranges of its input, and content moves towards the front only.
            chunk.as_mut_slice().copy_within(found, end);
            end += length;
        }
        read += step.consumed;
    }
    let rest = (read < chunk.len()).then(|| chunk.split_off(read));
    chunk.truncate(end);
    chunk.advance(start);
    Ok(Piece { data: chunk, rest, finished: decoder.is_finished() })
}

/// Queues data as one chunk of a chunked body, its framing in the same buffer where there is room.
pub(crate) fn queue_chunk(to: &mut SendHalf, mut data: Chunk) {
    let size = ChunkSize::new(data.len() as u64);
    if data.prepend(size.as_bytes()).is_err() {
        queue_bytes(to, size.as_bytes());
    }
    let framed = data.extend_from_slice(CHUNK_END).is_ok();
    to.queue(data);
    if !framed {
        queue_bytes(to, CHUNK_END);
    }
}

/// Queues the last chunk with the trailers that the decoder read.
pub(crate) fn queue_end(to: &mut SendHalf, decoder: &BodyDecoder) {
    let trailers = decoder.trailers();
    if trailers.is_empty() {
        return queue_bytes(to, LAST_CHUNK);
    }
    let mut end = Chunk::take();
    if last_chunk(&mut ChunkSink::new(&mut end), trailers).is_ok() {
        to.queue(end);
    } else {
        // Trailers are bounded far below a sink's limit; losing them still ends the body in order.
        queue_bytes(to, LAST_CHUNK);
    }
}

fn queue_bytes(to: &mut SendHalf, bytes: &[u8]) {
    let mut chunk = Chunk::with_capacity(bytes.len());
    // Cannot fail: the capacity was just asked for.
    let _ = chunk.extend_from_slice(bytes);
    to.queue(chunk);
}

#[cfg(test)]
mod tests {
    use gateway_http::h1::{BodyFraming, BodyLimits};

    use super::*;

    fn chunk(bytes: &[u8]) -> Chunk {
        let mut chunk = Chunk::with_capacity(bytes.len());
        chunk.extend_from_slice(bytes).unwrap();
        chunk
    }

    fn decoder(framing: BodyFraming) -> BodyDecoder {
        let mut decoder = BodyDecoder::new(BodyLimits::default());
        decoder.begin(framing).unwrap();
        decoder
    }

    #[test]
    fn content_is_moved_together_and_the_rest_kept() {
        let mut decoder = decoder(BodyFraming::Chunked);
        let piece =
            decode(&mut decoder, chunk(b"3\r\nabc\r\n2;x=y\r\nde\r\n1\r\nf\r\n0\r\n\r\nGET /")).unwrap();
        assert_eq!(piece.data.as_slice(), b"abcdef");
        assert_eq!(piece.rest.as_deref(), Some(b"GET /".as_slice()));
        assert!(piece.finished);
    }

    #[test]
    fn every_split_of_a_chunked_body_gives_the_same_content() {
        let wire = b"5\r\nhello\r\n1\r\n,\r\n6\r\n world\r\n0\r\nx: y\r\n\r\n";
        for at in 0..=wire.len() {
            let mut decoder = decoder(BodyFraming::Chunked);
            let mut content = Vec::new();
            let (front, back) = wire.split_at(at);
            for part in [front, back] {
                let piece = decode(&mut decoder, chunk(part)).unwrap();
                content.extend_from_slice(&piece.data);
                assert!(piece.rest.is_none());
            }
            assert_eq!(content, b"hello, world", "split at {at}");
            assert!(decoder.is_finished());
        }
    }

    #[test]
    fn a_counted_body_stays_where_it_is() {
        let mut decoder = decoder(BodyFraming::Length(4));
        let piece = decode(&mut decoder, chunk(b"abcdGET")).unwrap();
        assert_eq!((piece.data.as_slice(), piece.finished), (b"abcd".as_slice(), true));
        assert_eq!(piece.rest.as_deref(), Some(b"GET".as_slice()));
    }
}
