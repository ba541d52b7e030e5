//! Why a message is refused: closed enums, each with a stable reason code and, for requests, a status.

/// An error in a field line or a line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FieldError {
    /// A line ends in LF without CR (RFC 9112 section 2.2).
    #[error("a line ends in LF alone")]
    BareLf,
    /// A CR without LF behind it.
    #[error("a CR stands without LF")]
    BareCr,
    /// A line begins with a blank (RFC 9112 section 5.2).
    #[error("a field is folded over two lines")]
    ObsFold,
    /// A blank between field name and colon (RFC 9112 section 5.1).
    #[error("a blank stands before the colon of a field")]
    SpaceBeforeColon,
    /// No colon, an empty name, or a byte that is no token character.
    #[error("a field name is no token")]
    BadName,
    /// A control byte in a value (RFC 9110 section 5.5).
    #[error("a field value holds a control byte")]
    BadValue,
}

impl FieldError {
    /// Stable code in snake_case.
    pub fn reason(self) -> &'static str {
        match self {
            Self::BareLf => "bare_lf",
            Self::BareCr => "bare_cr",
            Self::ObsFold => "obs_fold",
            Self::SpaceBeforeColon => "space_before_colon",
            Self::BadName => "bad_header_name",
            Self::BadValue => "bad_header_value",
        }
    }
}

/// Why a request head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RequestError {
    /// The request line is longer than its limit.
    #[error("the request line is too long")]
    RequestLineTooLong,
    /// The head is longer than its limit.
    #[error("the request head is too long")]
    HeadTooLarge,
    /// More field lines than allowed.
    #[error("the request has too many header fields")]
    TooManyHeaders,
    /// The first line has not the form `method target version`.
    #[error("the request line is malformed")]
    BadRequestLine,
    /// The method is no token.
    #[error("the method is no token")]
    BadMethod,
    /// The request target has none of the four forms, or not the one its method needs (RFC 9112 section 3.2).
    #[error("the request target is malformed")]
    BadTarget,
    /// A well-formed version other than 1.0 and 1.1.
    #[error("the HTTP version is not supported")]
    UnsupportedVersion,
    /// The client speaks HTTP/2 without being asked to (RFC 9113 section 3.4).
    #[error("HTTP/2 is not served here")]
    Http2Preface,
    /// The first byte is that of a TLS handshake record (RFC 8446 section 5.1).
    #[error("a TLS handshake was sent to a plaintext port")]
    TlsOnPlaintext,
    /// A field line is malformed.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// HTTP/1.1 without `Host` (RFC 9112 section 3.2).
    #[error("Host is missing")]
    MissingHost,
    /// More than one `Host` line.
    #[error("Host is repeated")]
    RepeatedHost,
    /// `Host` is empty or no `host[:port]`.
    #[error("Host is malformed")]
    BadHost,
    /// `Content-Length` is no number of 64 bits.
    #[error("Content-Length is malformed")]
    BadContentLength,
    /// `Content-Length` stands twice, with equal values too.
    #[error("Content-Length is repeated")]
    RepeatedContentLength,
    /// `Content-Length` beside `Transfer-Encoding` (RFC 9112 section 6.1).
    #[error("Content-Length and Transfer-Encoding are both present")]
    LengthWithTransferEncoding,
    /// `Transfer-Encoding` does not end in exactly one `chunked` (RFC 9112 section 6.3).
    #[error("Transfer-Encoding is malformed")]
    BadTransferEncoding,
    /// A transfer coding other than `chunked` (RFC 9112 section 6.1).
    #[error("the transfer coding is not supported")]
    UnsupportedTransferCoding,
    /// `Transfer-Encoding` on HTTP/1.0 (RFC 9112 section 6.1).
    #[error("Transfer-Encoding was sent with HTTP/1.0")]
    TransferEncodingOnHttp10,
    /// An `Expect` other than `100-continue` (RFC 9110 section 10.1.1).
    #[error("the expectation is not supported")]
    ExpectationFailed,
    /// `CONNECT` with a well-formed target.
    #[error("CONNECT is not supported")]
    ConnectNotSupported,
    /// `CONNECT` with a `:protocol` that is not tunnelled (RFC 8441 section 4).
    #[error("the protocol of CONNECT is not supported")]
    ConnectProtocolNotSupported,
    /// More connection options than [`super::HeadLimits::MAX_CONNECTION_OPTIONS`].
    #[error("Connection names too many options")]
    TooManyConnectionOptions,
}

impl RequestError {
    /// Stable code in snake_case, for `x-sluice-reason` and the access log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::RequestLineTooLong => "request_line_too_long",
            Self::HeadTooLarge => "head_too_large",
            Self::TooManyHeaders => "too_many_headers",
            Self::BadRequestLine => "bad_request_line",
            Self::BadMethod => "bad_method",
            Self::BadTarget => "bad_target",
            Self::UnsupportedVersion => "unsupported_version",
            Self::Http2Preface => "http2_preface",
            Self::TlsOnPlaintext => "tls_on_plaintext",
            Self::Field(error) => error.reason(),
            Self::MissingHost => "missing_host",
            Self::RepeatedHost => "repeated_host",
            Self::BadHost => "bad_host",
            Self::BadContentLength => "bad_content_length",
            Self::RepeatedContentLength => "repeated_content_length",
            Self::LengthWithTransferEncoding => "length_with_transfer_encoding",
            Self::BadTransferEncoding => "bad_transfer_encoding",
            Self::UnsupportedTransferCoding => "unsupported_transfer_coding",
            Self::TransferEncodingOnHttp10 => "transfer_encoding_on_http10",
            Self::ExpectationFailed => "expectation_failed",
            Self::ConnectNotSupported => "connect_not_supported",
            Self::ConnectProtocolNotSupported => "connect_protocol_not_supported",
            Self::TooManyConnectionOptions => "too_many_connection_options",
        }
    }

    /// The status of the response before the connection is closed.
    pub fn status(self) -> u16 {
        match self {
            Self::RequestLineTooLong => 414,
            Self::HeadTooLarge | Self::TooManyHeaders => 431,
            Self::UnsupportedVersion | Self::Http2Preface => 505,
            Self::UnsupportedTransferCoding
            | Self::ConnectNotSupported
            | Self::ConnectProtocolNotSupported => 501,
            Self::ExpectationFailed => 417,
            _ => 400,
        }
    }
}

/// The reason why a backend's response is refused; the client gets 502 for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ResponseError {
    /// The head is longer than its limit.
    #[error("the backend's response head is too long")]
    HeadTooLarge,
    /// More field lines than allowed.
    #[error("the backend's response has too many header fields")]
    TooManyHeaders,
    /// No `HTTP/1.x`, no three-digit status, or a status below 100.
    #[error("the backend's status line is malformed")]
    BadStatusLine,
    /// A field line is malformed.
    #[error("the backend's response is malformed: {0}")]
    Field(#[from] FieldError),
    /// `Content-Length` is no number of 64 bits.
    #[error("the backend's Content-Length is malformed")]
    BadContentLength,
    /// `Content-Length` stands twice.
    #[error("the backend's Content-Length is repeated")]
    RepeatedContentLength,
    /// `Content-Length` beside `Transfer-Encoding`.
    #[error("the backend sent both Content-Length and Transfer-Encoding")]
    LengthWithTransferEncoding,
    /// `Transfer-Encoding` that is not exactly `chunked`.
    #[error("the backend's Transfer-Encoding is malformed or not supported")]
    BadTransferEncoding,
    /// `Transfer-Encoding` on HTTP/1.0.
    #[error("the backend sent Transfer-Encoding with HTTP/1.0")]
    TransferEncodingOnHttp10,
    /// More connection options than [`super::HeadLimits::MAX_CONNECTION_OPTIONS`].
    #[error("the backend's Connection names too many options")]
    TooManyConnectionOptions,
}

impl ResponseError {
    /// Stable code in snake_case.
    pub fn reason(self) -> &'static str {
        match self {
            Self::HeadTooLarge => "backend_head_too_large",
            Self::TooManyHeaders => "backend_too_many_headers",
            Self::BadStatusLine => "backend_bad_status_line",
            Self::Field(FieldError::BareLf) => "backend_bare_lf",
            Self::Field(FieldError::BareCr) => "backend_bare_cr",
            Self::Field(FieldError::ObsFold) => "backend_obs_fold",
            Self::Field(FieldError::SpaceBeforeColon) => "backend_space_before_colon",
            Self::Field(FieldError::BadName) => "backend_bad_header_name",
            Self::Field(FieldError::BadValue) => "backend_bad_header_value",
            Self::BadContentLength => "backend_bad_content_length",
            Self::RepeatedContentLength => "backend_repeated_content_length",
            Self::LengthWithTransferEncoding => "backend_length_with_transfer_encoding",
            Self::BadTransferEncoding => "backend_bad_transfer_encoding",
            Self::TransferEncodingOnHttp10 => "backend_transfer_encoding_on_http10",
            Self::TooManyConnectionOptions => "backend_too_many_connection_options",
        }
    }
}

/// Why a body can't be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BodyError {
    /// No hexadecimal size, more than 16 digits, or a sum beyond 64 bits (RFC 9112 section 7.1).
    #[error("a chunk size is malformed")]
    BadChunkSize,
    /// A chunk extension with a control byte, or a chunk-size line that does not end in CRLF.
    #[error("a chunk-size line is malformed")]
    BadChunkLine,
    /// A chunk-size line, or all extensions together, are longer than allowed.
    #[error("chunk extensions are too long")]
    ChunkExtensionsTooLong,
    /// The data of a chunk is not followed by CRLF.
    #[error("a chunk does not end in CRLF")]
    BadChunkEnd,
    /// A trailer line is malformed.
    #[error("a trailer is malformed: {0}")]
    Trailer(FieldError),
    /// The trailer section is longer than allowed, in bytes or in lines.
    #[error("the trailers are too long")]
    TrailersTooLarge,
    /// More content than allowed.
    #[error("the body is too long")]
    TooLong,
    /// The connection closed before the end.
    #[error("the body ended early")]
    Truncated,
}

impl BodyError {
    /// Stable code in snake_case, for a client's body. For a backend's, put `backend_` before it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::BadChunkSize => "bad_chunk_size",
            Self::BadChunkLine => "bad_chunk_line",
            Self::ChunkExtensionsTooLong => "chunk_extensions_too_long",
            Self::BadChunkEnd => "bad_chunk_end",
            Self::Trailer(_) => "bad_trailer",
            Self::TrailersTooLarge => "trailers_too_large",
            Self::TooLong => "body_too_long",
            Self::Truncated => "body_truncated",
        }
    }

    /// The status a client gets when it sent such a body and no response has begun.
    pub fn status(self) -> u16 {
        match self {
            Self::TooLong => 413,
            Self::TrailersTooLarge => 431,
            _ => 400,
        }
    }
}
