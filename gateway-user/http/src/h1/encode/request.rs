//! The request head for a backend.

use super::super::framing::BodyFraming;
use super::fields::{put_forwarded, put_framing, put_line};
use super::sink::{Full, HeadSink};
use crate::head::{HeadEdits, RequestParts};

/// Connection and body fields of a forwarded request.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestOptions<'a> {
    /// How the body is sent; usually [`crate::h1::Request::framing`].
    pub framing: BodyFraming,
    /// The protocol to offer the backend, for an upgrade that we let through.
    pub upgrade: Option<&'a [u8]>,
    /// Ask the backend to close after its response.
    pub close: bool,
}

/// Writes a request in origin form, HTTP/1.1, `Host` first. Hop-by-hop fields and those that `Connection`
/// names stay behind (RFC 9110 section 7.6.1); `TE: trailers` is written anew when the client sent it.
///
/// A request that has no host (HTTP/1.0) gets an empty `Host` unless an edit sets one (RFC 9112 section 3.2).
///
/// # Errors
/// [`Full`].
pub fn request<S: HeadSink + ?Sized>(
    sink: &mut S,
    request: &RequestParts<'_>,
    edits: &HeadEdits,
    options: &RequestOptions<'_>,
) -> Result<(), Full> {
    sink.put(request.method_token)?;
    sink.put(b" ")?;
    sink.put(edits.path().unwrap_or(request.path))?;
    if let Some(query) = edits.query(request.query) {
        sink.put(b"?")?;
        sink.put(query)?;
    }
    sink.put(b" HTTP/1.1\r\n")?;
    put_line(sink, b"Host", edits.host().or(request.authority).unwrap_or_default())?;
    put_forwarded(sink, request.fields, edits)?;
    put_framing(sink, options.framing)?;
    if request.accepts_trailers {
        sink.put(b"TE: trailers\r\n")?;
    }
    if let Some(protocol) = options.upgrade {
        put_line(sink, b"Upgrade", protocol)?;
    }
    put_connection(sink, request.accepts_trailers, options)?;
    sink.put(b"\r\n")
}

fn put_connection<S: HeadSink + ?Sized>(
    sink: &mut S,
    te: bool,
    options: &RequestOptions<'_>,
) -> Result<(), Full> {
    let wanted = [(options.close, &b"close"[..]), (options.upgrade.is_some(), b"upgrade"), (te, b"TE")];
    let mut before: &[u8] = b"Connection: ";
    for (_, option) in wanted.iter().filter(|(wanted, _)| *wanted) {
        sink.put(before)?;
        sink.put(option)?;
        before = b", ";
    }
    if before == b", " { sink.put(b"\r\n") } else { Ok(()) }
}
