//! Request heads.

mod view;

use std::mem::MaybeUninit;

use gateway_grammar::token::list;
use gateway_grammar::{Authority, FieldId, Method};

pub use view::Request;

use super::diagnose;
use super::error::RequestError;
use super::fields::{ConnectionOptions, FieldTable};
use super::framing::{BodyFraming, FramingError, FramingFields};
use super::limits::HeadLimits;
use super::scan::{Parsed, Scan};
use super::target::Target;
use crate::bytes::{Span, offset_in};
use crate::head::{Field, Version};

/// Reusable storage for one request head: spans into the buffer it was parsed from, never bytes of its own.
///
/// One per connection; parsing allocates nothing once the field table has grown to what the connection sends.
#[derive(Debug, Default)]
pub struct RequestHead {
    scan: Scan,
    fields: FieldTable,
    line: RequestLine,
    authority: Option<Span>,
    host: Host,
    framing: BodyFraming,
    connection: ConnectionOptions,
    expects_continue: bool,
    accepts_trailers: bool,
    announces_trailers: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct RequestLine {
    method: Method,
    method_token: Span,
    version: Version,
    path: PathPart,
    query: Option<Span>,
}

#[derive(Clone, Copy, Debug, Default)]
enum PathPart {
    /// An absolute-form target without a path.
    #[default]
    Root,
    Asterisk,
    At(Span),
}

#[derive(Clone, Copy, Debug, Default)]
struct Host {
    name: Option<Span>,
    port: Option<u16>,
}

impl RequestHead {
    /// Empty storage.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the head, keeps the storage.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }

    /// Parses a head at the start of `buf`. After [`Parsed::Incomplete`], offer the same bytes with more
    /// behind them (a shorter buffer, [`Self::clear`], an error or a whole head start anew).
    ///
    /// Blank lines (CRLF) before the request line are skipped (RFC 9112 section 2.2).
    ///
    /// # Errors
    /// The first rule the head breaks. The connection can't be used further: respond, then close.
    pub fn parse(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<Parsed, RequestError> {
        if !self.scan.worth_parsing(buf) {
            return within(buf, limits).map(|()| Parsed::Incomplete);
        }
        let parsed = self.parse_head(buf, limits);
        match parsed {
            Ok(Parsed::Incomplete) => within(buf, limits)?,
            Ok(Parsed::Complete { .. }) => self.scan = Scan::default(),
            Err(_) => self.clear(),
        }
        parsed
    }

    /// The accessors. `buf` must be what [`Self::parse`] took last, at whatever address it is now.
    pub fn view<'a>(&'a self, buf: &'a [u8]) -> Request<'a> {
        Request { head: self, bytes: buf }
    }

    /// True if a field name holds `_`, which some servers read as `-` (RFC 3875 section 4.1.18).
    pub fn has_underscores(&self) -> bool {
        self.fields.has_underscores()
    }

    /// Forgets the fields that `keep` does not want: neither lookups nor [`super::encode::request()`] see
    /// them again. What was read of them (framing, host, connection options) stays. `buf` as for
    /// [`Self::view`].
    pub fn retain_fields(&mut self, buf: &[u8], keep: impl FnMut(Field<'_>) -> bool) {
        self.fields.retain(buf, keep);
    }

    fn parse_head(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<Parsed, RequestError> {
        let window = buf.get(..limits.head.min(HeadLimits::MAX_HEAD)).unwrap_or(buf);
        let blank = blank_lines(window);
        let message = window.get(blank..).unwrap_or_default();
        if matches!(message, [b'\n', ..] | [b'\r', _, ..]) {
            return Err(diagnose::in_request(message));
        }
        let mut headers = [const { MaybeUninit::uninit() }; HeadLimits::MAX_FIELDS];
        let headers = headers.get_mut(..limits.fields.min(HeadLimits::MAX_FIELDS)).unwrap_or_default();
        let mut request = httparse::Request::new(&mut []);
        let length = match request.parse_with_uninit_headers(message, headers) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(Parsed::Incomplete),
            Err(httparse::Error::TooManyHeaders) => return Err(RequestError::TooManyHeaders),
            Err(_) => return Err(diagnose::in_request(message)),
        };
        let consumed = blank + length;
        let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
        else {
            return Err(RequestError::BadRequestLine);
        };
        let version = Version::from_minor(minor);
        let fields_at =
            self.take_line(window, method, target, version).ok_or(RequestError::BadRequestLine)?;
        if fields_at - blank > limits.first_line {
            return Err(RequestError::RequestLineTooLong);
        }
        if self.fields.fill(window, fields_at, consumed, request.headers).is_err() {
            return Err(diagnose::in_request(message));
        }
        self.take_target(window, target.as_bytes())?;
        self.take_fields(window)?;
        if self.line.method == Method::Connect {
            return Err(RequestError::ConnectNotSupported);
        }
        Ok(Parsed::Complete { consumed })
    }

    /// Notes the request line; gives where the fields begin. `None` if the line does not end in
    /// `HTTP/1.x CRLF`.
    fn take_line(&mut self, bytes: &[u8], method: &str, target: &str, version: Version) -> Option<usize> {
        let start = offset_in(bytes, method.as_bytes())?;
        self.line = RequestLine {
            method: Method::from_token(method.as_bytes()),
            method_token: Span::new(start..start + method.len())?,
            version,
            ..RequestLine::default()
        };
        // One space, eight bytes of version, then the line end, of which httparse would take a bare LF.
        let end = offset_in(bytes, target.as_bytes())? + target.len() + 9;
        Some(end + 2)
    }

    fn take_target(&mut self, bytes: &[u8], target: &[u8]) -> Result<(), RequestError> {
        let span = |part: &[u8]| offset_in(bytes, part).and_then(|at| Span::new(at..at + part.len()));
        self.authority = None;
        (self.line.path, self.line.query) = match Target::parse(self.line.method, target) {
            None => return Err(RequestError::BadTarget),
            Some(Target::Authority) => (PathPart::Root, None),
            Some(Target::Asterisk) => (PathPart::Asterisk, None),
            Some(Target::Origin { path, query }) => {
                (span(path).map_or(PathPart::Root, PathPart::At), query.and_then(span))
            }
            Some(Target::Absolute { authority, path, query }) => {
                self.authority = span(authority);
                let part = match (path, self.line.method, query) {
                    // RFC 9112 section 3.2.4: the absolute form of `OPTIONS *`.
                    (b"", Method::Options, None) => PathPart::Asterisk,
                    (b"", ..) => PathPart::Root,
                    _ => span(path).map_or(PathPart::Root, PathPart::At),
                };
                (part, query.and_then(span))
            }
        };
        Ok(())
    }

    fn take_fields(&mut self, bytes: &[u8]) -> Result<(), RequestError> {
        let mut framing = FramingFields::default();
        let (mut host, mut expects, mut trailers, mut announces) = (None, false, false, false);
        for slot in self.fields.slots() {
            let field = slot.field(bytes);
            match slot.id {
                FieldId::ContentLength => framing.content_length(field.value)?,
                FieldId::TransferEncoding => framing.transfer_encoding(field.value)?,
                FieldId::Host if host.is_some() => return Err(RequestError::RepeatedHost),
                FieldId::Host => host = Some(field.value),
                FieldId::Expect if self.line.version == Version::Http10 => {}
                // A list of which all elements are known; without any it says nothing (RFC 9110 sections
                // 5.6.1.2, 10.1.1).
                FieldId::Expect => {
                    for expectation in list(field.value) {
                        if !expectation.eq_ignore_ascii_case(b"100-continue") {
                            return Err(RequestError::ExpectationFailed);
                        }
                        expects = true;
                    }
                }
                FieldId::Trailer => announces = true,
                FieldId::Te => trailers |= list(field.value).any(|t| t.eq_ignore_ascii_case(b"trailers")),
                _ => {}
            }
        }
        self.framing = framing.finish(self.line.version)?;
        self.expects_continue = expects && !self.framing.is_empty();
        self.accepts_trailers = trailers;
        self.announces_trailers = announces;
        self.take_host(bytes, host)?;
        if self.line.version == Version::Http10 || !expects {
            // It means nothing, and must not begin to when HTTP/1.0 goes on as HTTP/1.1.
            self.fields.keep_back(FieldId::Expect);
        }
        self.connection =
            self.fields.apply_connection(bytes).ok_or(RequestError::TooManyConnectionOptions)?;
        Ok(())
    }

    /// The target's own authority wins over `Host`, which must be there and valid all the same (RFC 9112
    /// section 3.2).
    fn take_host(&mut self, bytes: &[u8], host: Option<&[u8]>) -> Result<(), RequestError> {
        if host.is_none() && self.line.version == Version::Http11 {
            return Err(RequestError::MissingHost);
        }
        let mut authority =
            host.map(|value| Authority::parse(value).ok_or(RequestError::BadHost)).transpose()?;
        match self.authority {
            Some(span) => authority = Authority::parse(span.of(bytes)),
            None => {
                self.authority = host
                    .and_then(|value| offset_in(bytes, value).and_then(|at| Span::new(at..at + value.len())));
            }
        }
        self.host = authority.map_or_else(Host::default, |authority| {
            let name =
                authority.host.strip_suffix(b".").filter(|name| !name.is_empty()).unwrap_or(authority.host);
            Host {
                name: offset_in(bytes, name).and_then(|at| Span::new(at..at + name.len())),
                port: authority.port,
            }
        });
        Ok(())
    }
}

/// Bytes of CRLFs before the first other byte.
fn blank_lines(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let [b'\r', b'\n', more @ ..] = rest {
        rest = more;
    }
    bytes.len() - rest.len()
}

/// True if a head that is not whole may still grow.
fn within(buf: &[u8], limits: &HeadLimits) -> Result<(), RequestError> {
    let message = buf.get(blank_lines(buf)..).unwrap_or_default();
    let line_open =
        || message.get(..limits.first_line).is_none_or(|line| memchr::memchr(b'\n', line).is_none());
    if message.len() >= limits.first_line && line_open() {
        Err(RequestError::RequestLineTooLong)
    } else if buf.len() >= limits.head.min(HeadLimits::MAX_HEAD) {
        Err(RequestError::HeadTooLarge)
    } else {
        Ok(())
    }
}

impl From<FramingError> for RequestError {
    fn from(error: FramingError) -> Self {
        match error {
            FramingError::BadLength => Self::BadContentLength,
            FramingError::RepeatedLength => Self::RepeatedContentLength,
            FramingError::LengthAndCoding => Self::LengthWithTransferEncoding,
            FramingError::BadCoding => Self::BadTransferEncoding,
            FramingError::UnknownCoding => Self::UnsupportedTransferCoding,
            FramingError::CodingOnHttp10 => Self::TransferEncodingOnHttp10,
        }
    }
}
