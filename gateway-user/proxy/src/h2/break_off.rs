//! The end of a response that cannot go on.

use std::cell::RefCell;

use h2::Reason as Code;
use http::HeaderValue;

use super::sink::Sender;
use crate::Reason;
use crate::observe::record::RequestRecord;

/// Ends a response where it is; true if the client is told by a status.
pub(super) fn break_off(record: &mut RequestRecord, sender: &RefCell<Sender>, reason: Reason) -> bool {
    record.reason = Some(reason);
    if record.is_grpc && end_call(sender, reason) {
        return true;
    }
    let code = match reason {
        Reason::ClientClosed | Reason::ClientSendTimeout => Code::CANCEL,
        Reason::Http1Required => Code::HTTP_1_1_REQUIRED,
        _ => Code::INTERNAL_ERROR,
    };
    sender.borrow_mut().reset(code);
    false
}

/// Ends a call whose response has begun with a status, as a backend would: a reset says nothing of a deadline. False if there
/// is nobody to tell, or no response that could end so.
fn end_call(sender: &RefCell<Sender>, reason: Reason) -> bool {
    if matches!(reason, Reason::ClientClosed | Reason::ClientSendTimeout) {
        return false;
    }
    let mut sender = sender.borrow_mut();
    let Some(stream) = &mut sender.stream else { return false };
    let mut trailers = http::HeaderMap::with_capacity(2);
    let code = reason.grpc_code(reason.status().unwrap_or(503)).text();
    trailers.insert("grpc-status", HeaderValue::from_static(code));
    trailers.insert("grpc-message", HeaderValue::from_static(reason.code()));
    stream.send_trailers(trailers).is_ok()
}
