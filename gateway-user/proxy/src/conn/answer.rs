//! Answers of our own.

use std::io::Write as _;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use gateway_http::h1::encode::{LocalReply, Persistence, local_reply};
use gateway_http::h1::{BodyDecoder, Method, Version, status};
use gateway_io::{Chunk, Stream};
use gateway_snapshot::rewrite::Redirect;

use super::body::{Patience, decode, flush};
use super::linger::{Left, Linger};
use super::record::{RequestEnd, Text};
use super::route::Match;
use super::scratch::Scratch;
use super::session::{Head, Next, Session};
use super::sink::ChunkSink;
use crate::Reason;
use crate::error::After;
use crate::filters::{self, Asked};
use crate::worker::{Refused, Worker};

/// How long a client that is over the limit may take to hear so.
const REFUSAL_LIMIT: Duration = Duration::from_secs(1);

/// Answers a request before anything was forwarded. `head` is `None` if there is no valid one.
pub(super) async fn own(
    session: &mut Session,
    scratch: &mut Scratch,
    end: &mut RequestEnd,
    head: Option<&Head>,
    reason: Reason,
) -> Next {
    let whole = head.is_some_and(|head| take_request(session, &mut scratch.request_body, end, head));
    send(session, &scratch.text, end, head, reason, reason.status(), &[], whole).await
}

/// Answers with a redirect, and with what the rule's filters change of its fields.
pub(super) async fn redirect(
    session: &mut Session,
    scratch: &mut Scratch,
    end: &mut RequestEnd,
    head: &Head,
    redirect: &Redirect,
    found: &Match,
) -> Next {
    let Scratch { request, request_body, path, target, text, .. } = scratch;
    let request = request.view(session.inbox.as_deref().unwrap_or_default());
    let asked = Asked {
        host: request.host().or(session.server_name()).unwrap_or_default(),
        scheme: session.scheme(),
        listener_port: session.bind.get().port(),
        path: if path.is_empty() { request.path() } else { path },
        matched_len: found.matched_len,
    };
    filters::location(redirect, &request, asked, target);
    let whole = take_request(session, request_body, end, head);
    let changes = &found.routed.rule.filters;
    let (location, changed): ([(&str, &[u8]); 1], _);
    let fields = if changes.response.is_empty() {
        location = [("location", target)];
        location.as_slice()
    } else {
        changed = filters::redirect_fields(changes, target);
        changed.as_slice()
    };
    send(session, text, end, Some(head), Reason::Redirect, Some(redirect.status), fields, whole).await
}

/// Takes the request out of the inbox, and its body if all of it is there already. Otherwise the connection can't be
/// used again: the rest of the body would have to be waited for.
pub(super) fn take_request(
    session: &mut Session,
    decoder: &mut BodyDecoder,
    end: &mut RequestEnd,
    head: &Head,
) -> bool {
    let Some(mut inbox) = session.inbox.take() else { return false };
    inbox.advance(head.len);
    if head.asked.framing.is_empty() {
        session.inbox = Some(inbox);
        return true;
    }
    if decoder.begin(head.asked.framing).is_err() {
        return false;
    }
    match decode(decoder, inbox) {
        Ok(piece) => {
            end.received = piece.data.len() as u64;
            session.inbox = piece.rest;
            piece.finished
        }
        Err(_) => false,
    }
}

/// Sends the answer; `whole` tells whether the request was read to its end. Nothing is sent for a reason that has no
/// status.
#[expect(clippy::too_many_arguments, reason = "the parts of one answer, in the order they are written")]
pub(super) async fn send(
    session: &mut Session,
    text: &Text,
    end: &mut RequestEnd,
    head: Option<&Head>,
    reason: Reason,
    status: Option<u16>,
    fields: &[(&str, &[u8])],
    whole: bool,
) -> Next {
    end.reason = Some(reason);
    let Some(status) = status else { return Next::Close };
    let keep =
        whole && reason.after() == After::Stay && head.is_some_and(|head| session.may_stay(head.asked));
    let version = head.map_or(Version::Http11, |head| head.asked.version);
    let to_head = head.is_some_and(|head| head.asked.method == Method::Head);
    let worker = session.worker();
    let reply = Reply {
        reason: session.shows_reason().then_some(reason),
        status,
        fields,
        to_head,
        persistence: Persistence::new(version, keep),
    };
    let written = write(worker, text, &reply).or_else(|| {
        // Of all that is answered here only what filters add can be too long.
        let reason = Reason::FilteredResponseInvalid;
        end.reason = Some(reason);
        let shown = session.shows_reason().then_some(reason);
        let status = reason.status().unwrap_or(500);
        write(worker, text, &Reply { reason: shown, status, fields: &[], ..reply })
    });
    let Some((out, body, status)) = written else { return Next::Close };
    let limit = Patience::of(worker.config.timeouts.client_send);
    session.stream.send.queue(out);
    let kill = session.membership().control.clone();
    end.status = status;
    match kill.kill.unless(pin!(flush(&mut session.stream.send, limit))).await {
        Some(Ok(())) => {
            end.sent = body;
            if keep {
                return Next::Stay;
            }
            let left = match head {
                Some(_) if whole => Left::Nothing,
                // It has had its time.
                _ if matches!(reason, Reason::RequestBodyTimeout | Reason::RequestBodyTooSlow) => {
                    Left::Nothing
                }
                Some(_) if !matches!(reason, Reason::RequestBody(_)) => Left::Body,
                _ => Left::Unknown,
            };
            Next::Linger(Linger::after(left))
        }
        Some(Err(_)) | None => Next::Close,
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
fn write(worker: &Worker, text: &Text, reply: &Reply<'_>) -> Option<(Chunk, u64, u16)> {
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
pub(super) fn unasked(session: &mut Session, reason: Reason) {
    let mut end = RequestEnd::begin(session.peer.ip());
    end.reason = Some(reason);
    let mut text = Text::default();
    text.take_refused(session.inbox.as_deref().unwrap_or_default());
    let status = reason.status().unwrap_or(503);
    let reply = Reply {
        reason: session.shows_reason().then_some(reason),
        status,
        fields: &[],
        to_head: false,
        persistence: Persistence::Close,
    };
    if let Some((out, body, _)) = write(session.worker(), &text, &reply) {
        (end.status, end.sent) = (status, body);
        session.stream.send.queue(out);
    }
    end.finish(session.worker(), &text, None, session.peer, session.local);
}

/// Tells a client why it has no place. Its request is not read.
pub(super) async fn refuse(
    place: Refused,
    mut stream: Stream,
    peer: SocketAddr,
    local: SocketAddr,
    reason: Reason,
) {
    let worker = place.worker();
    let mut end = RequestEnd::begin(peer.ip());
    end.reason = Some(reason);
    let text = Text::default();
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
        if flush(&mut stream.send, Patience::of(REFUSAL_LIMIT)).await.is_ok() {
            (end.status, end.sent) = (status, body);
            stream.close_lingering(64 * 1024, REFUSAL_LIMIT).await;
        }
    }
    end.finish(worker, &text, None, peer, local);
}
