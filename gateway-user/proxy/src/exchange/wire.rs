//! The protocols on the two sides of an exchange, as it sees them. HTTP/1.1 is one implementation, a script in tests another one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gateway_http::head::{HeadEdits, RequestParts, ResponseParts};

use super::progress::Progress;
use crate::Reason;
use crate::body::ends::{PumpError, Sink, Source};
use crate::clock::now;
use crate::upstream::{Cluster, Tried};

/// The two sides of one exchange.
pub(crate) trait Wire {
    type Lease: Lease;
    type RequestSource<'a>: RequestSource
    where
        Self: 'a;
    type RequestSink<'a>: Sink
    where
        Self: 'a;
    type ResponseSource<'a>: ResponseSource
    where
        Self: 'a;
    type ResponseSink<'a>: ResponseSink
    where
        Self: 'a;

    /// The request's head.
    fn request(&self) -> RequestParts<'_>;

    /// True if the request is to change protocols.
    fn wants_upgrade(&self) -> bool;

    /// True if a field of the request has `_` in its name.
    fn has_underscores(&self) -> bool;

    /// Forgets the request's fields whose name `keep` does not want.
    fn retain_fields(&mut self, keep: impl FnMut(&[u8]) -> bool);

    /// Takes a connection to an endpoint of a cluster: with `reuse` one that has carried requests before, if there is one.
    ///
    /// # Errors
    /// Why there is none.
    async fn lease(
        &mut self,
        cluster: &Cluster,
        reuse: bool,
        tried: &mut Tried<'_>,
    ) -> Result<Self::Lease, Reason>;

    /// Queues the request's head, changed by `edits`, on a leased connection: it goes out with the first flush.
    ///
    /// # Errors
    /// The head cannot be sent like that, or the body is not taken.
    fn begin(&mut self, lease: &mut Self::Lease, edits: &HeadEdits) -> Result<(), Reason>;

    /// Both directions of the request that was begun. Large, so it is to stay where it is made.
    fn halves<'a>(&'a mut self, lease: &'a mut Self::Lease, progress: &'a Progress) -> Halves<'a, Self>;

    /// Keeps the request's head for as long as the exchange lasts: it may have to be sent again behind its body.
    fn keep_head(&mut self) {}

    /// Returns once there is nobody left to respond to, between two attempts.
    async fn gone(&mut self, progress: &Progress);

    /// Ends a lease whose response was delivered. One that is dropped instead is closed, or reset.
    fn release(&mut self, lease: Self::Lease, then: Release);
}

/// Both directions of an exchange, each from its source to its sink.
pub(crate) struct Halves<'a, W: Wire + ?Sized + 'a> {
    pub(crate) request_source: W::RequestSource<'a>,
    pub(crate) request_sink: W::RequestSink<'a>,
    pub(crate) response_source: W::ResponseSource<'a>,
    pub(crate) response_sink: W::ResponseSink<'a>,
}

/// A connection to a backend, or a stream on one, for the length of a request.
pub(crate) trait Lease {
    /// The backend.
    fn address(&self) -> SocketAddr;
    /// It has carried a request before.
    fn is_reused(&self) -> bool;
    /// It is logged in, so no other client's requests may go on it.
    fn is_private(&self) -> bool;
}

/// The fate of a lease after its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// Another request may take it.
    Shared,
    /// Another request of the same client may take it.
    Private,
    /// It is the backend's side of a tunnel.
    Tunnel,
    /// It gets the rest of the request, which its backend still reads, and nothing more.
    Relay,
    /// The rest of its response is passed on once the exchange is over.
    Left,
}

/// The request's body, and the client behind it.
pub(crate) trait RequestSource {
    type Body: Source;
    /// The body.
    fn body(&mut self) -> &mut Self::Body;
    /// Returns once there is nobody left to respond to. Only to be asked once the body is at its end, or is read no more.
    async fn gone(&mut self);
}

/// The response of a backend: heads, then a body.
pub(crate) trait ResponseSource {
    type Body: Source;
    /// Receives the next head, interim or final.
    ///
    /// # Errors
    /// Why there is none.
    async fn head(&mut self, timeout: HeadTimeout<'_>) -> Result<(), AttemptError>;
    /// The head received last.
    fn parts(&self) -> ResponseParts<'_>;
    /// True if the head received last changes protocols, as the request asked for.
    ///
    /// # Errors
    /// It changes them, and the request did not ask for that.
    fn switches(&self) -> Result<bool, Reason>;
    /// Begins the body behind a final head. What follows one that changes protocols is the tunnel's.
    ///
    /// # Errors
    /// It is longer than bodies may be.
    fn begin_body(&mut self) -> Result<(), PumpError>;
    /// The body, once it has begun.
    fn body(&mut self) -> &mut Self::Body;
    /// Leaves with the lease what is needed to go on with the body.
    fn leave(&mut self) {}
    /// True if the connection can carry another request. To be asked once the body is at its end.
    fn is_reusable(&self) -> bool;
}

/// The way of a response to the client: heads, then a body.
pub(crate) trait ResponseSink {
    /// A login that counts for a connection can count for this client's: one request follows the other on it.
    const CARRIES_LOGINS: bool;
    type Body: Sink;
    /// The body, and what goes out with it.
    fn body(&mut self) -> &mut Self::Body;
    /// Queues an interim head.
    ///
    /// # Errors
    /// It is too long.
    fn interim(&mut self, head: &ResponseParts<'_>) -> Result<(), HeadTooLong>;
    /// Prepares a final head, changed by `edits`; [`Sink::begin`] queues it.
    ///
    /// # Errors
    /// It is too long.
    fn head(&mut self, head: &ResponseParts<'_>, edits: &HeadEdits) -> Result<(), HeadTooLong>;
    /// The same of a head that changes protocols; gives the status that the client is told.
    ///
    /// # Errors
    /// It is too long.
    fn switch(&mut self, head: &ResponseParts<'_>, edits: &HeadEdits) -> Result<u16, HeadTooLong>;
}

/// A head is longer than heads that are sent may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadTooLong;

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptError {
    For(Reason),
    /// The backend closed before the first byte of a response: on a reused connection it may not have seen the request.
    BeforeResponse,
    /// The backend says that it has not looked at the request, or never had it.
    Unprocessed,
}

/// How long the head of a response may take. The limit runs from the end of the request, and for a head that begins before
/// that from its first byte: one that drips is given no more time for each byte.
#[derive(Clone, Copy)]
pub(crate) struct HeadTimeout<'a> {
    pub(crate) limit: Duration,
    pub(crate) progress: &'a Progress,
}

impl AttemptError {
    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::For(reason) => reason,
            Self::BeforeResponse | Self::Unprocessed => Reason::UpstreamReset,
        }
    }
}

impl HeadTimeout<'_> {
    /// The time left for a head of which the first byte came at `begun`.
    ///
    /// # Errors
    /// It is over.
    pub(crate) fn left(&self, begun: Option<Instant>) -> Result<Duration, AttemptError> {
        let since_begun = begun.map(|begun| now().saturating_duration_since(begun));
        match self.progress.since_upload().max(since_begun) {
            Some(since) if since >= self.limit => Err(AttemptError::For(Reason::UpstreamResponseTimeout)),
            Some(since) => Ok(self.limit.saturating_sub(since)),
            // The request is still on its way: how long that may take is the client's affair.
            None => Ok(self.limit),
        }
    }
}
