//! Forwarding: an endpoint, a connection, an exchange; a second one if the first connection was stale.

use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use gateway_http::h1::encode::{self, RequestOptions};
use gateway_http::h1::{BodyFraming, Request};
use gateway_io::{AssertCancelSafe, Chunk, with_deadline};
use gateway_snapshot::{Destination, Target};

use super::answer;
use super::download::{Delivered, Download};
use super::exchange::{Failed, Progress, Upload, crossed, exchange};
use super::linger::{Left, Linger, Relay};
use super::record::RequestEnd;
use super::route::Match;
use super::scratch::Scratch;
use super::session::{Head, Next, Session};
use super::sink::ChunkSink;
use super::turns::Turns;
use crate::Reason;
use crate::config::UnderscoreHeaders;
use crate::fault::{self, Stage};
use crate::filters::{Arrival, RequestTrailers, drop_shadows, edit_request, rewrite_url, set_forwarded};
use crate::upstream::{Cluster, Lease, Tried, lease, logs_connections_in};
use crate::worker::{Routed, Worker};

/// Sends a request to a backend and its answer to the client.
pub(super) async fn forward(
    session: &mut Session,
    scratch: &mut Scratch,
    end: &mut RequestEnd,
    head: &Head,
    found: Match,
    target: &Target,
) -> Next {
    let Match { live, routed, matched_len } = found;
    let cluster = match &target.destination {
        Destination::Fail(failure) => {
            return answer::own(session, scratch, end, Some(head), Reason::Failure(failure.kind)).await;
        }
        Destination::Cluster(id) => live.cluster(*id, &session.worker().upstreams),
    };
    // From here on only the rule is held: a long exchange keeps no tables alive.
    drop(live);
    let Some(cluster) = cluster.filter(|cluster| !cluster.is_empty()) else {
        return answer::own(session, scratch, end, Some(head), Reason::NoEndpoints).await;
    };
    let seat = match cluster.load.enter(&session.worker().config) {
        Ok(seat) => seat,
        Err(reason) => {
            session.worker().metrics.borrow_mut().counters.upstream_overloaded += 1;
            return answer::own(session, scratch, end, Some(head), reason).await;
        }
    };
    if edit(session, scratch, target, matched_len).is_err() {
        return answer::own(session, scratch, end, Some(head), Reason::FilteredRequestInvalid).await;
    }
    let progress = Progress::new(seat);
    let limit = Limit::of(&routed, session.worker(), end.began);
    let end_of_limit = limit.as_ref().and_then(|limit| Instant::now().checked_add(limit.left));
    let membership = session.membership().control.clone();
    let result = {
        // Pinned where it is made: passed on by value it would be moved, and kept, at every level.
        let mut attempts = pin!(attempts(session, scratch, end, head, &cluster, target, &progress));
        let limited = pin!(async {
            match limit {
                // Dropping the attempts drops no operation: those belong to the streams.
                Some(limit) => match with_deadline(limit.left, AssertCancelSafe(attempts.as_mut())).await {
                    // What broke after the limit is no better an answer than the limit.
                    Ok(Err(_)) if end_of_limit.is_some_and(|end| Instant::now() >= end) => {
                        Err(Failed::For(limit.reason))
                    }
                    Ok(result) => result,
                    Err(_) => Err(Failed::For(limit.reason)),
                },
                None => attempts.as_mut().await,
            }
        });
        membership.kill.unless(limited).await.unwrap_or(Err(Failed::For(Reason::DrainAborted)))
    };
    // Whatever is still to be said, the backend has no part in it.
    progress.seat.answered();
    note(end, &progress);
    conclude(session, scratch, end, head, &progress, result).await
}

/// A response that was given to the client whole, and the backend if it still takes the request.
type Outcome = (Delivered, Option<Box<Relay>>);

/// The shorter of the two limits that a rule may set.
struct Limit {
    left: Duration,
    reason: Reason,
}

impl Limit {
    fn of(routed: &Routed, worker: &Worker, began: Instant) -> Option<Self> {
        let timeouts = routed.rule.timeouts;
        let own = worker.config.timeouts.request;
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
    session: &Session,
    scratch: &mut Scratch,
    target: &Target,
    matched_len: usize,
) -> Result<(), gateway_http::h1::EditError> {
    let Scratch { request, request_edits: edits, path, target: storage, text, .. } = scratch;
    let worker = session.worker();
    let config = &worker.config;
    let underscores = request.has_underscores() || target.filters.have_underscores();
    let request = request.view(session.inbox.as_deref().unwrap_or_default());
    // Before our own fields are set: what is removed later takes what was set with it.
    if underscores && config.underscore_headers != UnderscoreHeaders::Keep {
        drop_shadows(&target.filters, &request, edits, |name| {
            text.note_dropped(name);
            worker.metrics.borrow_mut().counters.underscore_headers_dropped += 1;
        })?;
    }
    if !config.request_trailers && request.announces_trailers() {
        edits.remove(b"trailer")?;
    }
    let arrival = Arrival {
        peer: session.peer.ip(),
        trusted: session.trusted,
        scheme: session.scheme(),
        port: session.bind.get().port(),
        request_id: text.id(),
    };
    set_forwarded(&request, &arrival, edits)?;
    if let (None, Some(name)) = (request.authority(), session.server_name()) {
        // HTTP/1.0 without `Host`: it was routed by the name of the connection.
        edits.set_host(name)?;
    }
    let path = if path.is_empty() { request.path() } else { path.as_slice() };
    rewrite_url(&target.filters, &request, path, matched_len, storage, edits)?;
    edit_request(&target.filters, edits)
}

/// Leases and exchanges until an attempt counts.
async fn attempts(
    session: &mut Session,
    scratch: &mut Scratch,
    end: &mut RequestEnd,
    head: &Head,
    cluster: &Cluster,
    target: &Target,
    progress: &Progress,
) -> Result<Outcome, Failed> {
    let worker = Rc::clone(session.worker());
    let mut tried = Tried::default();
    // RFC 9110 section 9.2.2: only what may be done twice, and only where no octet of a body is spent.
    let replayable = head.asked.method.is_idempotent() && head.asked.framing.is_empty();
    let mut reuse = true;
    loop {
        let own = session.private.as_mut().filter(|_| reuse).and_then(|private| private.take(cluster));
        let mut lease = match own {
            Some(lease) => lease,
            None => lease(&worker, cluster, reuse, &mut tried).await.map_err(Failed::For)?,
        };
        end.upstream = Some(lease.backend().address);
        end.upstream_began = Some(Instant::now());
        let request = scratch.request.view(session.inbox.as_deref().unwrap_or_default());
        progress.logs_in.set(lease.private || logs_in(&request));
        fault::strike(&worker.config, &request, Stage::Leased);
        let result = attempt(session, scratch, head, &mut lease, target, progress).await;
        match result {
            Ok(delivered) => {
                if progress.uploaded.get() {
                    match delivered.reusable {
                        true if progress.logs_in.get() => {
                            lease.keep_private(session.private.get_or_insert_default());
                        }
                        true => lease.keep(&worker),
                        false => {}
                    }
                } else if progress.goes_on() {
                    // It has responded early and still reads.
                    let chunked = head.asked.framing == BodyFraming::Chunked;
                    return Ok((delivered, Some(Box::new(Relay { lease, chunked }))));
                }
                return Ok((delivered, None));
            }
            Err(Failed::BeforeAnswer) if lease.reused && replayable && reuse => {
                // The connection may have closed as the request was on its way: a fresh one tells.
                worker.metrics.borrow_mut().counters.upstream_retries += 1;
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
    session: &mut Session,
    scratch: &mut Scratch,
    head: &Head,
    lease: &mut Lease,
    target: &Target,
    progress: &Progress,
) -> Result<Delivered, Failed> {
    let worker = Rc::clone(session.worker());
    let mut out = Chunk::take();
    let request = scratch.request.view(session.inbox.as_deref().unwrap_or_default());
    let options = RequestOptions { framing: head.asked.framing, upgrade: None, close: false };
    encode::request(&mut ChunkSink::new(&mut out), &request, &scratch.request_edits, &options)
        .map_err(|_| Failed::For(Reason::FilteredRequestInvalid))?;
    lease.stream.send.queue(out);
    let framing = head.asked.framing;
    scratch.request_body.begin(framing).map_err(|error| Failed::For(Reason::RequestBody(error)))?;
    let (first, watch) = if framing.is_empty() {
        // The head stays in the inbox until the answer is there: the request may have to be sent again.
        let nothing_behind = session.inbox.as_ref().is_none_or(|inbox| inbox.len() <= head.len);
        (None, nothing_behind && !progress.has_rest())
    } else {
        let mut inbox = session.inbox.take();
        inbox.iter_mut().for_each(|inbox| inbox.advance(head.len));
        (inbox, true)
    };
    let (up, down) = crossed(&mut session.stream, &mut lease.stream);
    let mut upload = Upload {
        worker: &worker,
        from: up.0,
        to: up.1,
        decoder: &mut scratch.request_body,
        framing,
        first,
        watch,
        trailers: RequestTrailers::of(&worker.config, &target.filters),
        turns: Turns::of(&worker),
        progress,
    };
    let mut download = Download {
        worker: &worker,
        from: down.0,
        to: down.1,
        head: &mut scratch.response,
        edits: &mut scratch.response_edits,
        decoder: &mut scratch.response_body,
        filters: &target.filters,
        asked: head.asked,
        progress,
    };
    exchange(&mut upload, &mut download).await
}

/// Takes what the record needs.
fn note(end: &mut RequestEnd, progress: &Progress) {
    end.status = progress.status.get();
    end.received = progress.received.get();
    end.sent = progress.sent.get();
    end.upstream_head = match (end.upstream_began, progress.answered_at.get()) {
        (Some(began), Some(answered)) => Some(answered.saturating_duration_since(began)),
        _ => None,
    };
}

/// What becomes of the client's connection; an answer of our own if none has begun.
async fn conclude(
    session: &mut Session,
    scratch: &mut Scratch,
    end: &mut RequestEnd,
    head: &Head,
    progress: &Progress,
    result: Result<Outcome, Failed>,
) -> Next {
    // With the body the inbox was taken, unless there was no backend.
    let untouched = session.inbox.is_some();
    let whole = if head.asked.framing.is_empty() || untouched {
        answer::take_request(session, &mut scratch.request_body, end, head)
    } else {
        progress.read.get()
    };
    if let Some(rest) = progress.rest.take() {
        // Only taken where the inbox has nothing behind the request.
        session.inbox = Some(rest);
    }
    let reason = match result {
        Ok((Delivered { keep: true, .. }, _)) if whole => return Next::Stay,
        Ok((_, relay)) => {
            let unread = session.inbox.as_ref().is_some_and(|inbox| !inbox.is_empty());
            if whole && !unread {
                return Next::Close;
            }
            let left = if whole { Left::Nothing } else { Left::Body };
            return Next::Linger(Linger { left, until_close: progress.until_close.get(), relay });
        }
        Err(Failed::BeforeAnswer) => Reason::UpstreamReset,
        Err(Failed::For(reason)) => reason,
    };
    if progress.may_answer() {
        return answer::send(session, &scratch.text, end, Some(head), reason, reason.status(), &[], whole)
            .await;
    }
    end.reason = Some(reason);
    if progress.until_close.get() || reason == Reason::ClientSendTimeout { Next::Reset } else { Next::Close }
}
