//! The request's way to the backend. Its head is queued already.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use super::progress::Progress;
use super::wire::{AttemptError, RequestSource};
use crate::Reason;
use crate::body::coop_budget::CoopBudget;
use crate::body::ends::{PumpError, Sink, Source};
use crate::body::min_rate::MinRate;
use crate::body::pacing::{Pacing, SendTimeout};
use crate::body::pump::{Pump, discard};
use crate::body::replay::Replay;
use crate::body::replayed::Replayed;
use crate::context::WorkerContext;
use crate::filters::RequestTrailers;

/// The upload of one attempt.
pub(super) struct Upload<'a, S, K> {
    pub(super) context: &'a WorkerContext,
    pub(super) source: &'a mut S,
    pub(super) sink: &'a mut K,
    /// Policy for its trailers.
    pub(super) trailers: RequestTrailers<'a>,
    pub(super) progress: &'a Progress,
    /// Keeps a copy of the body for another attempt.
    pub(super) replay: &'a Replay<'a>,
}

/// The request's way ended before the response's: the client is at fault, or gone, and the exchange is over.
pub(super) struct ClientEnd(Reason);

/// An upload that runs beside each step of its response.
pub(super) struct Uploading<'a, F> {
    run: Pin<&'a mut F>,
    /// Why the exchange is over.
    ended: Option<Reason>,
}

impl<S: RequestSource, K: Sink> Upload<'_, S, K> {
    /// Sends the request, then waits for the client to be gone. Returns only if the exchange cannot go on.
    pub(super) async fn run(self) -> ClientEnd {
        let Self { context, source, sink, trailers, progress, replay } = self;
        {
            let mut body = Replayed::new(source.body(), replay);
            match send(context, (&mut body, sink), trailers, progress).await {
                Ok(()) => {
                    progress.uploaded.set(true);
                    progress.read.set(true);
                    progress.end_upload();
                    if let Some(copies) = progress.copies.take() {
                        copies.send(replay.take());
                    }
                }
                Err(fault) => {
                    if let Some(reason) = fault_of_client(&fault) {
                        return ClientEnd(reason);
                    }
                    progress.end_upload();
                    // The backend takes no more; it may have responded all the same. A client that writes all of its
                    // request before it reads would not see that if nobody took the rest.
                    let min_rate = min_rate(progress);
                    match discard(&mut body, progress.waits.client_body, &min_rate).await {
                        Ok(()) => progress.read.set(true),
                        Err(PumpError::SourceLost) => return ClientEnd(Reason::ClientClosed),
                        Err(_) => return pending().await,
                    }
                }
            }
        }
        // The next request may come early, and then waits; the end of the connection may end the exchange.
        source.gone().await;
        ClientEnd(Reason::ClientClosed)
    }
}

async fn send<S: Source, K: Sink>(
    context: &WorkerContext,
    (source, sink): (&mut S, &mut K),
    trailers: RequestTrailers<'_>,
    progress: &Progress,
) -> Result<(), PumpError> {
    let waits = progress.waits;
    let pacing = Pacing {
        wait: waits.client_body,
        min_rate: Some(min_rate(progress)),
        send_timeout: SendTimeout::of(waits.upstream_body),
        budget: CoopBudget::of(context),
    };
    let mut pump = Pump {
        source,
        sink,
        pacing,
        trailers: Some(trailers),
        head: None,
        bytes: &progress.received,
        progress: &progress.upload_at,
    };
    pump.run().await.map(drop)
}

/// The client's. A response that has begun asks for no pace of its request.
fn min_rate(progress: &Progress) -> MinRate<'_> {
    MinRate::new(progress.waits.client_rate, progress.waits.client_body, &progress.status)
}

/// Why the exchange is over, unless it is the backend that takes no more.
fn fault_of_client(fault: &PumpError) -> Option<Reason> {
    match fault {
        PumpError::SourceLost => Some(Reason::ClientClosed),
        PumpError::SourceTimeout => Some(Reason::RequestBodyTimeout),
        PumpError::SourceSlow => Some(Reason::RequestBodyTooSlow),
        PumpError::Body(error) => Some(Reason::RequestBody(*error)),
        PumpError::SinkLost | PumpError::SinkTimeout => None,
    }
}

impl<'a, F: Future<Output = ClientEnd>> Uploading<'a, F> {
    pub(super) fn new(run: Pin<&'a mut F>) -> Self {
        Self { run, ended: None }
    }

    /// Runs a step of the response's way, and the upload beside it. Both may be dropped at any point: operations belong to
    /// the connections.
    pub(super) async fn beside<T>(
        &mut self,
        mut step: Pin<&mut impl Future<Output = Result<T, AttemptError>>>,
    ) -> Result<T, AttemptError> {
        poll_fn(|cx| {
            if self.ended.is_none()
                && let Poll::Ready(ClientEnd(reason)) = self.run.as_mut().poll(cx)
            {
                self.ended = Some(reason);
            }
            match (step.as_mut().poll(cx), self.ended) {
                // A client that has had all of its response may have left.
                (Poll::Ready(Ok(done)), _) => Poll::Ready(Ok(done)),
                (_, Some(reason)) => Poll::Ready(Err(AttemptError::For(reason))),
                (step, None) => step,
            }
        })
        .await
    }
}
