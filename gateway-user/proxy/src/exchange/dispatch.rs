//! Forwarding: an endpoint, a connection, an exchange; a second one if the first connection was stale.

use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use gateway_http::h1::encode::{self, RequestOptions};
use gateway_http::h1::{BodyFraming, Request};
use gateway_io::{AssertCancelSafe, Chunk, with_deadline};
use gateway_snapshot::{Destination, Target};

use crate::Reason;
use crate::body::coop_budget::CoopBudget;
use crate::config::UnderscoreHeaders;
use crate::connection::info::ConnInfo;
use crate::context::{Routed, WorkerContext};
use crate::exchange::attempt::{AttemptError, Progress, Upload, exchange, split_directions};
use crate::exchange::deliver::{Delivered, Download};
use crate::exchange::route::MatchedRoute;
use crate::exchange::{Done, Ended, Outcome};
use crate::fault::{self, Stage};
use crate::filters::{Arrival, RequestTrailers, drop_shadows, edit_request, rewrite_url, set_forwarded};
use crate::h1::linger::Relay;
use crate::h1::scratch::Scratch;
use crate::h1::server::{Head, ServerConnection};
use crate::h1::sink::ChunkSink;
use crate::observe::record::RequestRecord;
use crate::upstream::{Cluster, Lease, Tried, lease, logs_connections_in};

/// Sends a request to a backend and its response to the client.
pub(crate) async fn forward(
    conn: &mut ServerConnection,
    scratch: &mut Scratch,
    record: &mut RequestRecord,
    head: &Head,
    found: MatchedRoute,
    target: &Target,
) -> Ended {
    let MatchedRoute { live, routed, matched_len } = found;
    let cluster = match &target.destination {
        Destination::Fail(failure) => {
            return Outcome::reply(Reason::Failure(failure.kind)).into();
        }
        Destination::Cluster(id) => live.cluster(*id, &conn.info.context.upstreams),
    };
    // From here on only the rule is held: a long exchange keeps no tables alive.
    drop(live);
    let Some(cluster) = cluster.filter(|cluster| !cluster.is_empty()) else {
        return Outcome::reply(Reason::NoEndpoints).into();
    };
    let permit = match cluster.load.enter(&conn.info.context.config) {
        Ok(permit) => permit,
        Err(reason) => {
            conn.info.context.metrics.borrow_mut().counters.upstream_overloaded += 1;
            return Outcome::reply(reason).into();
        }
    };
    if edit(&conn.info, conn.received(), scratch, target, matched_len).is_err() {
        return Outcome::reply(Reason::FilteredRequestInvalid).into();
    }
    let progress = Progress::new(permit);
    let limit = Limit::of(&routed, &conn.info.context, record.began);
    let end_of_limit = limit.as_ref().and_then(|limit| Instant::now().checked_add(limit.left));
    let control = Rc::clone(&conn.info.control);
    let result = {
        // Pinned where it is made: passed on by value it would be moved, and kept, at every level.
        let mut attempts = pin!(attempts(conn, scratch, record, head, &cluster, target, &progress));
        let limited = pin!(async {
            match limit {
                // Dropping the attempts drops no operation: those belong to the streams.
                Some(limit) => match with_deadline(limit.left, AssertCancelSafe(attempts.as_mut())).await {
                    // What broke after the limit is no better a response than the limit.
                    Ok(Err(_)) if end_of_limit.is_some_and(|end| Instant::now() >= end) => {
                        Err(AttemptError::For(limit.reason))
                    }
                    Ok(result) => result,
                    Err(_) => Err(AttemptError::For(limit.reason)),
                },
                None => attempts.as_mut().await,
            }
        });
        control.kill.unless(limited).await.unwrap_or(Err(AttemptError::For(Reason::DrainAborted)))
    };
    // Whatever is still to be said, the backend has no part in it.
    progress.permit.response_began();
    note(record, &progress);
    conclude(&progress, result)
}

/// A response that was given to the client whole, and the backend if it still takes the request.
type DeliveredTo = (Delivered, Option<Box<Relay>>);

/// The shorter of the two limits that a rule may set.
struct Limit {
    left: Duration,
    reason: Reason,
}

impl Limit {
    fn of(routed: &Routed, context: &WorkerContext, began: Instant) -> Option<Self> {
        let timeouts = routed.rule.timeouts;
        let own = context.config.timeouts.request;
        let request = timeouts.request_ms.map_or(own, Duration::from_millis);
        let backend = timeouts.backend_request_ms.map(Duration::from_millis).unwrap_or_default();
        let request = (!request.is_zero())
            .then(|| Self { left: request.saturating_sub(began.elapsed()), reason: Reason::RequestTimeout });
        let backend =
            (!backend.is_zero()).then_some(Self { left: backend, reason: Reason::BackendRequestTimeout });
        match (request, backend) {
            (Some(request), Some(backend)) if backend.left < request.left => Some(backend),
            (None, backend) => backend,
            (request, _) => request,
        }
    }
}

/// Collects what changes in the head: what every proxy does, then the filters of rule and backend.
fn edit(
    info: &ConnInfo,
    received: &[u8],
    scratch: &mut Scratch,
    target: &Target,
    matched_len: usize,
) -> Result<(), gateway_http::h1::EditError> {
    let Scratch { request, request_edits: edits, path, target: storage, text, .. } = scratch;
    let context = &info.context;
    let config = &context.config;
    let underscores = request.has_underscores() || target.filters.have_underscores();
    let request = request.view(received);
    // Before our own fields are set: what is removed later takes what was set with it.
    if underscores && config.underscore_headers != UnderscoreHeaders::Keep {
        drop_shadows(&target.filters, &request, edits, |name| {
            text.note_dropped(name);
            context.metrics.borrow_mut().counters.underscore_headers_dropped += 1;
        })?;
    }
    if !config.request_trailers && request.announces_trailers() {
        edits.remove(b"trailer")?;
    }
    let arrival = Arrival {
        peer: info.peer.ip(),
        trusted: info.trusted,
        scheme: info.scheme(),
        port: info.bind.get().port(),
        request_id: text.id(),
    };
    set_forwarded(&request, &arrival, edits)?;
    if let (None, Some(name)) = (request.authority(), info.server_name()) {
        // HTTP/1.0 without `Host`: it was routed by the name of the connection.
        edits.set_host(name)?;
    }
    let path = if path.is_empty() { request.path() } else { path.as_slice() };
    rewrite_url(&target.filters, &request, path, matched_len, storage, edits)?;
    edit_request(&target.filters, edits)
}

/// Leases and exchanges until an attempt counts.
async fn attempts(
    conn: &mut ServerConnection,
    scratch: &mut Scratch,
    record: &mut RequestRecord,
    head: &Head,
    cluster: &Cluster,
    target: &Target,
    progress: &Progress,
) -> Result<DeliveredTo, AttemptError> {
    let context = Rc::clone(&conn.info.context);
    let mut tried = Tried::default();
    // RFC 9110 section 9.2.2: only what may be done twice, and only where no byte of a body is spent.
    let replayable = head.meta.method.is_idempotent() && head.meta.framing.is_empty();
    let mut reuse = true;
    loop {
        let own = conn.private.as_mut().filter(|_| reuse).and_then(|private| private.take(cluster));
        let mut lease = match own {
            Some(lease) => lease,
            None => lease(&context, cluster, reuse, &mut tried).await.map_err(AttemptError::For)?,
        };
        record.upstream = Some(lease.backend().address);
        record.upstream_began = Some(Instant::now());
        let request = scratch.request.view(conn.received());
        progress.logs_in.set(lease.private || logs_in(&request));
        fault::inject(&context.config, &request, Stage::Leased);
        let result = attempt(conn, scratch, head, &mut lease, target, progress).await;
        match result {
            Ok(delivered) => {
                if progress.uploaded.get() {
                    match delivered.reusable {
                        true if progress.logs_in.get() => {
                            lease.keep_private(conn.private.get_or_insert_default());
                        }
                        true => lease.keep(&context),
                        false => {}
                    }
                } else if progress.goes_on() {
                    // It has responded early and still reads.
                    let chunked = head.meta.framing == BodyFraming::Chunked;
                    return Ok((delivered, Some(Box::new(Relay { lease, chunked }))));
                }
                return Ok((delivered, None));
            }
            Err(AttemptError::BeforeResponse) if lease.reused && replayable && reuse => {
                // The connection may have closed as the request was on its way: a fresh one tells.
                context.metrics.borrow_mut().counters.upstream_retries += 1;
                progress.restart();
                reuse = false;
            }
            Err(failed) => return Err(failed),
        }
    }
}

/// True if a request brings credentials that count for its connection.
fn logs_in(request: &Request<'_>) -> bool {
    let fields = request.fields();
    let [own, proxy] = ["authorization", "proxy-authorization"].map(|name| fields.get_all(name.as_bytes()));
    own.chain(proxy).any(logs_connections_in)
}

/// One exchange on one connection.
async fn attempt(
    conn: &mut ServerConnection,
    scratch: &mut Scratch,
    head: &Head,
    lease: &mut Lease,
    target: &Target,
    progress: &Progress,
) -> Result<Delivered, AttemptError> {
    let context = Rc::clone(&conn.info.context);
    let mut out = Chunk::take();
    let request = scratch.request.view(conn.received());
    let options = RequestOptions { framing: head.meta.framing, upgrade: None, close: false };
    encode::request(&mut ChunkSink::new(&mut out), &request, &scratch.request_edits, &options)
        .map_err(|_| AttemptError::For(Reason::FilteredRequestInvalid))?;
    lease.stream.send.queue(out);
    let framing = head.meta.framing;
    scratch.request_body.begin(framing).map_err(|error| AttemptError::For(Reason::RequestBody(error)))?;
    let (first, watch) = if framing.is_empty() {
        // The head stays in the inbox until the response is there: the request may have to be sent again.
        let nothing_behind = conn.inbox.as_ref().is_none_or(|inbox| inbox.len() <= head.len);
        (None, nothing_behind && !progress.has_rest())
    } else {
        let mut inbox = conn.inbox.take();
        inbox.iter_mut().for_each(|inbox| inbox.advance(head.len));
        (inbox, true)
    };
    let (up, down) = split_directions(&mut conn.stream, &mut lease.stream);
    let mut upload = Upload {
        context: &context,
        from: up.0,
        to: up.1,
        decoder: &mut scratch.request_body,
        framing,
        first,
        watch,
        trailers: RequestTrailers::of(&context.config, &target.filters),
        budget: CoopBudget::of(&context),
        progress,
    };
    let mut download = Download {
        context: &context,
        from: down.0,
        to: down.1,
        head: &mut scratch.response,
        edits: &mut scratch.response_edits,
        decoder: &mut scratch.response_body,
        filters: &target.filters,
        meta: head.meta,
        progress,
    };
    exchange(&mut upload, &mut download).await
}

/// Takes what the record needs.
fn note(record: &mut RequestRecord, progress: &Progress) {
    record.status = progress.status.get();
    record.received = progress.received.get();
    record.sent = progress.sent.get();
    record.upstream_head = match (record.upstream_began, progress.answered_at.get()) {
        (Some(began), Some(answered)) => Some(answered.saturating_duration_since(began)),
        _ => None,
    };
}

/// The outcome; a local reply if no response has begun.
fn conclude(progress: &Progress, result: Result<DeliveredTo, AttemptError>) -> Ended {
    let until_close = progress.until_close.get();
    let outcome = match result {
        Ok((Delivered { keep, .. }, relay)) => Outcome::Done(Done { keep_alive: keep, until_close, relay }),
        Err(error) => {
            let reason = error.reason();
            match progress.may_answer() {
                true => Outcome::reply(reason),
                false => {
                    Outcome::Reset { reason, orderly: !until_close && reason != Reason::ClientSendTimeout }
                }
            }
        }
    };
    Ended { outcome, request_read: progress.read.get(), rest: progress.rest.take() }
}
