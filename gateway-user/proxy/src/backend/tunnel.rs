//! The backend's end of a tunnel: a connection of its own (HTTP/1.1), or one stream of a shared one (HTTP/2, RFC 8441).

use std::time::Duration;

use gateway_http::head::Fields;
use gateway_io::Chunk;
use h2::RecvStream;

use crate::body::ends::{Piece, PumpError, Sink, Source};
use crate::body::pacing::SendTimeout;
use crate::h2::backend::RequestSender;
use crate::h2::sink::H2Sink;
use crate::h2::source::H2Source;
use crate::l4::raw::{RawSink, RawSource};
use crate::upstream::{Lease, Leased};

/// Bytes from the backend.
pub(crate) enum TunnelSource<'a> {
    Connection(RawSource<'a>),
    /// Boxed, as all that is waited for is, so that a tunnel to a connection is no larger for it.
    Stream(Box<H2Source<'a, &'a mut RecvStream>>),
}

/// Bytes to the backend.
pub(crate) enum TunnelSink<'a> {
    Connection(RawSink<'a>),
    Stream(Box<H2Sink<'a, RequestSender>>),
}

/// Both directions; `first` came behind the response. `None` for a lease whose request has not changed protocols.
pub(crate) fn tunnel_ends(
    lease: &mut Lease,
    first: Option<Chunk>,
) -> Option<(TunnelSource<'_>, TunnelSink<'_>)> {
    match &mut lease.connection {
        Leased::Exclusive(stream) => Some((
            TunnelSource::Connection(RawSource::new(&mut stream.recv, first)),
            TunnelSink::Connection(RawSink::new(&mut stream.send)),
        )),
        Leased::Shared(stream) => {
            let (source, sink) = stream.call.tunnel()?;
            Some((TunnelSource::Stream(Box::new(source)), TunnelSink::Stream(Box::new(sink))))
        }
    }
}

impl Source for TunnelSource<'_> {
    fn is_finished(&self) -> bool {
        match self {
            Self::Connection(source) => source.is_finished(),
            Self::Stream(source) => source.is_finished(),
        }
    }

    fn at_hand(&mut self) -> Option<Result<Piece, PumpError>> {
        match self {
            Self::Connection(source) => source.at_hand(),
            Self::Stream(source) => source.at_hand(),
        }
    }

    fn try_next(&mut self) -> Option<Result<Piece, PumpError>> {
        match self {
            Self::Connection(source) => source.try_next(),
            Self::Stream(source) => source.try_next(),
        }
    }

    async fn next(&mut self, wait: Duration) -> Result<Piece, PumpError> {
        match self {
            Self::Connection(source) => source.next(wait).await,
            Self::Stream(source) => Box::pin(source.next(wait)).await,
        }
    }

    fn retain_trailers(&mut self, _: impl FnMut(&[u8]) -> bool) {}

    fn trailers(&self) -> Fields<'_> {
        Fields::default()
    }
}

impl Sink for TunnelSink<'_> {
    fn begin(&mut self) {}

    fn queue(&mut self, data: Chunk) {
        match self {
            Self::Connection(sink) => sink.queue(data),
            Self::Stream(sink) => sink.queue(data),
        }
    }

    fn finish(&mut self, trailers: Fields<'_>) {
        match self {
            Self::Connection(sink) => sink.finish(trailers),
            Self::Stream(sink) => sink.finish(trailers),
        }
    }

    fn has_queued(&self) -> bool {
        match self {
            Self::Connection(sink) => sink.has_queued(),
            Self::Stream(sink) => sink.has_queued(),
        }
    }

    async fn flush(&mut self, timeout: SendTimeout) -> Result<(), PumpError> {
        match self {
            Self::Connection(sink) => sink.flush(timeout).await,
            Self::Stream(sink) => Box::pin(sink.flush(timeout)).await,
        }
    }
}
