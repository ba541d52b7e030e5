//! Forwarding: an endpoint, a connection, an attempt; a second one if the first connection was stale.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Instant;

use gateway_ir::BackendProtocol;
use gateway_snapshot::{Destination, Target};

use super::attempt::{AttemptEnd, attempt};
use super::deliver::{Delivery, deliver, note_head, switch};
use super::delivered::{Delivered, conclude, logs_in, release};
use super::limit::{self, Limit};
use super::progress::Progress;
use super::retries::Forwarding;
use super::route::MatchedRoute;
use super::upload::{Upload, Uploading};
use super::waits::Waits;
use super::wire::{AttemptError, Lease as _, Release, ResponseSink, Wire};
use super::{Ended, Exchange, Outcome};
use crate::Reason;
use crate::body::replay::Replay;
use crate::clock::within;
use crate::fault::{self, Stage};
use crate::filters::{OnResponse, RequestTrailers};
use crate::upstream::{Cluster, Tried};

/// The step that follows an attempt.
enum Decision {
    /// Its response goes to the client.
    Deliver,
    /// The same, and bytes that are no HTTP follow both ways.
    Switch,
    /// The request is sent again, on a connection that has carried none.
    Retry,
    Fail(Reason),
}

impl<W: Wire> Exchange<'_, W> {
    /// Sends the request to a backend and its response to the client.
    pub(super) async fn forward(&mut self, found: MatchedRoute, target: &Target) -> Ended {
        let MatchedRoute { live, routed, matched_len } = found;
        let context = &self.info.context;
        let cluster = match &target.destination {
            Destination::Fail(failure) => return Outcome::reply(Reason::Failure(failure.kind)).into(),
            Destination::Cluster(id) => live.cluster(*id, &routed.listener, &context.upstreams),
        };
        if let Some(fault) = cluster.as_ref().and_then(|cluster| cluster.fault()) {
            return Outcome::reply(fault).into();
        }
        let Some(cluster) = cluster.filter(|cluster| !cluster.is_empty()) else {
            return Outcome::reply(Reason::NoEndpoints).into();
        };
        let permit = match cluster.load.enter(&context.config) {
            Ok(permit) => permit,
            Err(reason) => {
                context.metrics.borrow_mut().counters.upstream_overloaded += 1;
                return Outcome::reply(reason).into();
            }
        };
        let copies = match target.mirrors.is_empty() {
            true => None,
            false => self.copies(&live, &routed, target, matched_len),
        };
        // From here on only the rule is held: a long exchange keeps no tables alive.
        drop(live);
        if self.edit_request(&target.filters, matched_len).is_err() {
            return Outcome::reply(Reason::FilteredRequestInvalid).into();
        }
        if let Some(retry) = &routed.rule.retry {
            let routed = Rc::clone(&routed);
            let forwarding = Forwarding { cluster, target, routed, permit, copies };
            return self.forward_with_retries(retry, forwarding).await;
        }
        // Where a slow message holds a connection, as with HTTP/1.1, calls have the limits of any request.
        let is_stream = self.record.is_grpc && cluster.protocol == BackendProtocol::Http2;
        let deadline = self.record.is_grpc.then(|| limit::deadline(&self.wire.request())).flatten();
        let limit = Limit::of(&routed, self.record.began, deadline);
        let waits = Waits::of(&routed.settings.timeouts, is_stream);
        let ends_at = |limit: &Limit| Some((Instant::now().checked_add(limit.left)?, limit.reason));
        let progress = Progress::new(permit, waits, limit.as_ref().and_then(ends_at));
        if copies.is_some() {
            progress.copies.set(copies);
        }
        let end_of_limit = progress.limit.map(|(end, _)| end);
        let control = Rc::clone(&self.info.control);
        let result = {
            // Pinned where it is made: passed on by value it would be moved, and kept, at every level.
            let mut attempts = pin!(self.attempts(&cluster, target, &progress));
            let limited = pin!(async {
                match limit {
                    // Dropping the attempts drops no operation: those belong to the connections.
                    Some(limit) => match within(limit.left, attempts.as_mut()).await {
                        // Past the deadline the timeout is reported, not the error that it caused.
                        Some(Err(_)) if end_of_limit.is_some_and(|end| Instant::now() >= end) => {
                            Err(limit.reason)
                        }
                        Some(result) => result,
                        None => Err(limit.reason),
                    },
                    None => attempts.as_mut().await,
                }
            });
            control.kill.unless(limited).await.unwrap_or(Err(Reason::DrainAborted))
        };
        // Whatever is still to be said, the backend has no part in it.
        progress.permit.response_began();
        self.note(&progress);
        conclude(progress, result)
    }

    /// Leases, attempts and decides until a response is delivered.
    async fn attempts(
        &mut self,
        cluster: &Cluster,
        target: &Target,
        progress: &Progress,
    ) -> Result<Delivered, Reason> {
        let context = &*self.info.context;
        let mut tried = Tried::default();
        let mut reuse = true;
        let is_mirrored = !target.mirrors.is_empty() && is_set(&progress.copies);
        let replay = Replay::new(cluster.protocol == BackendProtocol::Http2, is_mirrored);
        let request = self.wire.request();
        let (idempotent, whole) = (request.method.is_idempotent(), !request.has_body);
        let logs_in = logs_in(&request);
        if logs_in && !<W::ResponseSink<'_> as ResponseSink>::CARRIES_LOGINS {
            return Err(Reason::Http1Required);
        }
        loop {
            let mut lease = self.wire.lease(cluster, reuse, &mut tried).await?;
            self.record.upstream = Some(lease.address());
            self.record.upstream_began = Some(Instant::now());
            progress.logs_in.set(lease.is_private() || logs_in);
            fault::inject(&context.config, || self.wire.request(), Stage::Leased);
            let may_retry = MayRetry {
                unanswered: reuse && idempotent && whole && lease.is_reused(),
                unprocessed: reuse,
            };
            let (then, delivered) = {
                self.wire.begin(&mut lease, &self.scratch.request_edits)?;
                let mut halves = self.wire.halves(&mut lease, progress);
                let (source, sink) = (&mut halves.request_source, &mut halves.request_sink);
                let (response, client) = (&mut halves.response_source, &mut halves.response_sink);
                let trailers = RequestTrailers::of(&context.config, &target.filters);
                let mut upload =
                    pin!(Upload { context, source, sink, trailers, progress, replay: &replay }.run());
                let mut upload = Uploading::new(upload.as_mut());
                let end = upload.beside(pin!(attempt(response, client, progress))).await;
                let switches = match decide(end.into(), may_retry, &replay) {
                    Decision::Deliver => false,
                    Decision::Switch => true,
                    Decision::Retry => {
                        context.metrics.borrow_mut().counters.upstream_retries += 1;
                        progress.restart();
                        reuse = false;
                        continue;
                    }
                    Decision::Fail(reason) => return Err(reason),
                };
                replay.give_up();
                note_head(progress);
                let edits = &mut self.scratch.response_edits;
                let on_response =
                    OnResponse { filters: &target.filters, own: self.scratch.own_fields.as_deref() };
                if switches {
                    let switch = pin!(switch(context, (response, client), edits, on_response, progress));
                    upload.beside(switch).await.map_err(AttemptError::reason)?;
                    (Some(Release::Tunnel), Delivered::Switched)
                } else {
                    let delivery = pin!(deliver(context, (response, client), edits, on_response, progress));
                    match upload.beside(delivery).await.map_err(AttemptError::reason)? {
                        Delivery::Whole { reusable } => (release(progress, reusable), Delivered::Whole),
                        Delivery::Left => (Some(Release::Left), Delivered::Left),
                    }
                }
            };
            if let Some(then) = then {
                self.wire.release(lease, then);
            }
            return Ok(delivered);
        }
    }

    /// Takes what the record needs.
    pub(super) fn note(&mut self, progress: &Progress) {
        let record = &mut *self.record;
        record.status = progress.status.get();
        record.received = progress.received.get();
        record.sent = progress.sent.get();
        record.upstream_head = match (record.upstream_began, progress.responded_at.get()) {
            (Some(began), Some(responded)) => Some(responded.saturating_duration_since(began)),
            _ => None,
        };
    }
}

/// The cases in which a request may be sent again, once.
#[derive(Clone, Copy)]
struct MayRetry {
    /// After its connection was closed: only what may be done twice (RFC 9110 section 9.2.2) and has no body, and only if the
    /// connection may have closed as the request was on its way.
    unanswered: bool,
    /// After its backend has not looked at it: whatever it asks for (RFC 9113 section 8.7), if its body is there.
    unprocessed: bool,
}

fn decide(end: AttemptEnd, may: MayRetry, body: &Replay<'_>) -> Decision {
    match end {
        AttemptEnd::Response => Decision::Deliver,
        AttemptEnd::Upgraded => Decision::Switch,
        AttemptEnd::Retryable if may.unanswered => Decision::Retry,
        AttemptEnd::Unprocessed if may.unprocessed && body.is_ready() => Decision::Retry,
        AttemptEnd::Retryable | AttemptEnd::Unprocessed => Decision::Fail(Reason::UpstreamReset),
        AttemptEnd::Failed(reason) => Decision::Fail(reason),
    }
}

/// True if there is something in a cell that can only be taken.
fn is_set<T>(cell: &Cell<Option<T>>) -> bool {
    let value = cell.take();
    let is_set = value.is_some();
    cell.set(value);
    is_set
}
