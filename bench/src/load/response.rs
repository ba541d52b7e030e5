//! Reading and verifying one response: bytes in, no sockets.

use super::stats::RequestError;
use crate::id::RequestId;
use crate::pattern::Pattern;

/// The body that the response must have.
#[derive(Debug)]
pub(super) enum ExpectedBody {
    /// The first `length` bytes of the pattern.
    Pattern { pattern: Pattern, length: u64 },
    /// Exactly this.
    Text(String),
}

/// Progress of a response.
#[derive(Debug)]
pub(super) struct ResponseVerifier {
    id: RequestId,
    expected: ExpectedBody,
    /// Body bytes verified.
    seen: u64,
    keep: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// `partly`: something of it has come.
    Head {
        partly: bool,
    },
    /// Bytes of a body with Content-Length that are still to come.
    Counted(u64),
    ChunkSize,
    /// Bytes of this chunk that are still to come.
    ChunkData(u64),
    ChunkEnd,
    /// Fields after the last chunk, up to an empty line.
    Trailers,
    Done,
}

/// The next step of the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Read more.
    More,
    /// The response is whole and right; `keep` says that the connection may be used again.
    Done { keep: bool },
}

/// The backend sends no longer head.
const MAX_HEAD: usize = 64 * 1024;
const MAX_FIELDS: usize = 64;
const MAX_LINE: usize = 4096;

impl ResponseVerifier {
    pub(super) fn new(id: RequestId, expected: ExpectedBody) -> Self {
        Self { id, expected, seen: 0, keep: false, state: State::Head { partly: false } }
    }

    /// The place in the response, for a message.
    pub(super) fn progress(&self) -> String {
        match self.state {
            State::Head { partly: false } => "before the response".to_owned(),
            State::Head { partly: true } => "in the head".to_owned(),
            _ => format!("after {} bytes of the body", self.seen),
        }
    }

    /// Consumes what it understands from the front of `unread`.
    pub(super) fn advance(&mut self, unread: &mut Vec<u8>) -> Result<Progress, RequestError> {
        let mut at = 0;
        loop {
            let rest = &unread[at..];
            let used = match self.state {
                State::Head { .. } => self.head(rest)?,
                State::Counted(0) => {
                    self.finish()?;
                    Some(0)
                }
                State::Counted(left) => self.data(rest, left, State::Counted)?,
                State::ChunkSize => self.chunk_size(rest)?,
                State::ChunkData(0) => {
                    self.state = State::ChunkEnd;
                    Some(0)
                }
                State::ChunkData(left) => self.data(rest, left, State::ChunkData)?,
                State::ChunkEnd => self.chunk_end(rest)?,
                State::Trailers => self.trailer(rest)?,
                State::Done => {
                    unread.drain(..at);
                    return Ok(Progress::Done { keep: self.keep });
                }
            };
            match used {
                Some(n) => at += n,
                None => {
                    unread.drain(..at);
                    return Ok(Progress::More);
                }
            }
        }
    }

    fn head(&mut self, bytes: &[u8]) -> Result<Option<usize>, RequestError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        self.state = State::Head { partly: true };
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let length = match response.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return Ok(None),
            Ok(httparse::Status::Partial) => return Err(RequestError::wrong("an endless head")),
            Err(error) => return Err(RequestError::wrong(format!("no HTTP/1 response: {error}"))),
        };
        match response.code.unwrap_or_default() {
            // Interim responses precede the real one.
            100 | 102 | 103 => {
                self.state = State::Head { partly: false };
                return Ok(Some(length));
            }
            200 => {}
            status => return Err(RequestError::wrong(status_text(status, response.headers))),
        }
        match values(response.headers, "x-bench-id").next() {
            Some(id) if id == self.id.to_string() => {}
            Some(id) => return Err(RequestError::wrong(format!("the response to {id}"))),
            None => return Err(RequestError::wrong("no X-Bench-Id: not the backend's response")),
        }
        let close = values(response.headers, "connection")
            .flat_map(|value| value.split(','))
            .any(|option| option.trim().eq_ignore_ascii_case("close"));
        self.keep = response.version == Some(1) && !close;
        self.state = self.framing(response.headers)?;
        Ok(Some(length))
    }

    fn framing(&self, fields: &[httparse::Header<'_>]) -> Result<State, RequestError> {
        let mut lengths = values(fields, "content-length");
        let length = lengths.next();
        if lengths.next().is_some() {
            return Err(RequestError::wrong("two Content-Length fields"));
        }
        let coding = values(fields, "transfer-encoding").next();
        match (length, coding) {
            (None, Some(coding)) if coding.eq_ignore_ascii_case("chunked") => Ok(State::ChunkSize),
            (Some(length), None) => match length.parse() {
                Ok(n) if n == self.expected.length() => Ok(State::Counted(n)),
                _ => Err(RequestError::wrong(format!(
                    "Content-Length {length} instead of {}",
                    self.expected.length()
                ))),
            },
            (None, None) => {
                Err(RequestError::wrong("a body whose end cannot be told from a broken connection"))
            }
            (_, Some(coding)) => {
                Err(RequestError::wrong(format!("Transfer-Encoding {coding:?}, Content-Length {length:?}")))
            }
        }
    }

    fn data(
        &mut self,
        bytes: &[u8],
        left: u64,
        next: fn(u64) -> State,
    ) -> Result<Option<usize>, RequestError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let n = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let piece = &bytes[..n];
        let at = self.seen;
        self.seen += n as u64;
        if self.seen > self.expected.length() {
            return Err(RequestError::wrong(format!("a body longer than {}", self.expected.length())));
        }
        match &mut self.expected {
            ExpectedBody::Pattern { pattern, .. } => pattern.expect(piece).map_err(|offset| {
                RequestError::wrong(format!("another byte at offset {offset} of the body"))
            })?,
            ExpectedBody::Text(text) => {
                let from = usize::try_from(at).unwrap_or(text.len());
                if text.as_bytes().get(from..from + n) != Some(piece) {
                    let seen = String::from_utf8_lossy(piece);
                    return Err(RequestError::wrong(format!("a body of {seen:?} instead of {text:?}")));
                }
            }
        }
        self.state = next(left - n as u64);
        Ok(Some(n))
    }

    fn chunk_size(&mut self, bytes: &[u8]) -> Result<Option<usize>, RequestError> {
        match httparse::parse_chunk_size(bytes) {
            Ok(httparse::Status::Complete((length, 0))) => {
                self.state = State::Trailers;
                Ok(Some(length))
            }
            Ok(httparse::Status::Complete((length, size))) => {
                self.state = State::ChunkData(size);
                Ok(Some(length))
            }
            Ok(httparse::Status::Partial) if bytes.len() < MAX_LINE => Ok(None),
            _ => Err(RequestError::wrong("a chunk size that is none")),
        }
    }

    fn chunk_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, RequestError> {
        match bytes {
            [b'\r', b'\n', ..] => {
                self.state = State::ChunkSize;
                Ok(Some(2))
            }
            [] | [b'\r'] => Ok(None),
            _ => Err(RequestError::wrong("a chunk that does not end where it says")),
        }
    }

    fn trailer(&mut self, bytes: &[u8]) -> Result<Option<usize>, RequestError> {
        match bytes.windows(2).position(|two| two == b"\r\n") {
            Some(0) => {
                self.finish()?;
                Ok(Some(2))
            }
            Some(end) => Ok(Some(end + 2)),
            None if bytes.len() < MAX_LINE => Ok(None),
            None => Err(RequestError::wrong("an endless trailer")),
        }
    }

    fn finish(&mut self) -> Result<(), RequestError> {
        if self.seen != self.expected.length() {
            return Err(RequestError::wrong(format!(
                "a whole body of {} bytes instead of {}",
                self.seen,
                self.expected.length()
            )));
        }
        self.state = State::Done;
        Ok(())
    }
}

impl ExpectedBody {
    fn length(&self) -> u64 {
        match self {
            Self::Pattern { length, .. } => *length,
            Self::Text(text) => text.len() as u64,
        }
    }
}

fn values<'a>(fields: &'a [httparse::Header<'a>], name: &'a str) -> impl Iterator<Item = &'a str> {
    fields
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name))
        .map(|field| std::str::from_utf8(field.value).unwrap_or_default().trim())
}

/// A status with the gateway's own reason, where there is one.
fn status_text(status: u16, fields: &[httparse::Header<'_>]) -> String {
    match values(fields, "x-sluice-reason").next() {
        Some(reason) => format!("status {status} ({reason})"),
        None => format!("status {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Tag;
    use crate::report::FailureKind;

    const ID: RequestId = Tag::new(1).request(2);

    fn text(body: &str) -> ResponseVerifier {
        ResponseVerifier::new(ID, ExpectedBody::Text(body.to_owned()))
    }

    fn head(more: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nX-Bench-Id: {ID}\r\n{more}\r\n")
    }

    /// Feeds `bytes` in two parts, cut everywhere; the outcome must not depend on the cut.
    fn outcome(bytes: &str, body: &str) -> Result<Progress, RequestError> {
        let whole = text(body).advance(&mut bytes.as_bytes().to_vec());
        for cut in 0..bytes.len() {
            let mut response = text(body);
            let mut unread = bytes.as_bytes()[..cut].to_vec();
            let first = response.advance(&mut unread);
            unread.extend_from_slice(&bytes.as_bytes()[cut..]);
            let both = if first == Ok(Progress::More) { response.advance(&mut unread) } else { first };
            assert_eq!(both.is_ok(), whole.is_ok(), "cut at {cut}: {both:?}, {whole:?}");
            if whole.is_ok() {
                assert_eq!(both, whole, "cut at {cut}");
            }
        }
        whole
    }

    #[test]
    fn correct_responses_pass() {
        let counted = head("Content-Length: 3\r\n") + "abc";
        assert_eq!(outcome(&counted, "abc"), Ok(Progress::Done { keep: true }));
        let closing = head("Connection: foo, Close\r\nContent-Length: 0\r\n");
        assert_eq!(outcome(&closing, ""), Ok(Progress::Done { keep: false }));
        let chunked = head("Transfer-Encoding: chunked\r\n") + "2\r\nab\r\n1;x=y\r\nc\r\n0\r\nt: v\r\n\r\n";
        assert_eq!(outcome(&chunked, "abc"), Ok(Progress::Done { keep: true }));
        let interim = "HTTP/1.1 100 Continue\r\n\r\n".to_owned() + &counted;
        assert_eq!(outcome(&interim, "abc"), Ok(Progress::Done { keep: true }));
    }

    #[test]
    fn wrong_responses_do_not() {
        let other = Tag::new(1).request(3);
        for bytes in [
            "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
            format!("HTTP/1.1 200 OK\r\nX-Bench-Id: {other}\r\nContent-Length: 3\r\n\r\nabc"),
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
            head("Content-Length: 2\r\n") + "ab",
            head("Content-Length: 3\r\n") + "abd",
            head("Transfer-Encoding: chunked\r\n") + "2\r\nab\r\n0\r\n\r\n",
            head("Transfer-Encoding: chunked\r\n") + "3\r\nabcd\r\n0\r\n\r\n",
            head("Transfer-Encoding: chunked\r\n") + "4\r\nabcd\r\n0\r\n\r\n",
            head("Transfer-Encoding: chunked\r\n") + "zz\r\n",
            head("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n") + "abc",
            head("") + "abc",
            "SSH-2.0-OpenSSH\r\n\r\n".to_owned(),
        ] {
            let error = outcome(&bytes, "abc").expect_err(&bytes);
            assert_eq!(error.kind, FailureKind::Wrong, "{bytes}");
        }
    }

    #[test]
    fn what_is_cut_is_not_done() {
        let counted = head("Content-Length: 3\r\n") + "abc";
        let chunked = head("Transfer-Encoding: chunked\r\n") + "3\r\nabc\r\n0\r\n\r\n";
        for whole in [counted, chunked] {
            for cut in 0..whole.len() {
                let mut unread = whole.as_bytes()[..cut].to_vec();
                assert_eq!(text("abc").advance(&mut unread), Ok(Progress::More), "cut at {cut} of {whole:?}");
            }
        }
    }
}
