//! A response that was delivered, and what follows from that for its connection and its exchange.

use gateway_http::head::RequestParts;

use super::progress::Progress;
use super::wire::Release;
use super::{Ended, Outcome};
use crate::Reason;
use crate::upstream::logs_connections_in;

/// The state of a response when its attempt is over.
pub(super) enum Delivered {
    Whole,
    /// It has changed protocols.
    Switched,
    /// The rest of it is to come.
    Left,
}

/// The fate of a lease whose response was delivered; `None` if it is dropped.
pub(super) fn release(progress: &Progress, reusable: bool) -> Option<Release> {
    match progress.uploaded.get() {
        true if reusable && progress.logs_in.get() => Some(Release::Private),
        true if reusable => Some(Release::Shared),
        // It has responded early and still reads.
        false if progress.goes_on() => Some(Release::Relay),
        _ => None,
    }
}

/// True if a request brings credentials that count for its connection.
pub(super) fn logs_in(request: &RequestParts<'_>) -> bool {
    let fields = request.fields;
    let [own, proxy] = ["authorization", "proxy-authorization"].map(|name| fields.get_all(name.as_bytes()));
    own.chain(proxy).any(logs_connections_in)
}

/// The outcome; a local reply if no response has begun.
#[inline(always)] // A call would move all of the progress.
pub(super) fn conclude(progress: Progress, result: Result<Delivered, Reason>) -> Ended {
    let request_read = progress.read.get();
    let outcome = match result {
        Ok(Delivered::Whole) => Outcome::Done,
        Ok(Delivered::Switched) => Outcome::Upgraded(progress.permit),
        Ok(Delivered::Left) => Outcome::Left(progress.permit),
        Err(reason) if progress.may_reply() => Outcome::reply(reason),
        Err(reason) => Outcome::Reset(reason),
    };
    Ended { outcome, request_read }
}
