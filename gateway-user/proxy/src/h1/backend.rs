//! The backend's side of an exchange over HTTP/1.1, whatever the client speaks.

use gateway_grammar::Method;
use gateway_http::h1::encode::{self, RequestOptions};
use gateway_http::h1::{BodyDecoder, BodyFraming, ResponseHead};
use gateway_http::head::{HeadEdits, RequestParts};
use gateway_io::{Chunk, RecvHalf, SendHalf};

use super::body::{H1Sink, H1Source, LargeChunks};
use super::response_source::H1ResponseSource;
use super::sink::ChunkSink;
use crate::upgrade::Upgrade;
use crate::{ProxyConfig, Reason};

/// Queues a request's head, changed by `edits`. `upgrade` is the protocol that it is to change to.
///
/// # Errors
/// It is too long.
pub(crate) fn begin(
    to: &mut SendHalf,
    request: &RequestParts<'_>,
    edits: &HeadEdits,
    framing: BodyFraming,
    upgrade: Option<&str>,
) -> Result<(), Reason> {
    to.queue(head(request, edits, framing, upgrade)?);
    Ok(())
}

/// A request's head as text. As [`begin`].
///
/// # Errors
/// It is too long.
pub(crate) fn head(
    request: &RequestParts<'_>,
    edits: &HeadEdits,
    framing: BodyFraming,
    upgrade: Option<&str>,
) -> Result<Chunk, Reason> {
    let mut out = Chunk::take();
    let options = RequestOptions { framing, upgrade: upgrade.map(str::as_bytes), close: false };
    encode::request(&mut ChunkSink::new(&mut out), request, edits, &options)
        .map_err(|_| Reason::FilteredRequestInvalid)?;
    Ok(out)
}

/// The way of a request's body.
pub(crate) fn request_sink(to: &mut SendHalf, framing: BodyFraming) -> H1Sink<'_> {
    H1Sink { to, chunked: framing == BodyFraming::Chunked, trailers: true, head: None }
}

/// The response to a request with that method, which may be to change protocols. `unasked` takes the bytes behind it.
pub(crate) fn response_source<'a>(
    config: &'a ProxyConfig,
    (method, upgrade): (Method, Option<Upgrade>),
    from: &'a mut RecvHalf,
    (head, decoder, large): (&'a mut ResponseHead, &'a mut BodyDecoder, LargeChunks),
    unasked: &'a mut Option<Chunk>,
) -> H1ResponseSource<'a> {
    H1ResponseSource {
        config,
        method,
        upgrade,
        body: H1Source { from, decoder, first: None, rest: unasked, large },
        head,
        received: None,
        len: 0,
    }
}
