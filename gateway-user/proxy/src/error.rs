//! Why an answer is our own, or why an exchange broke: a closed list with one table.
//!
//! `docs/reason-codes.md` explains every code to operators; a test keeps the page and this list in step.

use gateway_http::h1::path::PathError;
use gateway_http::h1::{BodyError, RequestError, ResponseError};
use gateway_ir::FailureKind;
use gateway_snapshot::RouteMiss;

/// A reason with a stable code. The code is sent in `x-sluice-reason`, in the answer's body and to the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request's head is malformed or beyond a limit; status and code are the codec's.
    Request(RequestError),
    /// The request's path cannot be normalised; the code is the codec's.
    Path(PathError),
    /// The request's body is malformed or beyond a limit; status and code are the codec's.
    RequestBody(BodyError),
    /// The rule redirects.
    Redirect,
    /// No Gateway listener on the address and port.
    NoListenerForAddress,
    /// No rule matches; the code says what came closest.
    Miss(RouteMiss),
    /// The head did not arrive in time.
    RequestHeaderTimeout,
    /// The body stopped arriving.
    RequestBodyTimeout,
    /// The worker has its maximum of client connections.
    OverloadConnections,
    /// The rule or backendRef is broken; the code is the failure's.
    Failure(FailureKind),
    /// What the rule's filters make of the request cannot be sent.
    FilteredRequestInvalid,
    /// What the rule's filters make of the answer cannot be sent.
    FilteredResponseInvalid,
    /// The backend has no ready endpoint.
    NoEndpoints,
    /// No connection to any endpoint that was tried.
    UpstreamConnectFailed,
    /// The last endpoint that was tried let the connect time-out pass.
    UpstreamConnectTimeout,
    /// The backend closed the connection before its answer's head was complete.
    UpstreamReset,
    /// The backend's answer is malformed; the code is the codec's.
    Response(ResponseError),
    /// The backend switches protocols unasked.
    UpstreamUnexpectedUpgrade,
    /// The backend's answer did not begin in time.
    UpstreamResponseTimeout,
    /// The rule's `timeouts.backendRequest` passed.
    BackendRequestTimeout,
    /// The rule's `timeouts.request`, or the process's, passed.
    RequestTimeout,
    /// The backend closed or broke the connection in the middle of its answer's body.
    UpstreamBodyTruncated,
    /// The backend's answer stopped for longer than the idle limit.
    UpstreamBodyTimeout,
    /// The framing of the backend's body broke after the head was passed on.
    UpstreamBodyInvalid(BodyError),
    /// The client closed before its request was complete or answered.
    ClientClosed,
    /// The client did not take the answer in time.
    ClientSendTimeout,
    /// The drain's maximum passed.
    DrainAborted,
    /// A fault of our own: the connection's task panicked.
    InternalError,
}

/// What becomes of the client's connection after an answer of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It may serve another request if this one's body was read to its end.
    Stay,
    /// It is closed, once the client has had the answer.
    Close,
}

struct Row {
    /// `None`: the exchange is past the point where an answer could be sent.
    status: Option<u16>,
    code: &'static str,
    after: After,
}

const fn answer(status: u16, code: &'static str) -> Row {
    Row { status: Some(status), code, after: After::Stay }
}

const fn last(status: u16, code: &'static str) -> Row {
    Row { status: Some(status), code, after: After::Close }
}

const fn broken(code: &'static str) -> Row {
    Row { status: None, code, after: After::Close }
}

impl Reason {
    /// The stable code, in snake_case.
    pub fn code(self) -> &'static str {
        self.row().code
    }

    /// The status of the answer; `None` for what happens where no answer can be sent any more.
    ///
    /// A redirect's status is the rule's; here it stands as 302.
    pub fn status(self) -> Option<u16> {
        self.row().status
    }

    pub(crate) fn after(self) -> After {
        self.row().after
    }

    fn row(self) -> Row {
        match self {
            Self::Request(error) => last(error.status(), error.reason()),
            Self::Path(error) => answer(400, error.reason()),
            Self::RequestBody(error) => last(error.status(), error.reason()),
            Self::Redirect => answer(302, "redirect"),
            Self::NoListenerForAddress => answer(404, "no_listener_for_address"),
            Self::Miss(miss) => answer(404, miss.code()),
            Self::RequestHeaderTimeout => last(408, "request_header_timeout"),
            Self::RequestBodyTimeout => last(408, "request_body_timeout"),
            Self::OverloadConnections => last(503, "overload_connections"),
            Self::Failure(FailureKind::RefNotPermitted) => answer(500, "ref_not_permitted"),
            Self::Failure(FailureKind::BackendNotFound) => answer(500, "backend_not_found"),
            Self::Failure(FailureKind::NoBackend) => answer(500, "no_backend"),
            Self::Failure(FailureKind::UnsupportedProtocol) => answer(500, "unsupported_protocol"),
            Self::Failure(FailureKind::InvalidKind) => answer(500, "invalid_kind"),
            Self::Failure(FailureKind::InvalidRule) => answer(500, "invalid_rule"),
            Self::FilteredRequestInvalid => answer(500, "filtered_request_invalid"),
            Self::FilteredResponseInvalid => answer(502, "filtered_response_invalid"),
            Self::NoEndpoints => answer(503, "no_endpoints"),
            Self::UpstreamConnectFailed => answer(503, "upstream_connect_failed"),
            Self::UpstreamConnectTimeout => answer(503, "upstream_connect_timeout"),
            Self::UpstreamReset => answer(502, "upstream_reset"),
            Self::Response(error) => answer(502, error.reason()),
            Self::UpstreamUnexpectedUpgrade => answer(502, "upstream_unexpected_upgrade"),
            Self::UpstreamResponseTimeout => answer(504, "upstream_response_timeout"),
            Self::BackendRequestTimeout => answer(504, "backend_request_timeout"),
            Self::RequestTimeout => answer(504, "request_timeout"),
            Self::UpstreamBodyTruncated => broken("upstream_body_truncated"),
            Self::UpstreamBodyTimeout => broken("upstream_body_timeout"),
            Self::UpstreamBodyInvalid(error) => broken(invalid_body_code(error)),
            Self::ClientClosed => broken("client_closed"),
            Self::ClientSendTimeout => broken("client_send_timeout"),
            Self::DrainAborted => broken("drain_aborted"),
            Self::InternalError => broken("internal_error"),
        }
    }
}

fn invalid_body_code(error: BodyError) -> &'static str {
    match error {
        BodyError::BadChunkSize => "backend_bad_chunk_size",
        BodyError::BadChunkLine => "backend_bad_chunk_line",
        BodyError::ChunkExtensionsTooLong => "backend_chunk_extensions_too_long",
        BodyError::BadChunkEnd => "backend_bad_chunk_end",
        BodyError::Trailer(_) => "backend_bad_trailer",
        BodyError::TrailersTooLarge => "backend_trailers_too_large",
        BodyError::TooLong => "backend_body_too_long",
        BodyError::Truncated => "upstream_body_truncated",
    }
}
