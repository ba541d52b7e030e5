//! The response's way to the client, from its head to its last byte.

use std::time::Instant;

use gateway_http::head::{Fields, HeadEdits};

use super::progress::Progress;
use super::wire::{AttemptError, ResponseSink, ResponseSource};
use crate::Reason;
use crate::body::coop_budget::CoopBudget;
use crate::body::ends::{PumpError, Sink as _};
use crate::body::pacing::Pacing;
use crate::body::pump::{Pump, PumpEnd, ResponseStart};
use crate::context::WorkerContext;
use crate::filters::{OnResponse, edit_response};
use crate::upstream::logs_connections_in;

/// The end of the response's way through the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// It has come whole.
    Whole {
        /// The backend's connection can carry another request.
        reusable: bool,
    },
    /// Its client takes so little that the rest of it goes on elsewhere.
    Left,
}

/// Edits the response's head and passes head and body on.
pub(super) async fn deliver<S: ResponseSource, K: ResponseSink>(
    context: &WorkerContext,
    (source, sink): (&mut S, &mut K),
    edits: &mut HeadEdits,
    on_response: OnResponse<'_>,
    progress: &Progress,
) -> Result<Delivery, AttemptError> {
    let head = source.parts();
    let status = head.status;
    if matches!(status, 401 | 407) && challenges(head.fields) {
        if !K::CARRIES_LOGINS {
            return Err(AttemptError::For(Reason::Http1Required));
        }
        progress.logs_in.set(true);
    }
    let invalid = AttemptError::For(Reason::FilteredResponseInvalid);
    edits.clear();
    edit_response(on_response, head.fields, || context.clock.http_date(), edits).map_err(|_| invalid)?;
    sink.head(&head, edits).map_err(|_| invalid)?;
    source.begin_body().map_err(|fault| AttemptError::For(reason(&fault)))?;
    let mut pump = Pump {
        source: source.body(),
        sink: sink.body(),
        pacing: Pacing {
            wait: progress.waits.upstream_body,
            min_rate: None,
            send_timeout: progress.waits.client_send,
            budget: CoopBudget::of(context),
        },
        trailers: None,
        head: Some(ResponseStart { status, started: &progress.status }),
        bytes: &progress.sent,
        progress: &progress.download_at,
    };
    match pump.run().await.map_err(|fault| AttemptError::For(reason(&fault)))? {
        PumpEnd::Whole => Ok(Delivery::Whole { reusable: source.is_reusable() }),
        PumpEnd::Left => {
            source.leave();
            Ok(Delivery::Left)
        }
    }
}

/// Edits a head that changes protocols and tells the client so. What follows it is no response's body.
pub(super) async fn switch<S: ResponseSource, K: ResponseSink>(
    context: &WorkerContext,
    (source, sink): (&mut S, &mut K),
    edits: &mut HeadEdits,
    on_response: OnResponse<'_>,
    progress: &Progress,
) -> Result<(), AttemptError> {
    let head = source.parts();
    let invalid = AttemptError::For(Reason::FilteredResponseInvalid);
    edits.clear();
    edit_response(on_response, head.fields, || context.clock.http_date(), edits).map_err(|_| invalid)?;
    let status = sink.switch(&head, edits).map_err(|_| invalid)?;
    progress.status.set(status);
    source.begin_body().map_err(|fault| AttemptError::For(reason(&fault)))?;
    sink.body().begin();
    sink.body().flush(progress.waits.client_send).await.map_err(|fault| AttemptError::For(reason(&fault)))
}

/// Notes that the backend has responded.
pub(super) fn note_head(progress: &Progress) {
    progress.responded_at.set(Some(Instant::now()));
    progress.permit.response_began();
}

/// True if the client is asked for credentials that count for a connection.
fn challenges(fields: Fields<'_>) -> bool {
    let [own, proxy] = ["www-authenticate", "proxy-authenticate"].map(|name| fields.get_all(name.as_bytes()));
    own.chain(proxy).any(logs_connections_in)
}

/// Why a response is not delivered whole.
pub(crate) fn reason(fault: &PumpError) -> Reason {
    match fault {
        PumpError::SourceLost => Reason::UpstreamBodyTruncated,
        // Backends have no pace: event streams say little.
        PumpError::SourceTimeout | PumpError::SourceSlow => Reason::UpstreamBodyTimeout,
        PumpError::Body(error) => Reason::UpstreamBodyInvalid(*error),
        PumpError::SinkLost => Reason::ClientClosed,
        PumpError::SinkTimeout => Reason::ClientSendTimeout,
    }
}
