//! Local replies.

use gateway_grammar::names::REASON_HEADER;
use gateway_grammar::status;

use super::super::framing::BodyFraming;
use super::fields::{put_framing, put_line};
use super::response::{Persistence, put_status_line};
use super::sink::{Full, HeadSink};

/// The interim response that lets a waiting client send its body (RFC 9110 section 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A local reply.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalReply<'a> {
    /// Status code.
    pub status: u16,
    /// Stable reason code in snake_case; empty for none.
    pub reason: &'a str,
    /// Further fields: names and values are the caller's to have checked, and must hold no line ends.
    pub fields: &'a [(&'a str, &'a [u8])],
    /// An IMF-fixdate, if the caller keeps one.
    pub date: Option<&'a [u8]>,
    /// Its media type, if there is a body.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
    /// The request was `HEAD`: the body is announced, not sent.
    pub to_head: bool,
    /// The connection's persistence.
    pub persistence: Persistence,
}

/// Writes head and body. `Content-Length` is left out where it must be (1xx and 204, RFC 9110 section 8.6)
/// and for a 304, and so is the body.
///
/// # Errors
/// [`Full`].
pub fn local_reply<S: HeadSink + ?Sized>(sink: &mut S, reply: &LocalReply<'_>) -> Result<(), Full> {
    let bodiless = status::is_without_content(reply.status);
    put_status_line(sink, reply.status, b"")?;
    if let Some(date) = reply.date {
        put_line(sink, b"Date", date)?;
    }
    if !reply.reason.is_empty() {
        put_line(sink, REASON_HEADER.as_bytes(), reply.reason.as_bytes())?;
    }
    for (name, value) in reply.fields {
        put_line(sink, name.as_bytes(), value)?;
    }
    if let Some(media_type) = reply.content_type.filter(|_| !bodiless && !reply.body.is_empty()) {
        put_line(sink, b"Content-Type", media_type.as_bytes())?;
    }
    if !bodiless {
        put_framing(sink, BodyFraming::Length(reply.body.len() as u64))?;
    }
    sink.put(reply.persistence.line())?;
    sink.put(b"\r\n")?;
    if bodiless || reply.to_head { Ok(()) } else { sink.put(reply.body) }
}
