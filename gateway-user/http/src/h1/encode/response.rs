//! The response head for a client.

use gateway_grammar::status;

use super::super::framing::BodyFraming;
use super::fields::{put_decimal, put_forwarded, put_framing, put_line};
use super::sink::{Full, HeadSink};
use crate::head::{HeadEdits, ResponseParts, Version};

/// Persistence of the client's connection after a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Persistence {
    /// Kept, which HTTP/1.1 need not be told.
    #[default]
    Keep,
    /// Kept, and an HTTP/1.0 client is told so.
    KeepAlive,
    /// Closed.
    Close,
}

impl Persistence {
    /// For a client of that version.
    pub fn new(version: Version, keep: bool) -> Self {
        match (keep, version) {
            (false, _) => Self::Close,
            (true, Version::Http10) => Self::KeepAlive,
            (true, Version::Http11 | Version::Http2) => Self::Keep,
        }
    }

    pub(super) fn line(self) -> &'static [u8] {
        match self {
            Self::Keep => b"",
            Self::KeepAlive => b"Connection: keep-alive\r\n",
            Self::Close => b"Connection: close\r\n",
        }
    }
}

/// Connection and body fields of a forwarded response.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResponseOptions<'a> {
    /// How the body is sent; usually from [`BodyFraming::for_client`].
    pub framing: BodyFraming,
    /// The connection's persistence. Ignored with `upgrade` and for interim responses.
    pub persistence: Persistence,
    /// The protocol of a 101 that we let through.
    pub upgrade: Option<&'a [u8]>,
}

/// Writes a backend's response for the client: status and reason as the backend gave them, our own version
/// (RFC 9110 section 6.2), fields as for [`super::request()`]. For an interim response no framing and no
/// `Connection` is written.
///
/// # Errors
/// [`Full`].
pub fn response<S: HeadSink + ?Sized>(
    sink: &mut S,
    response: &ResponseParts<'_>,
    edits: &HeadEdits,
    options: &ResponseOptions<'_>,
) -> Result<(), Full> {
    put_status_line(sink, response.status, response.reason)?;
    put_forwarded(sink, response.fields, edits)?;
    if let Some(protocol) = options.upgrade {
        put_line(sink, b"Upgrade", protocol)?;
        sink.put(b"Connection: upgrade\r\n")?;
    } else if !response.is_interim() {
        put_framing(sink, options.framing)?;
        sink.put(options.persistence.line())?;
    }
    sink.put(b"\r\n")
}

/// An empty reason is replaced by the registered one, for readers of traces.
pub(super) fn put_status_line<S: HeadSink + ?Sized>(
    sink: &mut S,
    code: u16,
    reason: &[u8],
) -> Result<(), Full> {
    sink.put(b"HTTP/1.1 ")?;
    put_decimal(sink, code.into())?;
    sink.put(b" ")?;
    sink.put(if reason.is_empty() { status::phrase(code).as_bytes() } else { reason })?;
    sink.put(b"\r\n")
}
