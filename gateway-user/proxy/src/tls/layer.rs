//! TLS between a connection's socket and its halves.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use gateway_io::{Chunk, Layer, Opened};
use gateway_tls::{BackendTlsError, Established, HandshakeError, Outgoing, Protocol, Version};

use crate::settings::Settings;

/// Most bytes of a record, header and all, of any version (RFC 5246 section 6.2.3).
pub(super) const RECORD_MAX: usize = 5 + 16 * 1024 + 2048;
/// Bytes of a record's header (RFC 8446 section 5.1).
const HEADER: usize = 5;
/// Of what comes behind the beginning of a record, up to so much is put there as a whole: a message of the peer's may lie in
/// several records, which the session takes together. Of more only the rest of that record: a copy of all would cost more than
/// another turn of the session.
const JOINED_MAX: usize = 4 * 1024;
/// Contents up to this size together are sealed as one record: another record costs more than the copy.
const MERGED_MAX: usize = 4 * 1024;

/// The facts about a connection that began with a ClientHello.
#[derive(Debug)]
pub(crate) struct TlsInfo {
    /// The name that the client asked for, in lower case.
    pub(crate) server_name: Option<Box<str>>,
    /// The version that was agreed on here; `None` where TLS ends elsewhere, or before.
    pub(crate) version: Option<Version>,
    pub(crate) protocol: Protocol,
    /// The text for backends about the client's certificate, if it is valid and they are told.
    pub(crate) client_cert: Option<Box<str>>,
    /// Those of the listener; `None` if they are the process's.
    pub(crate) settings: Option<Rc<Settings>>,
}

/// The layer of a stream whose handshake is over.
#[derive(Debug)]
pub(crate) struct TlsLayer<S> {
    session: S,
    /// The beginning of a record. Nothing is kept where a record has just ended, as between requests.
    partial: Option<Chunk>,
}

/// Records on their way into the last of some chunks, or a new one behind it.
pub(crate) struct Records<'a>(pub(crate) &'a mut VecDeque<Chunk>);

/// Content on its way there, into new chunks of a kind.
struct Content<'a> {
    chunks: &'a mut VecDeque<Chunk>,
    chunk: fn() -> Chunk,
}

/// Errors of a session as those of a stream.
pub(crate) trait LayerError {
    fn as_io(&self) -> io::Error;
}

impl LayerError for HandshakeError {
    fn as_io(&self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, self.code())
    }
}

impl LayerError for BackendTlsError {
    fn as_io(&self) -> io::Error {
        match self {
            // With TLS 1.3 a backend refuses a client certificate when we take the handshake to be over.
            Self::Refused => io::Error::new(REFUSED, self.code()),
            _ => io::Error::new(io::ErrorKind::InvalidData, self.code()),
        }
    }
}

/// Kind of the error of a stream whose peer has refused us by an alert. No socket has it.
pub(crate) const REFUSED: io::ErrorKind = io::ErrorKind::PermissionDenied;

impl<S: Established> TlsLayer<S> {
    /// `unread` was received behind the handshake.
    pub(crate) fn new(session: S, unread: Chunk) -> Self {
        Self { session, partial: Some(unread).filter(|unread| !unread.is_empty()) }
    }
}

impl<S: Established> TlsLayer<S>
where
    S::Error: LayerError,
{
    /// Opens the whole records of a chunk, and keeps the beginning of another one.
    fn take(
        &mut self,
        mut input: Chunk,
        content: &mut VecDeque<Chunk>,
        out: &mut VecDeque<Chunk>,
    ) -> io::Result<()> {
        // Content goes on a chunk at a time: what came in one receive goes out in one send.
        let chunk = if input.len() > Chunk::ordinary() { Chunk::bulk } else { Chunk::take };
        let mut content = Content { chunks: content, chunk };
        let opened = self.session.receive(input.as_mut_slice(), &mut Records(out), &mut content);
        content.finish();
        input.advance(opened.map_err(|failure| failure.as_io())?);
        if !input.is_empty() && !self.session.is_peer_closed() {
            self.partial = Some(beginning(input)?);
        }
        Ok(())
    }
}

/// Memory for the beginning of a record to wait in: as much as it takes to complete the record, of which the next bytes are
/// expected, or the chunk that it is in, unless that is larger.
fn beginning(input: Chunk) -> io::Result<Chunk> {
    let whole = record_length(&input).unwrap_or(HEADER).clamp(input.len(), RECORD_MAX.max(input.len()));
    if input.capacity() >= whole && input.capacity() <= RECORD_MAX {
        return Ok(input);
    }
    let mut kept = Chunk::with_capacity(whole);
    kept.extend_from_slice(&input).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(kept)
}

/// Bytes of the record that begins here, header and all, as soon as that is there.
fn record_length(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [_, _, _, high, low, ..] => Some(HEADER + usize::from(u16::from_be_bytes([*high, *low]))),
        _ => None,
    }
}

/// Puts behind the beginning of a record what it lacks.
fn complete(partial: &mut Chunk, received: &mut Chunk) -> io::Result<()> {
    loop {
        let wanted = record_length(partial).unwrap_or(HEADER).min(RECORD_MAX).saturating_sub(partial.len());
        let part = if received.len() <= JOINED_MAX { received.len() } else { wanted };
        let (part, limit) = (part.min(received.len()), RECORD_MAX + JOINED_MAX);
        if part == 0 {
            return Ok(());
        }
        let bytes = received.as_slice().get(..part).unwrap_or_default();
        let joined = partial.reserve(part, limit).and_then(|()| partial.extend_from_slice(bytes));
        joined.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        received.advance(part);
    }
}

impl<S: Established> Layer for TlsLayer<S>
where
    S::Error: LayerError,
{
    fn open(
        &mut self,
        mut received: Chunk,
        content: &mut VecDeque<Chunk>,
        out: &mut VecDeque<Chunk>,
    ) -> io::Result<Opened> {
        if let Some(mut partial) = self.partial.take() {
            complete(&mut partial, &mut received)?;
            self.take(partial, content, out)?;
        }
        if !received.is_empty() && !self.session.is_peer_closed() {
            self.take(received, content, out)?;
        }
        Ok(if self.session.is_peer_closed() { Opened::End } else { Opened::More })
    }

    fn is_ended(&self) -> bool {
        self.session.is_peer_closed()
    }

    fn end(&mut self) -> io::Result<()> {
        if self.session.is_peer_closed() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn seal(&mut self, content: &mut VecDeque<Chunk>, out: &mut VecDeque<Chunk>) -> io::Result<()> {
        let mut records = Records(out);
        let mut send = |data: &[u8]| {
            self.session.send(data, &mut records).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
        };
        let mut waiting: Option<Chunk> = None;
        for chunk in content.drain(..) {
            // A head and a short body behind it.
            let merged = waiting.as_mut().is_some_and(|first| {
                first.len() + chunk.len() <= MERGED_MAX && first.extend_from_slice(&chunk).is_ok()
            });
            if !merged && let Some(before) = waiting.replace(chunk) {
                send(&before)?;
            }
        }
        waiting.as_deref().map_or(Ok(()), &mut send)
    }

    fn close(&mut self, out: &mut VecDeque<Chunk>) {
        self.session.close(&mut Records(out));
    }

    fn park(&mut self) {
        self.session.park();
    }
}

impl Outgoing for Records<'_> {
    fn room(&mut self, needed: usize) -> &mut [u8] {
        if self.0.back().is_none_or(|last| last.spare_len() < needed) {
            self.0.push_back(Chunk::with_capacity(needed));
        }
        // There is one: it was found or has just been put there.
        self.0.back_mut().map(Chunk::spare).unwrap_or_default()
    }

    fn wrote(&mut self, count: usize) {
        if let Some(last) = self.0.back_mut() {
            last.commit(count);
        }
    }
}

impl Content<'_> {
    /// Takes away room that nothing was written to: an empty chunk is no content.
    fn finish(&mut self) {
        self.chunks.pop_back_if(|last| last.is_empty());
    }
}

impl Outgoing for Content<'_> {
    fn room(&mut self, needed: usize) -> &mut [u8] {
        if self.chunks.back().is_none_or(|last| last.spare_len() < needed) {
            self.finish();
            let chunk = (self.chunk)();
            self.chunks.push_back(match chunk.spare_len() < needed {
                true => Chunk::with_capacity(needed),
                false => chunk,
            });
        }
        // There is one: it was found or has just been put there.
        self.chunks.back_mut().map(Chunk::spare).unwrap_or_default()
    }

    fn wrote(&mut self, count: usize) {
        if let Some(last) = self.chunks.back_mut() {
            last.commit(count);
        }
    }
}

/// Puts what was received behind the beginning of a record.
pub(crate) fn join(first: Chunk, second: &Chunk) -> io::Result<Chunk> {
    // The session uses up whole records, so what is left is always less than one.
    join_within(first, second, RECORD_MAX)
}

/// The same behind at most `limit` bytes: in handshakes, whole messages are used up.
pub(super) fn join_within(mut first: Chunk, second: &Chunk, limit: usize) -> io::Result<Chunk> {
    let joined =
        first.reserve(second.len(), limit + second.len()).and_then(|()| first.extend_from_slice(second));
    joined.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(first)
}

/// Puts content behind what is there.
pub(crate) fn put(content: &mut VecDeque<Chunk>, part: &[u8]) {
    let mut rest = part;
    while !rest.is_empty() {
        let fits = content.back_mut().map_or(0, |last| last.append(rest));
        rest = rest.get(fits..).unwrap_or_default();
        if !rest.is_empty() {
            content.push_back(Chunk::take());
        }
    }
}

#[cfg(test)]
mod tests;
