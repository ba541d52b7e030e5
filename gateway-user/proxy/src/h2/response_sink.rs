//! Responses to clients over HTTP/2.

use gateway_http::h2::response;
use gateway_http::head::{BodyLength, HeadEdits, ResponseParts};

use http::StatusCode;
use http::header::SEC_WEBSOCKET_ACCEPT;

use super::sink::{H2Sink, Sender};
use crate::exchange::wire::{HeadTooLong, ResponseSink};

/// The way of one response to its client.
pub(super) struct H2ResponseSink<'a> {
    pub(super) body: H2Sink<'a, Sender>,
}

impl<'a> ResponseSink for H2ResponseSink<'a> {
    const CARRIES_LOGINS: bool = false;
    type Body = H2Sink<'a, Sender>;

    fn body(&mut self) -> &mut H2Sink<'a, Sender> {
        &mut self.body
    }

    fn interim(&mut self, head: &ResponseParts<'_>) -> Result<(), HeadTooLong> {
        let head = response(head, &HeadEdits::new()).ok_or(HeadTooLong)?;
        // Fails for a stream that is gone, as the response will.
        let _ = self.body.to.borrow_mut().response.send_informational(head);
        Ok(())
    }

    fn head(&mut self, head: &ResponseParts<'_>, edits: &HeadEdits) -> Result<(), HeadTooLong> {
        self.body.is_empty = matches!(head.length, BodyLength::None(_) | BodyLength::Known(0));
        self.body.head = Some(response(head, edits).ok_or(HeadTooLong)?);
        Ok(())
    }

    fn switch(&mut self, head: &ResponseParts<'_>, edits: &HeadEdits) -> Result<u16, HeadTooLong> {
        self.body.is_empty = false;
        let mut response = response(head, edits).ok_or(HeadTooLong)?;
        // The stream is the tunnel; the key that this one fits was ours (RFC 8441 section 5).
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
        self.body.head = Some(response);
        Ok(StatusCode::OK.as_u16())
    }
}
