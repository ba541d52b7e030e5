//! Persistence of a client's HTTP/1.1 connection after a response (RFC 9112 section 9.3).

use gateway_http::h1::BodyFraming;
use gateway_http::head::BodyLength;

use super::head::RequestMeta;
use crate::Reason;

/// The facts beside the request's own wish.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// The request was received to its end.
    pub(crate) request_read: bool,
    /// The client has finished sending.
    pub(crate) half_closed: bool,
    pub(crate) draining: bool,
}

/// The framing of a response for the client, and true if its connection stays after it.
pub(crate) fn of_response(meta: RequestMeta, length: BodyLength, standing: Standing) -> (BodyFraming, bool) {
    let (framing, must_close) = BodyFraming::for_client(length, meta.version);
    let Standing { request_read, half_closed, draining } = standing;
    // A response before the request's end leaves the connection in the middle of a body.
    let whole = request_read || meta.framing.is_empty();
    (framing, meta.keep_alive && !must_close && !draining && !half_closed && whole)
}

/// True if an orderly close could be taken for the end of a response that broke. `begun` tells whether the client has its
/// head, `until_close` whether it ends with the connection.
pub(crate) fn would_look_whole(begun: bool, until_close: bool, reason: Reason) -> bool {
    begun && (until_close || reason == Reason::ClientSendTimeout)
}
