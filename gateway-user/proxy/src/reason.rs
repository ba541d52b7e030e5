//! Why a response is our own, or why an exchange broke: a closed list with one table.
//!
//! `docs/reason-codes.md` explains every code to operators; a test keeps the page and this list in step.

use gateway_http::grpc::Code;
use gateway_http::h1::path::PathError;
use gateway_http::h1::{BodyError, RequestError, ResponseError};
use gateway_http::websocket::HandshakeError;
use gateway_ir::RuleErrorKind;
use gateway_snapshot::RouteMiss;
use gateway_tls::BackendTlsError;

/// A reason with a stable code. The code is sent in `x-sluice-reason`, in the response's body and to the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request's head is malformed or beyond a limit; status and code are the codec's.
    Request(RequestError),
    /// The request's path cannot be normalised; the code is the codec's.
    Path(PathError),
    /// A field name holds `_`, where that is refused.
    UnderscoreHeader,
    /// The request's body is malformed or beyond a limit; status and code are the codec's.
    RequestBody(BodyError),
    /// The request is no WebSocket handshake, though it says so; status and code are the check's.
    WebSocket(HandshakeError),
    /// The rule redirects.
    Redirect,
    /// A preflight, with the leave that the rule's `CORS` gives.
    CorsPreflight,
    /// A preflight of a page whose origin the rule's `CORS` does not allow.
    CorsOriginNotAllowed,
    /// No Gateway listener on the address and port.
    NoListenerForAddress,
    /// The TCP or UDP listener has no route.
    NoRoute,
    /// No rule matches; the code says what came closest.
    Miss(RouteMiss),
    /// The client speaks HTTP in the clear where TLS is spoken.
    PlaintextOnTls,
    /// The connection was secured for another listener than the one that takes the host.
    Misdirected,
    /// The head did not arrive in time.
    RequestHeaderTimeout,
    /// The body stopped arriving.
    RequestBodyTimeout,
    /// The body arrived below the minimum rate.
    RequestBodyTooSlow,
    /// The worker has its maximum of client connections.
    OverloadConnections,
    /// The client's network has its maximum of connections.
    OverloadClient,
    /// Connections are scarce, and the request's namespace or listener has the most requests under way.
    OverloadShare,
    /// Buffers are scarce, and the same; or there is none left for anybody's new request.
    OverloadMemory,
    /// The backend has its maximum of requests under way.
    OverloadRequests,
    /// The backend has its maximum of requests whose response has not begun.
    OverloadPending,
    /// The worker has its maximum of flows, and none gives way.
    OverloadFlows,
    /// The flow of a UDP listener gave way to another one because a limit was reached.
    FlowEvicted,
    /// ICMP said of the flow's backend that it cannot be reached.
    UpstreamUnreachable,
    /// No file descriptor was left for a connection to the backend.
    OverloadDescriptors,
    /// The rule or backendRef is broken; the code is the failure's.
    Failure(RuleErrorKind),
    /// The request cannot be sent as the rule's filters change it.
    FilteredRequestInvalid,
    /// The response cannot be sent as the rule's filters change it.
    FilteredResponseInvalid,
    /// The backend has no ready endpoint.
    NoEndpoints,
    /// No connection to any endpoint that was tried.
    UpstreamConnectFailed,
    /// The last endpoint that was tried let the connect time-out pass.
    UpstreamConnectTimeout,
    /// The BackendTLSPolicy of the backend cannot be used as it is.
    BackendTlsInvalid,
    /// The status of the backend's BackendTLSPolicy has no room for the Gateway, which so must not use it.
    BackendTlsNoRoom,
    /// No secure connection to any endpoint that was tried; the code is the handshake's.
    UpstreamTls(BackendTlsError),
    /// The backend closed the connection before its response's head was complete.
    UpstreamReset,
    /// The backend breaks the rules of HTTP/2, or speaks something else.
    UpstreamProtocolError,
    /// The backend's response is malformed; the code is the codec's.
    Response(ResponseError),
    /// The backend sent more interim responses than are relayed.
    UpstreamTooManyInterim,
    /// The backend switches protocols unasked.
    UpstreamUnexpectedUpgrade,
    /// The backend switches to another protocol than it was asked to, or its `Sec-WebSocket-Accept` does not fit the key.
    UpstreamBadUpgrade,
    /// The head of the backend's response was not complete in time.
    UpstreamResponseTimeout,
    /// The rule's `timeouts.backendRequest` passed.
    BackendRequestTimeout,
    /// The rule's `timeouts.request`, or the process's, passed.
    RequestTimeout,
    /// The client's `grpc-timeout` passed.
    GrpcTimeout,
    /// The backend closed or broke the connection in the middle of its response's body.
    UpstreamBodyTruncated,
    /// The backend's response stopped for longer than the idle limit.
    UpstreamBodyTimeout,
    /// The framing of the backend's body broke.
    UpstreamBodyInvalid(BodyError),
    /// The client closed before its request was complete or had a response.
    ClientClosed,
    /// The client did not take the response in time.
    ClientSendTimeout,
    /// The drain's maximum passed.
    DrainAborted,
    /// The backend responds with success and does not switch protocols, where success would say so to the client.
    UpstreamNoUpgrade,
    /// The request is to change protocols, and the backend speaks HTTP/2.
    UpstreamHttp2Upgrade,
    /// No byte came on an upgraded connection for too long.
    TunnelIdle,
    /// The backend broke an upgraded connection.
    TunnelUpstreamClosed,
    /// The backend of an upgraded connection did not take what the client sent in time.
    TunnelUpstreamStalled,
    /// The client and the backend speak of a login that counts for a connection, which streams of one share.
    Http1Required,
}

struct Row {
    /// `None`: the exchange is past the point where a response could be sent.
    status: Option<u16>,
    code: &'static str,
    /// The connection is closed once the client has had the response, though the request was read to its end.
    ends_connection: bool,
}

const fn reply(status: u16, code: &'static str) -> Row {
    Row { status: Some(status), code, ends_connection: false }
}

const fn last(status: u16, code: &'static str) -> Row {
    Row { status: Some(status), code, ends_connection: true }
}

const fn broken(code: &'static str) -> Row {
    Row { status: None, code, ends_connection: true }
}

impl Reason {
    /// The stable code, in snake_case.
    pub fn code(self) -> &'static str {
        self.row().code
    }

    /// The status of the response; `None` for what happens where no response can be sent any more.
    ///
    /// A redirect's status is the rule's; here it stands as 302.
    pub fn status(self) -> Option<u16> {
        self.row().status
    }

    /// The status of the reply to a gRPC call: that of the HTTP status, but for deadlines, and for what is broken in a
    /// route, where the Gateway API asks for `UNAVAILABLE` (`GRPCRouteRule.backendRefs`).
    pub(crate) fn grpc_code(self, status: u16) -> Code {
        match self {
            Self::UpstreamResponseTimeout
            | Self::BackendRequestTimeout
            | Self::RequestTimeout
            | Self::GrpcTimeout => Code::DeadlineExceeded,
            Self::Failure(_) => Code::Unavailable,
            _ => Code::of_status(status),
        }
    }

    /// True if no other request follows on the connection after this local reply.
    pub(crate) fn ends_connection(self) -> bool {
        self.row().ends_connection
    }

    fn row(self) -> Row {
        match self {
            Self::Request(error) => last(error.status(), error.reason()),
            Self::Path(error) => last(error.status(), error.reason()),
            Self::UnderscoreHeader => last(400, "underscore_header"),
            Self::RequestBody(error) => last(error.status(), error.reason()),
            Self::WebSocket(error) => last(error.status(), error.reason()),
            Self::Redirect => reply(302, "redirect"),
            Self::CorsPreflight => reply(204, "cors_preflight"),
            Self::CorsOriginNotAllowed => reply(403, "cors_origin_not_allowed"),
            Self::NoListenerForAddress => reply(404, "no_listener_for_address"),
            Self::NoRoute => broken("no_route"),
            Self::Miss(miss) => reply(404, miss.code()),
            Self::PlaintextOnTls => last(400, "plaintext_on_tls"),
            Self::Misdirected => reply(421, "misdirected_request"),
            Self::RequestHeaderTimeout => last(408, "request_header_timeout"),
            Self::RequestBodyTimeout => last(408, "request_body_timeout"),
            Self::RequestBodyTooSlow => last(408, "request_body_too_slow"),
            Self::OverloadConnections => last(503, "overload_connections"),
            Self::OverloadClient => last(503, "overload_client"),
            Self::OverloadShare => last(503, "overload_share"),
            Self::OverloadMemory => last(503, "overload_memory"),
            Self::OverloadRequests => last(503, "overload_requests"),
            Self::OverloadPending => last(503, "overload_pending"),
            Self::OverloadFlows => broken("overload_flows"),
            Self::FlowEvicted => broken("flow_evicted"),
            Self::UpstreamUnreachable => broken("upstream_unreachable"),
            Self::OverloadDescriptors => last(503, "overload_descriptors"),
            Self::Failure(RuleErrorKind::RefNotPermitted) => reply(500, "ref_not_permitted"),
            Self::Failure(RuleErrorKind::BackendNotFound) => reply(500, "backend_not_found"),
            Self::Failure(RuleErrorKind::NoBackend) => reply(500, "no_backend"),
            Self::Failure(RuleErrorKind::UnsupportedProtocol) => reply(500, "unsupported_protocol"),
            Self::Failure(RuleErrorKind::InvalidKind) => reply(500, "invalid_kind"),
            Self::Failure(RuleErrorKind::InvalidRule) => reply(500, "invalid_rule"),
            Self::Failure(RuleErrorKind::UnknownCapability) => reply(500, "unknown_capability"),
            Self::FilteredRequestInvalid => reply(500, "filtered_request_invalid"),
            Self::FilteredResponseInvalid => reply(502, "filtered_response_invalid"),
            Self::NoEndpoints => reply(503, "no_endpoints"),
            Self::UpstreamConnectFailed => reply(503, "upstream_connect_failed"),
            Self::UpstreamConnectTimeout => reply(503, "upstream_connect_timeout"),
            Self::BackendTlsInvalid => reply(502, "backend_tls_invalid"),
            Self::BackendTlsNoRoom => reply(502, "backend_tls_no_room"),
            Self::UpstreamTls(error) => reply(502, error.code()),
            Self::UpstreamReset => reply(502, "upstream_reset"),
            Self::UpstreamProtocolError => reply(502, "upstream_protocol_error"),
            Self::Response(error) => reply(502, error.reason()),
            Self::UpstreamTooManyInterim => reply(502, "upstream_too_many_interim"),
            Self::UpstreamUnexpectedUpgrade => reply(502, "upstream_unexpected_upgrade"),
            Self::UpstreamBadUpgrade => reply(502, "upstream_bad_upgrade"),
            Self::UpstreamHttp2Upgrade => reply(501, "upstream_http2_upgrade"),
            Self::UpstreamNoUpgrade => reply(502, "upstream_no_upgrade"),
            Self::UpstreamResponseTimeout => reply(504, "upstream_response_timeout"),
            Self::BackendRequestTimeout => reply(504, "backend_request_timeout"),
            Self::RequestTimeout => reply(504, "request_timeout"),
            Self::GrpcTimeout => reply(504, "grpc_timeout"),
            // These two have a status for a body that broke before the head was passed on; later they are but logged.
            Self::UpstreamBodyTruncated => reply(502, "upstream_body_truncated"),
            Self::UpstreamBodyTimeout => broken("upstream_body_timeout"),
            Self::UpstreamBodyInvalid(error) => reply(502, invalid_body_code(error)),
            Self::ClientClosed => broken("client_closed"),
            Self::ClientSendTimeout => broken("client_send_timeout"),
            Self::DrainAborted => broken("drain_aborted"),
            Self::TunnelIdle => broken("tunnel_idle_timeout"),
            Self::TunnelUpstreamClosed => broken("tunnel_upstream_closed"),
            Self::TunnelUpstreamStalled => broken("tunnel_upstream_stalled"),
            Self::Http1Required => broken("http1_required"),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use gateway_http::h1::FieldError;

    use super::*;

    /// Lists the variants without payload; one that is in neither list does not compile.
    macro_rules! units {
        ($type:ident: $($unit:ident)+; $($payload:ident)*) => {{
            let _ = |value: $type| match value {
                $($type::$unit => (),)+
                $($type::$payload(_) => (),)*
            };
            [$($type::$unit),+]
        }};
    }

    fn faults() -> [FieldError; 6] {
        units!(FieldError: BareLf BareCr ObsFold SpaceBeforeColon BadName BadValue;)
    }

    fn all() -> Vec<Reason> {
        let mut all = units!(Reason: Redirect CorsPreflight CorsOriginNotAllowed UnderscoreHeader NoListenerForAddress NoRoute PlaintextOnTls Misdirected RequestHeaderTimeout RequestBodyTimeout RequestBodyTooSlow
            OverloadConnections OverloadClient OverloadShare OverloadMemory OverloadRequests OverloadPending OverloadFlows FlowEvicted UpstreamUnreachable OverloadDescriptors FilteredRequestInvalid FilteredResponseInvalid NoEndpoints BackendTlsInvalid BackendTlsNoRoom UpstreamConnectFailed
            UpstreamConnectTimeout UpstreamReset UpstreamProtocolError UpstreamTooManyInterim UpstreamUnexpectedUpgrade UpstreamBadUpgrade UpstreamNoUpgrade UpstreamHttp2Upgrade UpstreamResponseTimeout
            TunnelIdle TunnelUpstreamClosed TunnelUpstreamStalled
            BackendRequestTimeout RequestTimeout GrpcTimeout UpstreamBodyTruncated UpstreamBodyTimeout ClientClosed
            ClientSendTimeout DrainAborted Http1Required;
            Request Path RequestBody WebSocket Miss Failure Response UpstreamBodyInvalid UpstreamTls)
        .to_vec();
        let requests = units!(RequestError: RequestLineTooLong HeadTooLarge TooManyHeaders BadRequestLine BadMethod
            BadTarget UnsupportedVersion Http2Preface TlsOnPlaintext MissingHost RepeatedHost BadHost BadContentLength
            RepeatedContentLength LengthWithTransferEncoding BadTransferEncoding UnsupportedTransferCoding
            TransferEncodingOnHttp10 ExpectationFailed ConnectNotSupported ConnectProtocolNotSupported TooManyConnectionOptions; Field);
        let responses = units!(ResponseError: HeadTooLarge TooManyHeaders BadStatusLine BadContentLength
            RepeatedContentLength LengthWithTransferEncoding BadTransferEncoding TransferEncodingOnHttp10
            TooManyConnectionOptions; Field);
        let bodies = units!(BodyError: BadChunkSize BadChunkLine ChunkExtensionsTooLong BadChunkEnd TrailersTooLarge
            TooLong Truncated; Trailer);
        let paths = units!(PathError: NotAbsolute BadEscape BadByte EncodedSeparator HiddenDotSegment;);
        let failures = units!(RuleErrorKind: RefNotPermitted BackendNotFound NoBackend InvalidKind UnsupportedProtocol
            InvalidRule UnknownCapability;);
        all.extend(requests.map(Reason::Request));
        all.extend(faults().map(|fault| Reason::Request(fault.into())));
        all.extend(responses.map(Reason::Response));
        all.extend(faults().map(|fault| Reason::Response(fault.into())));
        all.extend(bodies.map(Reason::RequestBody));
        all.extend(bodies.map(Reason::UpstreamBodyInvalid));
        all.push(Reason::RequestBody(BodyError::Trailer(FieldError::BareLf)));
        all.push(Reason::UpstreamBodyInvalid(BodyError::Trailer(FieldError::BareLf)));
        all.extend(paths.map(Reason::Path));
        all.extend(units!(HandshakeError: Method Body Key Version;).map(Reason::WebSocket));
        all.extend(failures.map(Reason::Failure));
        all.extend(RouteMiss::ALL.map(Reason::Miss));
        all.extend(BackendTlsError::ALL.map(Reason::UpstreamTls));
        all
    }

    /// Codes in the first column of the page's tables, with the statuses beside them.
    fn documented() -> BTreeMap<String, String> {
        let page = include_str!("../../../docs/reason-codes.md");
        let rows = page.lines().filter(|line| line.starts_with("| `"));
        rows.map(|line| {
            let mut cells = line.split('|').skip(1).map(|cell| cell.trim().trim_matches('`').to_owned());
            (cells.next().unwrap(), cells.next().unwrap())
        })
        .collect()
    }

    #[test]
    fn every_code_is_explained_with_its_status_and_no_other_is() {
        let listed: BTreeMap<String, String> = all()
            .into_iter()
            .map(|reason| {
                let status = match (reason, reason.status()) {
                    (Reason::Redirect, _) => "301–308".to_owned(),
                    (_, Some(status)) => status.to_string(),
                    (_, None) => "–".to_owned(),
                };
                (reason.code().to_owned(), status)
            })
            .collect();
        assert_eq!(documented(), listed);
    }

    #[test]
    fn codes_are_snake_case_and_failures_have_those_of_the_ir() {
        for reason in all() {
            let code = reason.code();
            assert!(
                code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{code}"
            );
            if let Reason::Failure(kind) = reason {
                assert_eq!(code, kind.to_string());
            }
        }
    }

    #[test]
    fn a_code_never_means_two_statuses() {
        let mut seen = BTreeMap::new();
        for reason in all() {
            let status = *seen.entry(reason.code()).or_insert(reason.status());
            assert_eq!(status, reason.status(), "{}", reason.code());
        }
    }
}
