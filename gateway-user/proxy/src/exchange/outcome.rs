//! The end of an exchange. What becomes of the client's connection, or of one stream of it, is its protocol's affair.

use std::rc::Rc;

use crate::Reason;
use crate::context::Routed;
use crate::upstream::Permit;

/// An exchange's end.
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    /// The request's body was received to its end while the exchange ran.
    pub(crate) request_read: bool,
}

/// How an exchange ended.
pub(crate) enum Outcome {
    /// The client has the backend's response whole, or is sent the rest of what has come.
    Done,
    /// The rest of the response is still to come. The wire has the backend's side; its place among the backend's requests
    /// is kept until then.
    Left(Permit),
    /// The client was told that protocols change. The wire has the backend's side; its place among the backend's requests is
    /// kept as long as the tunnel is there.
    Upgraded(Permit),
    /// No response has begun, and this one is to be sent.
    LocalReply(LocalReply),
    /// There will be no more of a response than the client has.
    Reset(Reason),
}

/// A response that the gateway makes itself.
pub(crate) struct LocalReply {
    pub(crate) reason: Reason,
    pub(crate) status: u16,
    /// The rule whose filters change the fields of a redirect. Its `Location` is in the exchange's scratch storage.
    pub(crate) redirect: Option<Rc<Routed>>,
}

impl Outcome {
    /// A local reply for a reason; none for one that has no status.
    pub(crate) fn reply(reason: Reason) -> Self {
        match reason.status() {
            Some(status) => Self::LocalReply(LocalReply { reason, status, redirect: None }),
            None => Self::Reset(reason),
        }
    }
}

impl From<Outcome> for Ended {
    /// Before anything was received but the head.
    fn from(outcome: Outcome) -> Self {
        Self { outcome, request_read: false }
    }
}
