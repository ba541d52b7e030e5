//! The ClientHello, read for the server name before anything is decided.
//!
//! The listener that a connection is for, and with it everything that the handshake needs, depends on the
//! server name (RFC 6066 section 3), so it is read here from the same bytes that the session is fed
//! afterwards.

use rustls::pki_types::ServerName;

/// Bytes of the longest ClientHello that is waited for, record headers included: ten times what browsers send
/// with post-quantum keys.
pub const MAX_HELLO: usize = 16 * 1024;

const RECORD_HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;

/// The kind of the first bytes of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peek {
    /// A ClientHello that is not complete.
    Incomplete,
    /// A complete one.
    Hello {
        /// The name in lower case; `None` without the extension or if it holds an IP address, which is no
        /// name.
        server_name: Option<String>,
    },
    /// No TLS at all.
    NotTls,
    /// TLS, but not what a ClientHello looks like.
    Malformed,
}

/// Looks at the first bytes of a connection. Handshake messages may be spread over records, so what is not
/// complete may become so with more bytes, up to [`MAX_HELLO`] of them.
pub fn peek(received: &[u8]) -> Peek {
    HelloReader::default().peek(received)
}

/// A reader that keeps its place, so that a hello that comes in many pieces costs no more than one that comes whole.
#[derive(Debug, Default)]
pub struct HelloReader {
    /// The part of the message that has come.
    message: Vec<u8>,
    /// Bytes of the records that it came in.
    read: usize,
}

impl HelloReader {
    /// As [`peek`], for all that has come so far: what was passed before, and more behind it.
    pub fn peek(&mut self, received: &[u8]) -> Peek {
        // In whatever pieces a hello comes, as much of it is read.
        let waited_for = received.get(..MAX_HELLO).unwrap_or(received);
        let mut records = Reader(waited_for.get(self.read..).unwrap_or_default());
        loop {
            if self.message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
                return Peek::Malformed;
            }
            match needed(&self.message) {
                Some(needed) if self.message.len() >= needed => {
                    return match read(self.message.get(4..needed).unwrap_or_default()) {
                        Some(server_name) => Peek::Hello { server_name },
                        None => Peek::Malformed,
                    };
                }
                Some(needed) if needed > MAX_HELLO => return Peek::Malformed,
                _ => {}
            }
            match records.record(self.message.is_empty()) {
                Ok(Some(fragment)) => {
                    self.message.extend_from_slice(fragment);
                    self.read = waited_for.len() - records.0.len();
                }
                Ok(None) if received.len() >= MAX_HELLO => return Peek::Malformed,
                Ok(None) => return Peek::Incomplete,
                Err(wrong) => return wrong,
            }
        }
    }
}

/// Bytes of the whole message once its header is there.
fn needed(message: &[u8]) -> Option<usize> {
    let length = message.get(1..4)?;
    Some(length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)) + 4)
}

/// The server name of a ClientHello's body; the outer `None` if it is malformed (RFC 8446 section 4.1.2).
fn read(body: &[u8]) -> Option<Option<String>> {
    let mut body = Reader(body);
    body.take(2 + 32)?;
    body.vector(1)?;
    body.vector(2)?;
    body.vector(1)?;
    if body.0.is_empty() {
        return Some(None);
    }
    let mut extensions = Reader(body.vector(2)?);
    let mut name = None;
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let content = extensions.vector(2)?;
        if kind == usize::from(SERVER_NAME) && name.replace(server_name(content)?).is_some() {
            return None;
        }
    }
    body.0.is_empty().then(|| name.flatten())
}

/// RFC 6066 section 3: a list of names of which only host names are defined, one at most.
fn server_name(extension: &[u8]) -> Option<Option<String>> {
    let mut extension = Reader(extension);
    let mut list = Reader(extension.vector(2)?);
    let mut found = None;
    while !list.0.is_empty() {
        let kind = list.number(1)?;
        let name = list.vector(2)?;
        if kind == 0 && found.replace(host_name(name)?).is_some() {
            return None;
        }
    }
    (extension.0.is_empty() && found.is_some()).then(|| found.flatten())
}

/// The name in lower case, by the same rules as the session's own: a final dot is left out. RFC 6066 section
/// 3 forbids it, but browsers send it for `https://host./`.
fn host_name(name: &[u8]) -> Option<Option<String>> {
    match ServerName::try_from(name).ok()? {
        ServerName::DnsName(name) => Some(Some(name.to_lowercase_owned().as_ref().to_owned())),
        _ => Some(None),
    }
}

/// Takes bytes off the front; `None` if there are too few.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }

    /// The value after a length of that many bytes.
    fn vector(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let length = self.number(bytes)?;
        self.take(length)
    }

    /// The content of the next handshake record; `Ok(None)` if it is not complete.
    fn record(&mut self, first: bool) -> Result<Option<&'a [u8]>, Peek> {
        let wrong = |ours: bool| if ours { Peek::Malformed } else { Peek::NotTls };
        match (self.0.first(), self.0.get(1)) {
            (Some(kind), _) if *kind != RECORD_HANDSHAKE => return Err(wrong(!first)),
            (_, Some(major)) if *major != 3 => return Err(wrong(!first)),
            _ => {}
        }
        let Some(header) = self.0.get(..5) else { return Ok(None) };
        let length = usize::from(header.get(3).copied().unwrap_or(0)) << 8
            | usize::from(header.get(4).copied().unwrap_or(0));
        if length == 0 || length > MAX_HELLO {
            return Err(Peek::Malformed);
        }
        let Some(content) = self.0.get(5..5 + length) else { return Ok(None) };
        self.take(5 + length);
        Ok(Some(content))
    }
}

#[cfg(test)]
mod tests;
