//! Response heads from backends.

use std::mem::MaybeUninit;

use gateway_grammar::{FieldId, Method};

use super::diagnose;
use super::error::{FieldError, ResponseError};
use super::fields::{ConnectionOptions, FieldTable};
use super::framing::{BodyFraming, FramingError, FramingFields};
use super::limits::HeadLimits;
use super::scan::{Parsed, Scan};
use crate::bytes::{Span, offset_in};
use crate::head::{BodyLength, Fields, ResponseParts, Version};

/// Reusable storage for one response head; see [`super::RequestHead`].
#[derive(Debug, Default)]
pub struct ResponseHead {
    scan: Scan,
    fields: FieldTable,
    version: Version,
    status: u16,
    reason: Span,
    framing: BodyFraming,
    declared: Option<u64>,
    reusable: bool,
    connection: ConnectionOptions,
}

impl ResponseHead {
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

    /// Parses the head of the response to a request of method `to`; otherwise as
    /// [`super::RequestHead::parse`]. After an interim response ([`crate::head::ResponseParts::is_interim`]) another head
    /// follows.
    ///
    /// # Errors
    /// The first rule the head breaks. The connection can't be used further.
    pub fn parse(&mut self, buf: &[u8], limits: &HeadLimits, to: Method) -> Result<Parsed, ResponseError> {
        let parsed = if self.scan.worth_parsing(buf) {
            self.parse_head(buf, limits, to)
        } else {
            Ok(Parsed::Incomplete)
        };
        match parsed {
            Ok(Parsed::Incomplete) if buf.len() >= limits.head.min(HeadLimits::MAX_HEAD) => {
                self.clear();
                return Err(ResponseError::HeadTooLarge);
            }
            Ok(Parsed::Incomplete) => {}
            Ok(Parsed::Complete { .. }) => self.scan = Scan::default(),
            Err(_) => self.clear(),
        }
        parsed
    }

    /// The accessors. `buf` must be what [`Self::parse`] took last, at whatever address it is now.
    pub fn view<'a>(&'a self, buf: &'a [u8]) -> Response<'a> {
        Response { head: self, bytes: buf }
    }

    fn parse_head(&mut self, buf: &[u8], limits: &HeadLimits, to: Method) -> Result<Parsed, ResponseError> {
        let window = buf.get(..limits.head.min(HeadLimits::MAX_HEAD)).unwrap_or(buf);
        // httparse would skip blank lines; before a status line they are no part of HTTP.
        if window.first().is_some_and(|&b| b != b'H') {
            return Err(ResponseError::BadStatusLine);
        }
        let mut headers = [const { MaybeUninit::uninit() }; HeadLimits::MAX_FIELDS];
        let headers = headers.get_mut(..limits.fields.min(HeadLimits::MAX_FIELDS)).unwrap_or_default();
        let mut response = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let consumed = match config.parse_response_with_uninit_headers(&mut response, window, headers) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(Parsed::Incomplete),
            Err(httparse::Error::TooManyHeaders) => return Err(ResponseError::TooManyHeaders),
            Err(error) => return Err(name_fault(window, error)),
        };
        let (Some(minor), Some(code)) = (response.version, response.code) else {
            return Err(ResponseError::BadStatusLine);
        };
        let fields_at = self.take_line(window, minor, code)?;
        self.fields.fill(window, fields_at, consumed, response.headers).map_err(|fallback| {
            ResponseError::Field(window.get(fields_at..).and_then(diagnose::in_fields).unwrap_or(fallback))
        })?;
        self.take_fields(window, to)?;
        Ok(Parsed::Complete { consumed })
    }

    /// Notes the status line; gives where the fields begin.
    fn take_line(&mut self, bytes: &[u8], minor: u8, code: u16) -> Result<usize, ResponseError> {
        let line = match diagnose::first_line(bytes) {
            diagnose::Line::Whole(line, _) => line,
            diagnose::Line::Invalid(error) => return Err(ResponseError::Field(error)),
            diagnose::Line::Open(_) => return Err(ResponseError::BadStatusLine),
        };
        if code < 100 {
            return Err(ResponseError::BadStatusLine);
        }
        self.version = Version::from_minor(minor);
        self.status = code;
        // `HTTP/1.1 200` is 12 bytes; a reason, if any, comes after one more space.
        let reason = line.get(13..).unwrap_or_default();
        let start = offset_in(bytes, reason).filter(|_| !reason.is_empty()).unwrap_or(12);
        self.reason = Span::new(start..start + reason.len()).unwrap_or_default();
        Ok(line.len() + 2)
    }

    fn take_fields(&mut self, bytes: &[u8], to: Method) -> Result<(), ResponseError> {
        let (mut fields, mut reason) = (FramingFields::default(), false);
        for slot in self.fields.slots() {
            match slot.id {
                FieldId::ContentLength => fields.content_length(slot.field(bytes).value)?,
                FieldId::TransferEncoding => fields.transfer_encoding(slot.field(bytes).value)?,
                FieldId::SluiceReason => reason = true,
                _ => {}
            }
        }
        let announced = fields.finish(self.version)?;
        if reason {
            // It says why the gateway responded, not a backend.
            self.fields.keep_back(FieldId::SluiceReason);
        }
        self.connection =
            self.fields.apply_connection(bytes).ok_or(ResponseError::TooManyConnectionOptions)?;
        self.declared = if let BodyFraming::Length(length) = announced { Some(length) } else { None };
        // RFC 9112 section 6.3: these never have a body, whatever their fields say.
        let never_a_body = self.status < 200 || self.status == 204;
        self.framing = match announced {
            _ if never_a_body || self.status == 304 || to == Method::Head => BodyFraming::None,
            BodyFraming::None => BodyFraming::UntilClose,
            announced => announced,
        };
        // A backend that announces a body where none can be may send it: its connection ends here.
        let lies = never_a_body && (fields.has_coding() || self.declared.is_some_and(|length| length > 0));
        let persistent =
            !self.connection.close && (self.version == Version::Http11 || self.connection.keep_alive);
        self.reusable = persistent && !lies && self.framing != BodyFraming::UntilClose;
        if never_a_body {
            self.declared = None;
        }
        Ok(())
    }
}

fn name_fault(bytes: &[u8], error: httparse::Error) -> ResponseError {
    let rest = match diagnose::first_line(bytes) {
        diagnose::Line::Invalid(error) => return ResponseError::Field(error),
        diagnose::Line::Open(_) => return ResponseError::BadStatusLine,
        diagnose::Line::Whole(_, rest) => rest,
    };
    match error {
        httparse::Error::HeaderName | httparse::Error::HeaderValue | httparse::Error::NewLine => {
            ResponseError::Field(diagnose::in_fields(rest).unwrap_or(FieldError::BadName))
        }
        _ => ResponseError::BadStatusLine,
    }
}

impl From<FramingError> for ResponseError {
    fn from(error: FramingError) -> Self {
        match error {
            FramingError::BadLength => Self::BadContentLength,
            FramingError::RepeatedLength => Self::RepeatedContentLength,
            FramingError::LengthAndCoding => Self::LengthWithTransferEncoding,
            FramingError::BadCoding | FramingError::UnknownCoding => Self::BadTransferEncoding,
            FramingError::CodingOnHttp10 => Self::TransferEncodingOnHttp10,
        }
    }
}

/// A parsed response head over the bytes it was parsed from.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    head: &'a ResponseHead,
    bytes: &'a [u8],
}

impl<'a> Response<'a> {
    /// The head as the exchange, filters and logs see it.
    pub fn parts(&self) -> ResponseParts<'a> {
        let length = match self.head.framing {
            BodyFraming::None => BodyLength::None(self.head.declared),
            BodyFraming::Length(length) => BodyLength::Known(length),
            BodyFraming::Chunked | BodyFraming::UntilClose => BodyLength::Unknown,
        };
        ResponseParts { status: self.status(), reason: self.reason(), fields: self.fields(), length }
    }

    /// The status code, 100 to 999.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The reason phrase as received; may be empty, may hold bytes from 0x80.
    pub fn reason(&self) -> &'a [u8] {
        self.head.reason.of(self.bytes)
    }

    /// The version the backend speaks.
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// The field lines.
    pub fn fields(&self) -> Fields<'a> {
        self.head.fields.view(self.bytes)
    }

    /// How the body that follows is framed. [`BodyFraming::None`] for `HEAD`, 1xx, 204 and 304.
    pub fn framing(&self) -> BodyFraming {
        self.head.framing
    }

    /// The `Content-Length`: also of a response to `HEAD` and of a 304, where it says what a `GET` would have
    /// given; `None` for 1xx and 204, which must not have one (RFC 9110 section 8.6).
    pub fn declared_length(&self) -> Option<u64> {
        self.head.declared
    }

    /// The protocol of a 101, if `Connection` names `Upgrade`.
    pub fn upgrade(&self) -> Option<&'a [u8]> {
        self.head.connection.upgrade.then(|| self.fields().get_known(FieldId::Upgrade)).flatten()
    }

    /// True if the backend's connection can carry another request once this body is read to its end.
    pub fn reusable(&self) -> bool {
        self.head.reusable
    }
}
