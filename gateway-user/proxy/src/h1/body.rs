//! Bodies over HTTP/1.1: framing taken out of the chunks they come in, and put into those they go out in.

use std::io;
use std::time::Duration;

use gateway_http::h1::encode::{CHUNK_END, ChunkSize, LAST_CHUNK, last_chunk};
use gateway_http::h1::{BodyDecoder, BodyError};
use gateway_http::head::Fields;
use gateway_io::{Chunk, RecvHalf, SendHalf};

use crate::body::ends::{Piece, PumpError, Sink, Source};
use crate::body::flush::flush;
use crate::body::pacing::SendTimeout;
use crate::h1::sink::ChunkSink;

/// From so many bytes on a body is a long one.
const LONG_BODY: u64 = 64 * 1024;

/// A body that is received.
#[derive(Debug)]
pub(crate) struct H1Source<'a> {
    pub(crate) from: &'a mut RecvHalf,
    /// It has begun the body.
    pub(crate) decoder: &'a mut BodyDecoder,
    /// Bytes that came together with the head.
    pub(crate) first: Option<Chunk>,
    /// Takes the bytes received behind the body.
    pub(crate) rest: &'a mut Option<Chunk>,
    pub(crate) large: LargeChunks,
}

/// Bodies that are received in large chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LargeChunks {
    /// None: the receiver is one stream of many on a connection, which take turns.
    Never,
    /// Those that are known to be long. A request's may be followed by another one, which is copied and kept.
    Known,
    /// Those that may be long, too.
    Possible,
}

/// A body that is sent.
#[derive(Debug)]
pub(crate) struct H1Sink<'a> {
    pub(crate) to: &'a mut SendHalf,
    /// True if the receiver is sent chunks; otherwise the bytes alone.
    pub(crate) chunked: bool,
    /// The receiver is sent trailers.
    pub(crate) trailers: bool,
    /// A head that goes out with the first piece.
    pub(crate) head: Option<Chunk>,
}

impl H1Source<'_> {
    /// True if so much is to come that large chunks pay.
    fn is_long(&self) -> bool {
        match (self.large, self.decoder.remaining()) {
            (LargeChunks::Never, _) | (LargeChunks::Known, None) => false,
            (LargeChunks::Possible, None) => true,
            (LargeChunks::Known | LargeChunks::Possible, Some(left)) => left >= LONG_BODY,
        }
    }

    /// Takes the framing out of what was received; `None` is the sender's end.
    fn take(&mut self, received: Option<Chunk>) -> Result<Piece, PumpError> {
        let Some(chunk) = received else {
            self.decoder.close().map_err(|_| PumpError::SourceLost)?;
            return Ok(Piece { data: None, received: 0, finished: true });
        };
        let received = chunk.len();
        let Decoded { data, rest, finished } = decode(self.decoder, chunk).map_err(|error| match error {
            BodyError::Truncated => PumpError::SourceLost,
            error => PumpError::Body(error),
        })?;
        if rest.is_some() {
            *self.rest = rest;
        }
        Ok(Piece { data: Some(data), received, finished })
    }
}

impl Source for H1Source<'_> {
    fn is_finished(&self) -> bool {
        self.decoder.is_finished()
    }

    fn at_hand(&mut self) -> Option<Result<Piece, PumpError>> {
        let first = self.first.take().filter(|first| !first.is_empty())?;
        Some(self.take(Some(first)))
    }

    fn try_next(&mut self) -> Option<Result<Piece, PumpError>> {
        self.from.expect_long(self.is_long());
        let received = self.from.try_recv()?;
        self.from.expect_long(false);
        Some(received.map_err(|_| PumpError::SourceLost).and_then(|received| self.take(received)))
    }

    async fn next(&mut self, wait: Duration) -> Result<Piece, PumpError> {
        self.from.expect_long(self.is_long());
        self.from.set_deadline(Some(wait));
        let received = self.from.recv().await;
        self.from.expect_long(false);
        self.from.set_deadline(None);
        let received = received.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => PumpError::SourceTimeout,
            _ => PumpError::SourceLost,
        })?;
        self.take(received)
    }

    fn retain_trailers(&mut self, mut keep: impl FnMut(&[u8]) -> bool) {
        self.decoder.retain_trailers(|trailer| keep(trailer.name));
    }

    fn trailers(&self) -> Fields<'_> {
        self.decoder.trailers()
    }
}

impl Sink for H1Sink<'_> {
    fn begin(&mut self) {
        if let Some(head) = self.head.take() {
            self.to.queue(head);
        }
    }

    fn queue(&mut self, data: Chunk) {
        if self.chunked { queue_chunk(self.to, data) } else { self.to.queue(data) }
    }

    fn finish(&mut self, trailers: Fields<'_>) {
        if self.chunked {
            queue_end(self.to, if self.trailers { trailers } else { Fields::default() });
        }
    }

    fn has_queued(&self) -> bool {
        self.to.queued() > 0
    }

    async fn flush(&mut self, timeout: SendTimeout) -> Result<(), PumpError> {
        flush(self.to, timeout).await
    }
}

/// The part of a body that one received chunk holds.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// The content, moved together within the chunk it came in.
    pub(crate) data: Chunk,
    /// Bytes behind the body's end.
    pub(crate) rest: Option<Chunk>,
    pub(crate) finished: bool,
}

/// Takes the framing out of a chunk. A body without framing inside is not moved at all.
pub(crate) fn decode(decoder: &mut BodyDecoder, mut chunk: Chunk) -> Result<Decoded, BodyError> {
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
    Ok(Decoded { data: chunk, rest, finished: decoder.is_finished() })
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

/// Queues the last chunk with these trailers.
pub(crate) fn queue_end(to: &mut SendHalf, trailers: Fields<'_>) {
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
        let wire = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nGET /";
        let piece = decode(&mut decoder, chunk(wire)).unwrap();
        assert_eq!(piece.data.as_slice(), b"abcde");
        assert_eq!(piece.rest.as_deref(), Some(b"GET /".as_slice()));
        assert!(piece.finished);
    }

    #[test]
    fn every_split_of_a_chunked_body_gives_the_same_content() {
        let wire = b"5\r\nhello\r\n1\r\n,\r\n6\r\n world\r\n0\r\nx: y\r\n\r\n";
        for at in 0..=wire.len() {
            let mut decoder = decoder(BodyFraming::Chunked);
            let mut content = Vec::new();
            for part in <[&[u8]; 2]>::from(wire.split_at(at)) {
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
