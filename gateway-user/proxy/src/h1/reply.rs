//! Local replies over HTTP/1.1.

use std::io::Write as _;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use gateway_grammar::grpc::CONTENT_TYPE;
use gateway_http::grpc;
use gateway_http::h1::encode::{self, Persistence, local_reply};
use gateway_http::h1::{Method, Version, status};
use gateway_http::websocket::{self, HandshakeError};
use gateway_io::{Chunk, Stream};

use crate::Reason;
use crate::body::flush::flush;
use crate::body::pacing::SendTimeout;
use crate::connection::info::ConnInfo;
use crate::connection::slot::OverloadSlot;
use crate::context::WorkerContext;
use crate::exchange::{LocalReply, Scratch};
use crate::filters;
use crate::h1::disposition::Disposition;
use crate::h1::head::Head;
use crate::h1::linger::{Linger, Remaining};
use crate::h1::server::ServerConnection;
use crate::h1::sink::ChunkSink;
use crate::observe::record::{RequestRecord, RequestText};

/// How long a client that is over the limit may take to hear so.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// The version of WebSocket that is spoken (RFC 6455 section 4.4), and what a 426 must name (RFC 9110 section 15.5.22).
const VERSION_FIELDS: &[(&str, &[u8])] = &[
    ("sec-websocket-version", websocket::VERSION.as_bytes()),
    ("upgrade", websocket::TOKEN.as_bytes()),
    ("connection", b"upgrade"),
];

/// Sends a local reply; `request_read` tells whether the request was read to its end.
pub(crate) async fn send(
    conn: &mut ServerConnection,
    scratch: &Scratch,
    record: &mut RequestRecord,
    head: Option<&Head>,
    reply: LocalReply,
    request_read: bool,
) -> Disposition {
    let reason = reply.reason;
    record.reason = Some(reason);
    let keep = request_read && !reason.ends_connection() && head.is_some_and(|head| conn.may_stay(head.meta));
    let version = head.map_or(Version::Http11, |head| head.meta.version);
    let to_head = head.is_some_and(|head| head.meta.method == Method::Head);
    let written = render(&conn.info, scratch, record, reply, (to_head, Persistence::new(version, keep)));
    let Some((out, body, status)) = written else { return Disposition::Close };
    let limit = SendTimeout::of(conn.info.limit(|limits| limits.client_send));
    conn.stream.send.queue(out);
    let control = Rc::clone(&conn.info.control);
    record.status = status;
    match control.kill.unless(pin!(flush(&mut conn.stream.send, limit))).await {
        Some(Ok(())) => {
            record.sent = body;
            if keep {
                return Disposition::KeepAlive;
            }
            Disposition::Linger(Linger::after(remaining(head.is_some(), reason, request_read)))
        }
        Some(Err(_)) | None => Disposition::Close,
    }
}

/// Writes a local reply and notes its reason: head and body, the body's length, the status. `None` if it cannot be written,
/// with the filters' fields or without.
pub(crate) fn render(
    info: &ConnInfo,
    scratch: &Scratch,
    record: &mut RequestRecord,
    reply: LocalReply,
    (to_head, persistence): (bool, Persistence),
) -> Option<(Chunk, u64, u16)> {
    let LocalReply { reason, status, redirect } = reply;
    record.reason = Some(reason);
    let shown = |reason| info.shows_reason().then_some(reason);
    if record.is_grpc && redirect.is_none() {
        return write_grpc(&info.context, scratch, (reason, status), shown(reason), persistence);
    }
    let location: [(&str, &[u8]); 1] = [("location", &scratch.target)];
    let changed;
    let fields = match &redirect {
        None if reason == Reason::WebSocket(HandshakeError::Version) => VERSION_FIELDS,
        None => [].as_slice(),
        Some(routed) if routed.rule.filters.response.is_empty() => location.as_slice(),
        Some(routed) => {
            changed = filters::redirect_fields(&routed.rule.filters, &scratch.target);
            changed.as_slice()
        }
    };
    let with_own = scratch.own_fields.as_ref().map(|own| own.beside(fields));
    let fields = with_own.as_deref().unwrap_or(fields);
    let reply = Reply { reason: shown(reason), status, fields, to_head, persistence };
    write(&info.context, &scratch.text, &reply).or_else(|| {
        // Of all that is in a local reply only what filters add can be too long.
        let reason = Reason::FilteredResponseInvalid;
        record.reason = Some(reason);
        let status = reason.status().unwrap_or(500);
        write(&info.context, &scratch.text, &Reply { reason: shown(reason), status, fields: &[], ..reply })
    })
}

/// How much of the request is still to come behind a local reply.
fn remaining(has_head: bool, reason: Reason, request_read: bool) -> Remaining {
    match reason {
        _ if has_head && request_read => Remaining::Nothing,
        // It has had its time.
        Reason::RequestBodyTimeout | Reason::RequestBodyTooSlow => Remaining::Nothing,
        Reason::RequestBody(_) => Remaining::Unknown,
        _ if has_head => Remaining::Body,
        _ => Remaining::Unknown,
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
fn write(context: &WorkerContext, text: &RequestText, reply: &Reply<'_>) -> Option<(Chunk, u64, u16)> {
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
    let date = context.clock.http_date();
    let content = encode::LocalReply {
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
    let is_sent = !to_head && !status::is_without_content(status);
    Some((out, if is_sent { length as u64 } else { 0 }, status))
}

/// Writes the reply to a gRPC call: a status in place of a body, in a response that HTTP calls successful (gRPC over HTTP/2,
/// "Trailers-Only").
fn write_grpc(
    context: &WorkerContext,
    scratch: &Scratch,
    (reason, status): (Reason, u16),
    shown: Option<Reason>,
    persistence: Persistence,
) -> Option<(Chunk, u64, u16)> {
    let message = match shown {
        Some(reason) => format!("{status} {}: {}", status::phrase(status), reason.code()),
        None => format!("{status} {}", status::phrase(status)),
    };
    let mut encoded = Vec::new();
    grpc::write_message(&mut encoded, message.as_bytes());
    let fields: [(&str, &[u8]); 4] = [
        ("content-type", CONTENT_TYPE.as_bytes()),
        ("grpc-status", reason.grpc_code(status).text().as_bytes()),
        ("grpc-message", &encoded),
        ("x-request-id", scratch.text.id()),
    ];
    let named = if scratch.text.id().is_empty() { 3 } else { 4 };
    let fields = fields.get(..named).unwrap_or_default();
    let with_own = scratch.own_fields.as_ref().map(|own| own.beside(fields));
    let date = context.clock.http_date();
    let content = encode::LocalReply {
        status: 200,
        reason: shown.map_or("", Reason::code),
        fields: with_own.as_deref().unwrap_or(fields),
        date: Some(&date),
        persistence,
        ..encode::LocalReply::default()
    };
    let mut out = Chunk::take();
    local_reply(&mut ChunkSink::new(&mut out), &content).ok()?;
    Some((out, 0, content.status))
}

/// Queues a response in the clear for a client whose request is not read.
pub(crate) fn reply_before_request(conn: &mut ServerConnection, reason: Reason) {
    let mut record = RequestRecord::begin(conn.info.peer.ip());
    record.reason = Some(reason);
    let mut text = RequestText::default();
    text.take_refused(conn.inbox.as_deref().unwrap_or_default());
    let status = reason.status().unwrap_or(503);
    let reply = Reply {
        reason: conn.info.shows_reason().then_some(reason),
        status,
        fields: &[],
        to_head: false,
        persistence: Persistence::Close,
    };
    if let Some((out, body, _)) = write(&conn.info.context, &text, &reply) {
        (record.status, record.sent) = (status, body);
        conn.stream.send.queue(out);
    }
    record.finish(&conn.info.context, &text, None, conn.info.peer, conn.info.local);
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
        reason: worker.context.config.shows_reason(peer.ip()).then_some(reason),
        status,
        fields: &[],
        to_head: false,
        persistence: Persistence::Close,
    };
    if let Some((out, body, _)) = write(&worker.context, &text, &reply) {
        stream.send.queue(out);
        if flush(&mut stream.send, SendTimeout::of(REFUSAL_TIMEOUT)).await.is_ok() {
            (record.status, record.sent) = (status, body);
            stream.close_lingering(64 * 1024, REFUSAL_TIMEOUT).await;
        }
    }
    record.finish(&worker.context, &text, None, peer, local);
}
