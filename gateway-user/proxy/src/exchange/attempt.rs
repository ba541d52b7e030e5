//! One attempt at a response: from the request's head on a connection to the head of the response.

use super::progress::Progress;
use super::wire::{AttemptError, HeadTimeout, ResponseSink, ResponseSource};
use crate::Reason;
use crate::body::ends::Sink;
use crate::body::pacing::SendTimeout;
use crate::exchange::deliver;

/// Most interim responses to one request. One with 100 and one with 103 are usual, 102 may be repeated (RFC 2518 section
/// 10.1); who sends more keeps a client and a connection busy without ever responding.
const MAX_INTERIM: u32 = 8;

/// The end of an attempt. The request may still be on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttemptEnd {
    /// A final head has come.
    Response,
    /// A head has come that changes protocols, as was asked for.
    Upgraded,
    /// The backend closed without a word: it may not have seen the request.
    Retryable,
    /// The backend has not seen the request.
    Unprocessed,
    Failed(Reason),
}

impl From<Result<bool, AttemptError>> for AttemptEnd {
    fn from(switches: Result<bool, AttemptError>) -> Self {
        match switches {
            Ok(false) => Self::Response,
            Ok(true) => Self::Upgraded,
            Err(AttemptError::BeforeResponse) => Self::Retryable,
            Err(AttemptError::Unprocessed) => Self::Unprocessed,
            Err(AttemptError::For(reason)) => Self::Failed(reason),
        }
    }
}

/// Receives up to a final head; passes interim ones on. True if it changes protocols.
pub(super) async fn attempt<S: ResponseSource, K: ResponseSink>(
    source: &mut S,
    sink: &mut K,
    progress: &Progress,
) -> Result<bool, AttemptError> {
    let mut interim = 0;
    loop {
        source.head(HeadTimeout { limit: progress.waits.response_header, progress }).await?;
        if source.switches().map_err(AttemptError::For)? {
            return Ok(true);
        }
        let head = source.parts();
        if !head.is_interim() {
            return Ok(false);
        }
        interim += 1;
        if interim > MAX_INTERIM {
            return Err(AttemptError::For(Reason::UpstreamTooManyInterim));
        }
        sink.interim(&head).map_err(|_| AttemptError::For(Reason::FilteredResponseInvalid))?;
        sink.body()
            .flush(SendTimeout::of(progress.waits.client_send.limit))
            .await
            .map_err(|fault| AttemptError::For(deliver::reason(&fault)))?;
    }
}
