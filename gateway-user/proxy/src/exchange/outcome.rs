//! The end of an exchange. What becomes of the client's connection, or of one stream of it, is its protocol's affair.

use std::rc::Rc;

use gateway_io::Chunk;

use crate::Reason;
use crate::context::Routed;
use crate::h1::linger::Relay;

/// An exchange's end, and how far its request was received.
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    /// The request's body was received to its end while the exchange ran.
    pub(crate) request_read: bool,
    /// Bytes received behind the request.
    pub(crate) rest: Option<Chunk>,
}

/// How an exchange ended.
pub(crate) enum Outcome {
    /// The client has the backend's response whole.
    Done(Done),
    /// No response has begun, and this one is to be sent.
    LocalReply(LocalReply),
    /// There will be no more of a response than the client has.
    Reset {
        reason: Reason,
        /// An orderly close could not be taken for the response's end.
        orderly: bool,
    },
}

/// A response that was delivered.
pub(crate) struct Done {
    /// The client was told that its connection stays.
    pub(crate) keep_alive: bool,
    /// The response ends with the connection.
    pub(crate) until_close: bool,
    /// The backend, if it has responded early and still takes the request.
    pub(crate) relay: Option<Box<Relay>>,
}

/// A response that the gateway makes itself.
pub(crate) struct LocalReply {
    pub(crate) reason: Reason,
    pub(crate) status: u16,
    /// The rule whose filters change the fields of a redirect. Its `Location` is in the request's scratch storage.
    pub(crate) redirect: Option<Rc<Routed>>,
}

impl Outcome {
    /// A local reply for a reason; none for one that has no status.
    pub(crate) fn reply(reason: Reason) -> Self {
        match reason.status() {
            Some(status) => Self::LocalReply(LocalReply { reason, status, redirect: None }),
            None => Self::Reset { reason, orderly: true },
        }
    }
}

impl From<Outcome> for Ended {
    /// Before anything was received but the head.
    fn from(outcome: Outcome) -> Self {
        Self { outcome, request_read: false, rest: None }
    }
}
