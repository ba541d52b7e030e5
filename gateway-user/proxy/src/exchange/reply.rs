//! local replies.

use std::io::Write as _;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use gateway_http::h1::encode::{LocalReply, Persistence, local_reply};
use gateway_http::h1::{BodyDecoder, Method, Version, status};
use gateway_io::{Chunk, Stream};
use gateway_snapshot::rewrite::Redirect;

use crate::Reason;
use crate::body::pump::{SendTimeout, decode, flush};
use crate::exchange::route::MatchedRoute;
use crate::filters::{self, RedirectContext};
use crate::h1::linger::{Linger, Remaining};
use crate::h1::scratch::Scratch;
use crate::h1::server::{Disposition, Head, ServerConnection};
use crate::h1::sink::ChunkSink;
use crate::observe::record::{RequestRecord, RequestText};
use crate::reason::AfterReply;
use crate::worker::{OverloadSlot, Worker};

/// How long a client that is over the limit may take to hear so.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Answers a request before anything was forwarded. `head` is `None` if there is no valid one.
pub(crate) async fn send_local_reply(
    conn: &mut ServerConnection,
    scratch: &mut Scratch,
    record: &mut RequestRecord,
    head: Option<&Head>,
    reason: Reason,
) -> Disposition {
    let whole = head.is_some_and(|head| consume_request(conn, &mut scratch.request_body, record, head));
    send(conn, &scratch.text, record, head, reason, reason.status(), &[], whole).await
}

/// Answers with a redirect, and with what the rule's filters change of its fields.
pub(crate) async fn redirect(
    conn: &mut ServerConnection,
    scratch: &mut Scratch,
    record: &mut RequestRecord,
    head: &Head,
    redirect: &Redirect,
    found: &MatchedRoute,
) -> Disposition {
    let Scratch { request, request_body, path, target, text, .. } = scratch;
    let request = request.view(conn.inbox.as_deref().unwrap_or_default());
    let meta = RedirectContext {
        host: request.host().or(conn.server_name()).unwrap_or_default(),
        scheme: conn.scheme(),
        listener_port: conn.bind.get().port(),
        path: if path.is_empty() { request.path() } else { path },
        matched_len: found.matched_len,
    };
    filters::location(redirect, &request, meta, target);
    let whole = consume_request(conn, request_body, record, head);
    let changes = &found.routed.rule.filters;
    let (location, changed): ([(&str, &[u8]); 1], _);
    let fields = if changes.response.is_empty() {
        location = [("location", target)];
        location.as_slice()
    } else {
        changed = filters::redirect_fields(changes, target);
        changed.as_slice()
    };
    send(conn, text, record, Some(head), Reason::Redirect, Some(redirect.status), fields, whole).await
}

/// Takes the request out of the inbox, and its body if all of it is there already. Otherwise the connection can't be
/// used again: the rest of the body would have to be waited for.
pub(crate) fn consume_request(
    conn: &mut ServerConnection,
    decoder: &mut BodyDecoder,
    record: &mut RequestRecord,
    head: &Head,
) -> bool {
    let Some(mut inbox) = conn.inbox.take() else { return false };
    inbox.advance(head.len);
    if head.meta.framing.is_empty() {
        conn.inbox = Some(inbox);
        return true;
    }
    if decoder.begin(head.meta.framing).is_err() {
        return false;
    }
    match decode(decoder, inbox) {
        Ok(piece) => {
            record.received = piece.data.len() as u64;
            conn.inbox = piece.rest;
            piece.finished
        }
        Err(_) => false,
    }
}

/// Sends the response; `whole` tells whether the request was read to its end. Nothing is sent for a reason that has no
/// status.
#[expect(clippy::too_many_arguments, reason = "the parts of one answer, in the order they are written")]
pub(crate) async fn send(
    conn: &mut ServerConnection,
    text: &RequestText,
    record: &mut RequestRecord,
    head: Option<&Head>,
    reason: Reason,
    status: Option<u16>,
    fields: &[(&str, &[u8])],
    whole: bool,
) -> Disposition {
    record.reason = Some(reason);
    let Some(status) = status else { return Disposition::Close };
    let keep =
        whole && reason.after() == AfterReply::KeepAlive && head.is_some_and(|head| conn.may_stay(head.meta));
    let version = head.map_or(Version::Http11, |head| head.meta.version);
    let to_head = head.is_some_and(|head| head.meta.method == Method::Head);
    let worker = conn.worker();
    let reply = Reply {
        reason: conn.shows_reason().then_some(reason),
        status,
        fields,
        to_head,
        persistence: Persistence::new(version, keep),
    };
    let written = write(worker, text, &reply).or_else(|| {
        // Of all that is answered here only what filters add can be too long.
        let reason = Reason::FilteredResponseInvalid;
        record.reason = Some(reason);
        let shown = conn.shows_reason().then_some(reason);
        let status = reason.status().unwrap_or(500);
        write(worker, text, &Reply { reason: shown, status, fields: &[], ..reply })
    });
    let Some((out, body, status)) = written else { return Disposition::Close };
    let limit = SendTimeout::of(worker.config.timeouts.client_send);
    conn.stream.send.queue(out);
    let kill = conn.slot().control.clone();
    record.status = status;
    match kill.kill.unless(pin!(flush(&mut conn.stream.send, limit))).await {
        Some(Ok(())) => {
            record.sent = body;
            if keep {
                return Disposition::KeepAlive;
            }
            let left = match head {
                Some(_) if whole => Remaining::Nothing,
                // It has had its time.
                _ if matches!(reason, Reason::RequestBodyTimeout | Reason::RequestBodyTooSlow) => {
                    Remaining::Nothing
                }
                Some(_) if !matches!(reason, Reason::RequestBody(_)) => Remaining::Body,
                _ => Remaining::Unknown,
            };
            Disposition::Linger(Linger::after(left))
        }
        Some(Err(_)) | None => Disposition::Close,
    }
}

/// The parts of a local reply.
struct Reply<'a> {
    /// Why there is one, for clients that are told so.
    reason: Option<Reason>,
    status: u16,
    /// Besides our own.
    fields: &'a [(&'a str, &'a [u8])],
    to_head: bool,
    persistence: Persistence,
}

/// Writes head and body of a local reply; gives the body's length and the status too. `None` if it can't be: a field is too long.
fn write(worker: &Worker, text: &RequestText, reply: &Reply<'_>) -> Option<(Chunk, u64, u16)> {
    let Reply { reason, status, fields, to_head, persistence } = *reply;
    let mut body = [0; 128];
    let room = body.len();
    let mut rest = body.as_mut_slice();
    // Cut off if it should not fit; codes and phrases are far shorter.
    let _ = match reason {
        Some(reason) => writeln!(rest, "{status} {}: {}", status::phrase(status), reason.code()),
        None => writeln!(rest, "{status} {}", status::phrase(status)),
    };
    let length = room - rest.len();
    let body = body.get(..length).unwrap_or_default();
    let id: &[(&str, &[u8])] = &[("x-request-id", text.id())];
    let has = |name: &str| fields.iter().any(|(other, _)| *other == name);
    let (has_date, has_type) = (has("date"), has("content-type"));
    let id = if text.id().is_empty() || has("x-request-id") { &[] } else { id };
    // The codec takes one list.
    let (two, all): ([(&str, &[u8]); 2], _);
    let fields = match (fields, id) {
        ([field], [id]) => {
            two = [*field, *id];
            two.as_slice()
        }
        ([], id) => id,
        (fields, []) => fields,
        (fields, id) => {
            all = [fields, id].concat();
            all.as_slice()
        }
    };
    let mut out = Chunk::take();
    let date = worker.clock.http_date();
    let content = LocalReply {
        status,
        reason: reason.map_or("", Reason::code),
        fields,
        date: (!has_date).then_some(&date),
        content_type: (!has_type).then_some("text/plain; charset=utf-8"),
        body,
        to_head,
        persistence,
    };
    local_reply(&mut ChunkSink::new(&mut out), &content).ok()?;
    Some((out, if to_head { 0 } else { length as u64 }, status))
}

/// Queues a response in the clear for a client whose request is not read.
pub(crate) fn reply_before_request(conn: &mut ServerConnection, reason: Reason) {
    let mut record = RequestRecord::begin(conn.peer.ip());
    record.reason = Some(reason);
    let mut text = RequestText::default();
    text.take_refused(conn.inbox.as_deref().unwrap_or_default());
    let status = reason.status().unwrap_or(503);
    let reply = Reply {
        reason: conn.shows_reason().then_some(reason),
        status,
        fields: &[],
        to_head: false,
        persistence: Persistence::Close,
    };
    if let Some((out, body, _)) = write(conn.worker(), &text, &reply) {
        (record.status, record.sent) = (status, body);
        conn.stream.send.queue(out);
    }
    record.finish(conn.worker(), &text, None, conn.peer, conn.local);
}

/// Tells a client why it has no place. Its request is not read.
pub(crate) async fn refuse(
    place: OverloadSlot,
    mut stream: Stream,
    peer: SocketAddr,
    local: SocketAddr,
    reason: Reason,
) {
    let worker = place.worker();
    let mut record = RequestRecord::begin(peer.ip());
    record.reason = Some(reason);
    let text = RequestText::default();
    let status = reason.status().unwrap_or(503);
    let reply = Reply {
        reason: worker.config.shows_reason(peer.ip()).then_some(reason),
        status,
        fields: &[],
        to_head: false,
        persistence: Persistence::Close,
    };
    if let Some((out, body, _)) = write(worker, &text, &reply) {
        stream.send.queue(out);
        if flush(&mut stream.send, SendTimeout::of(REFUSAL_TIMEOUT)).await.is_ok() {
            (record.status, record.sent) = (status, body);
            stream.close_lingering(64 * 1024, REFUSAL_TIMEOUT).await;
        }
    }
    record.finish(worker, &text, None, peer, local);
}
