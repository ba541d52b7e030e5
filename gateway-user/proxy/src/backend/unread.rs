//! The rest of a response whose exchange is over: of a connection of its own (HTTP/1.1), or of one stream of a shared one.

use std::time::Duration;

use gateway_http::h1::BodyDecoder;
use gateway_http::head::Fields;
use gateway_io::Chunk;
use h2::RecvStream;

use crate::body::ends::{Piece, PumpError, Source as _};
use crate::h1::body::{H1Source, LargeChunks};
use crate::h2::source::H2Source;
use crate::upstream::{Lease, Leased};

/// Content that is still to come.
pub(crate) enum UnreadSource<'a> {
    Connection(H1Source<'a>),
    /// Boxed, so that what waits for a connection is no larger for it.
    Stream(Box<H2Source<'a, &'a mut RecvStream>>),
}

/// The rest of a response; `unasked` takes the bytes behind it. `None` for a lease that was not left.
pub(crate) fn unread<'a>(
    lease: &'a mut Lease,
    decoder: &'a mut BodyDecoder,
    unasked: &'a mut Option<Chunk>,
) -> Option<UnreadSource<'a>> {
    match &mut lease.connection {
        Leased::Exclusive(stream) => Some(UnreadSource::Connection(H1Source {
            from: &mut stream.recv,
            decoder,
            first: None,
            rest: unasked,
            large: LargeChunks::Never,
        })),
        Leased::Shared(stream) => Some(UnreadSource::Stream(Box::new(stream.call.unread(decoder)?))),
    }
}

impl UnreadSource<'_> {
    /// Bytes of content that are still to come, if that is known.
    pub(crate) fn remaining(&self) -> Option<u64> {
        match self {
            Self::Connection(source) => source.decoder.remaining(),
            Self::Stream(_) => None,
        }
    }

    /// The next piece, waited for at most that long. A connection's has at most `most` bytes.
    pub(crate) async fn next(&mut self, most: Option<usize>, wait: Duration) -> Result<Piece, PumpError> {
        match self {
            Self::Connection(source) => {
                source.from.limit(most);
                source.next(wait).await
            }
            Self::Stream(source) => Box::pin(source.next(wait)).await,
        }
    }

    /// The trailers of a body that is at its end.
    pub(crate) fn trailers(&self) -> Fields<'_> {
        match self {
            Self::Connection(source) => source.trailers(),
            Self::Stream(source) => source.trailers(),
        }
    }
}
