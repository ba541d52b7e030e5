//! One stream: a request, its exchange, and what the client is told of its end.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;

use gateway_grammar::grpc::is_grpc;
use gateway_grammar::names::REASON_HEADER;
use gateway_http::h1::encode::Persistence;
use gateway_http::h1::{HeadLimits, Method, Parsed, RequestError, ResponseHead};
use gateway_http::h2::write_request;
use gateway_http::head::{HeadEdits, OwnName, Version};
use gateway_io::{BufferLevel, Chunk, buffer_level};
use h2::server::SendResponse;
use h2::{Reason as Code, RecvStream};
use http::HeaderValue;
use http::request::Parts;

use super::connection::H2Connection;
use super::sink::{Data, H2Sink, Sender};
use super::wire::H2Wire;
use crate::Reason;
use crate::body::ends::Sink;
use crate::body::pacing::SendTimeout;
use crate::clock::within;
use crate::exchange::wire::ResponseSink;
use crate::exchange::{Ended, Exchange, LocalReply, Outcome};
use crate::h1::head::RequestMeta;
use crate::h1::linger::{LINGER_IDLE_TIMEOUT, LINGER_MAX};
use crate::h1::reply;
use crate::h1::scratch::Scratch;
use crate::h2::response_sink::H2ResponseSink;
use crate::observe::record::{RequestRecord, request_id};
use crate::request_id as ids;

const REASON: OwnName = OwnName::new(REASON_HEADER);

/// Serves one stream to its end.
pub(super) async fn serve(
    conn: Rc<H2Connection>,
    request: http::Request<RecvStream>,
    response: SendResponse<Data>,
) {
    let mut record = RequestRecord::begin(conn.info.peer.ip());
    record.version = Some(Version::Http2);
    let active = conn.slot.begin_request();
    let mut scratch = conn.slot.worker().take_scratch();
    let mut text = std::mem::take(&mut scratch.text);
    let sender = RefCell::new(Sender { response, stream: None });
    let (head, mut body) = request.into_parts();
    // A call whose head is refused has its reply as any other.
    record.is_grpc = is_call(&head);
    let (ended, to_head) = match read_head(&conn, &mut scratch, &mut text, &head, body.is_end_stream()) {
        Ok(meta) => {
            let Scratch { exchange, codec, .. } = &mut *scratch;
            let mut wire = H2Wire {
                info: &conn.info,
                codec,
                text: &text,
                meta,
                body: &mut body,
                sender: &sender,
                unasked: None,
            };
            let mut exchange =
                Exchange { info: &conn.info, wire: &mut wire, scratch: exchange, record: &mut record };
            (exchange.serve().await, meta.method == Method::Head)
        }
        Err(reason) => {
            scratch.exchange.text.take_refused(&text);
            (Outcome::reply(reason).into(), head.method == http::Method::HEAD)
        }
    };
    let has_response = conclude(&conn, &mut scratch, &mut record, &sender, ended, to_head).await;
    drop(active);
    let info = &conn.info;
    record.finish(&info.context, &scratch.exchange.text, info.tls.as_deref(), info.peer, info.local);
    text.clear();
    scratch.text = text;
    conn.slot.worker().give_back(scratch);
    if has_response {
        read_on(&conn, &mut body).await;
    }
}

fn is_call(head: &Parts) -> bool {
    head.method == http::Method::POST
        && head.headers.get(http::header::CONTENT_TYPE).is_some_and(|value| is_grpc(value.as_bytes()))
}

/// Reads the rest of a request whose response is out. What is not read in time is reset without an error, by the crate, once
/// the stream is dropped (RFC 9113 section 8.1). Reset at once would be within that section too, but curl 7.88 forgets a
/// response that comes together with the reset.
async fn read_on(conn: &H2Connection, body: &mut RecvStream) {
    let reading = pin!(async {
        while !body.is_end_stream() {
            let piece = pin!(poll_fn(|cx| body.poll_data(cx)));
            let Some(Some(Ok(piece))) = within(LINGER_IDLE_TIMEOUT, piece).await else { return };
            if body.flow_control().release_capacity(piece.len()).is_err() {
                return;
            }
        }
    });
    let limited = pin!(within(LINGER_MAX, reading));
    let _ = conn.info.control.kill.unless(limited).await;
}

/// Reads the head as if it had come by HTTP/1.1, and notes what is needed of it later.
fn read_head(
    conn: &H2Connection,
    scratch: &mut Scratch,
    text: &mut Vec<u8>,
    head: &Parts,
    ends: bool,
) -> Result<RequestMeta, Reason> {
    let context = &conn.info.context;
    if buffer_level() == BufferLevel::Exhausted {
        context.metrics.borrow_mut().counters.memory_refused += 1;
        return Err(Reason::OverloadMemory);
    }
    write_request(text, head, ends).map_err(Reason::Request)?;
    match scratch.codec.request.parse(text, &context.config.head) {
        Ok(Parsed::Complete { .. }) => {}
        // A head that was written whole is read whole.
        Ok(Parsed::Incomplete) => return Err(Reason::Request(RequestError::BadRequestLine)),
        Err(error) => return Err(Reason::Request(error)),
    }
    let request = scratch.codec.request.view(text);
    let parts = request.parts(conn.info.scheme());
    let mut fresh = [0; ids::ID_LEN];
    let id = request_id(context, &parts, conn.info.trusted, &mut fresh);
    scratch.exchange.text.take(&parts, id);
    Ok(RequestMeta {
        method: request.method(),
        version: Version::Http2,
        keep_alive: true,
        framing: request.framing(),
    })
}

/// Tells the client how its request ended; true if it has a response.
async fn conclude(
    conn: &H2Connection,
    scratch: &mut Scratch,
    record: &mut RequestRecord,
    sender: &RefCell<Sender>,
    ended: Ended,
    to_head: bool,
) -> bool {
    let reason = match ended.outcome {
        Outcome::Done => return true,
        Outcome::LocalReply(local) => match send_reply(conn, scratch, record, sender, local, to_head).await {
            true => return true,
            false => Reason::ClientClosed,
        },
        Outcome::Reset(reason) => reason,
    };
    record.reason = Some(reason);
    if record.is_grpc && end_call(sender, reason) {
        return true;
    }
    let code = match reason {
        Reason::ClientClosed | Reason::ClientSendTimeout => Code::CANCEL,
        Reason::Http1Required => Code::HTTP_1_1_REQUIRED,
        _ => Code::INTERNAL_ERROR,
    };
    conn.transport.note_own_reset();
    sender.borrow_mut().reset(code);
    false
}

/// Ends a call whose response has begun with a status, as a backend would: a reset says nothing of a deadline. False if there
/// is nobody to tell, or no response that could end so.
fn end_call(sender: &RefCell<Sender>, reason: Reason) -> bool {
    if matches!(reason, Reason::ClientClosed | Reason::ClientSendTimeout) {
        return false;
    }
    let mut sender = sender.borrow_mut();
    let Some(stream) = &mut sender.stream else { return false };
    let mut trailers = http::HeaderMap::with_capacity(2);
    let code = reason.grpc_code(reason.status().unwrap_or(503)).text();
    trailers.insert("grpc-status", HeaderValue::from_static(code));
    trailers.insert("grpc-message", HeaderValue::from_static(reason.code()));
    stream.send_trailers(trailers).is_ok()
}

/// Sends a local reply: the one of HTTP/1.1, in this protocol's head and body.
async fn send_reply(
    conn: &H2Connection,
    scratch: &mut Scratch,
    record: &mut RequestRecord,
    sender: &RefCell<Sender>,
    local: LocalReply,
    to_head: bool,
) -> bool {
    let how = (to_head, Persistence::Keep);
    let Some((mut out, body, status)) = reply::render(&conn.info, &scratch.exchange, record, local, how)
    else {
        return false;
    };
    let mut head = ResponseHead::new();
    let method = if to_head { Method::Head } else { Method::Get };
    // Our own head, which is as long as filters make it.
    let limits = HeadLimits { head: usize::MAX, fields: HeadLimits::MAX_FIELDS, ..HeadLimits::default() };
    let Ok(Parsed::Complete { consumed }) = head.parse(&out, &limits, method) else { return false };
    let mut sink = H2ResponseSink { body: H2Sink::new(sender) };
    let mut edits = HeadEdits::new();
    // The reader of backends' responses believes no backend that gives a reason.
    let shown = record.reason.filter(|_| conn.info.shows_reason());
    let named = shown.map_or(Ok(()), |reason| edits.set_own(REASON, reason.code().as_bytes()));
    if named.is_err() || sink.head(&head.view(&out).parts(), &edits).is_err() {
        return false;
    }
    out.advance(consumed);
    let to = sink.body();
    to.begin();
    finish(to, out);
    record.status = status;
    let limit = SendTimeout::of(conn.info.context.config.timeouts.client_send);
    let flushed = conn.info.control.kill.unless(pin!(sink.body().flush(limit))).await;
    if matches!(flushed, Some(Ok(()))) {
        record.sent = body;
        return true;
    }
    false
}

fn finish(to: &mut H2Sink<'_, Sender>, body: Chunk) {
    if !body.is_empty() {
        to.queue(body);
    }
    to.end = (!to.is_empty).then(http::HeaderMap::new);
}
