//! One stream: a request, its exchange, and what the client is told of its end.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;

use gateway_grammar::grpc::is_grpc;
use gateway_grammar::names::REASON_HEADER;
use gateway_http::h1::encode::Persistence;
use gateway_http::h1::{HeadLimits, Method, Parsed, RequestError, ResponseHead};
use gateway_http::h2::{Connect, write_request};
use gateway_http::head::{HeadEdits, OwnName, Version};
use gateway_http::websocket::{self, KEY_LEN};
use gateway_io::{BufferLevel, Chunk, buffer_level};
use h2::RecvStream;
use h2::ext::Protocol;
use h2::server::SendResponse;
use http::request::Parts;

use super::break_off::break_off;
use super::connection::H2Connection;
use super::rest::Rest;
use super::sink::{Data, H2Sink, Sender};
use super::tunnel::Tunnel;
use super::unsent::{Leaving, Unread};
use super::wire::H2Wire;
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
use crate::l4::account::TunnelAccount;
use crate::observe::record::{RequestRecord, request_id};
use crate::request_id as ids;
use crate::upgrade::Upgrade;
use crate::upstream::{Lease, Permit};
use crate::{ProxyConfig, Reason};

const REASON: OwnName = OwnName::new(REASON_HEADER);

/// A request and the way of its response, as the crate gives them.
pub(super) type Accepted = (http::Request<RecvStream>, SendResponse<Data>);

/// The part of a stream that is left when its request's state is gone.
pub(super) enum After {
    Tunnel(Box<Tunnel>),
    Rest(Box<Rest>),
}

/// Serves one stream to its end, or until less is left of it.
pub(super) async fn serve(conn: Rc<H2Connection>, accepted: Box<Accepted>) -> Option<After> {
    let mut record = RequestRecord::begin(conn.info.peer.ip());
    record.version = Some(Version::Http2);
    let active = conn.slot.begin_request();
    let mut scratch = conn.slot.worker().take_scratch();
    let mut text = std::mem::take(&mut scratch.text);
    let (mut sender, mut body, read) = {
        let (request, response) = *accepted;
        let (head, body) = request.into_parts();
        // A call whose head is refused has its reply as any other.
        record.is_grpc = is_call(&head);
        let read = read_head(&conn, &mut scratch, &mut text, &head, body.is_end_stream());
        let read = read.map_err(|reason| (reason, head.method == http::Method::HEAD));
        (RefCell::new(Sender::new(&conn, response)), body, read)
    };
    let (mut kept, unsent) = (None, Cell::new(None));
    let (ended, to_head) = match read {
        Ok((meta, upgrade)) => {
            let Scratch { exchange, codec, .. } = &mut *scratch;
            let mut wire = H2Wire {
                info: &conn.info,
                codec,
                text: &text,
                meta,
                upgrade,
                kept: None,
                body: &mut body,
                sender: &sender,
                unsent: &unsent,
                unasked: None,
            };
            let mut exchange =
                Exchange { info: &conn.info, wire: &mut wire, scratch: exchange, record: &mut record };
            let ended = exchange.serve().await;
            kept = wire.kept.map(|lease| (lease, wire.unasked));
            record.upgrade = upgrade.filter(|_| matches!(ended.outcome, Outcome::Upgraded(_)));
            (ended, meta.method == Method::Head)
        }
        Err((reason, to_head)) => {
            scratch.exchange.text.take_refused(&text);
            (Outcome::reply(reason).into(), to_head)
        }
    };
    // A client that still sends is read on, by the stream's own task.
    let leaving = body.is_end_stream().then_some(Leaving { progress: None, to: &unsent });
    let end = conclude(&conn, &mut scratch, &mut record, (&sender, leaving), ended, to_head).await;
    let info = &conn.info;
    let unsent = unsent.take();
    if unsent.is_none() {
        // Nothing more is received for the response.
        sender.get_mut().ahead = None;
    }
    let (after, responded) = match (end, kept, unsent) {
        (End::Upgraded(permit), Some((lease, from_backend)), _) => {
            let text = std::mem::take(&mut scratch.exchange.text);
            let account = TunnelAccount::begin(info, record, text, permit);
            (Some(After::Tunnel(Box::new(Tunnel { lease, account, body, sender, from_backend }))), None)
        }
        (end @ (End::Responded | End::Left(_)), kept, Some(unsent)) => {
            let unread = end.unread(kept, &mut scratch, &info.context.config);
            let text = scratch.exchange.text.take_all();
            let unsent = Some(Box::new(unsent));
            (
                Some(After::Rest(Box::new(Rest { unsent, unread, sender, record, text, _active: active }))),
                None,
            )
        }
        (end, ..) => {
            drop(active);
            record.finish(&info.context, &scratch.exchange.text, info.tls.as_deref(), info.peer, info.local);
            (None, Some((body, sender)).filter(|_| matches!(end, End::Responded)))
        }
    };
    text.clear();
    scratch.text = text;
    conn.slot.worker().give_back(scratch);
    if let Some((mut body, _sender)) = responded {
        read_on(&conn, &mut body).await;
    }
    after
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
) -> Result<(RequestMeta, Option<Upgrade>), Reason> {
    let context = &conn.info.context;
    if buffer_level() == BufferLevel::Exhausted {
        context.metrics.borrow_mut().counters.memory_refused += 1;
        return Err(Reason::OverloadMemory);
    }
    let protocol = head.extensions.get::<Protocol>().map(Protocol::as_str);
    let connect = match protocol {
        Some(name) if Upgrade::is_tunnelled(&context.config, name) => {
            let [one, another] = [context.random.next(), context.random.next()].map(u64::to_ne_bytes);
            let mut random = [0; KEY_LEN];
            random.iter_mut().zip(one.into_iter().chain(another)).for_each(|(to, byte)| *to = byte);
            Some(Connect { protocol: name, key: websocket::key(random) })
        }
        Some(_) => return Err(Reason::Request(RequestError::ConnectProtocolNotSupported)),
        None => None,
    };
    write_request(text, head, ends, connect.as_ref()).map_err(Reason::Request)?;
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
    let upgrade = match connect {
        Some(_) => Upgrade::wanted(&context.config, &request).map_err(Reason::WebSocket)?,
        None => None,
    };
    let meta = RequestMeta {
        method: request.method(),
        version: Version::Http2,
        keep_alive: true,
        framing: request.framing(),
        accepts_trailers: true,
    };
    Ok((meta, upgrade.map(Upgrade::by_connect)))
}

/// The end of a stream's exchange.
enum End {
    /// The client has a response.
    Responded,
    Upgraded(Permit),
    /// It has a part of one, and the rest is to come.
    Left(Permit),
    Reset,
}

impl End {
    /// The part of a response that is still to come, on the lease that the wire has kept.
    fn unread(
        self,
        kept: Option<(Lease, Option<Chunk>)>,
        scratch: &mut Scratch,
        config: &ProxyConfig,
    ) -> Option<Box<Unread>> {
        match (self, kept) {
            (Self::Left(permit), Some((lease, _))) => {
                Some(Box::new(Unread::new(lease, &mut scratch.codec, config, permit)))
            }
            _ => None,
        }
    }
}

/// Tells the client how its request ended.
async fn conclude(
    conn: &H2Connection,
    scratch: &mut Scratch,
    record: &mut RequestRecord,
    (sender, leaving): (&RefCell<Sender>, Option<Leaving<'_>>),
    ended: Ended,
    to_head: bool,
) -> End {
    let reason = match ended.outcome {
        Outcome::Done => return End::Responded,
        Outcome::Upgraded(permit) => return End::Upgraded(permit),
        Outcome::Left(permit) => return End::Left(permit),
        Outcome::LocalReply(local) => {
            match send_reply(conn, scratch, record, (sender, leaving), local, to_head).await {
                true => return End::Responded,
                false => Reason::ClientClosed,
            }
        }
        Outcome::Reset(reason) => reason,
    };
    match break_off(record, sender, reason) {
        true => End::Responded,
        false => End::Reset,
    }
}

/// Sends a local reply: the one of HTTP/1.1, in this protocol's head and body.
async fn send_reply(
    conn: &H2Connection,
    scratch: &mut Scratch,
    record: &mut RequestRecord,
    (sender, leaving): (&RefCell<Sender>, Option<Leaving<'_>>),
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
    let mut sink = H2ResponseSink { body: H2Sink { leaving, ..H2Sink::new(sender) } };
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
    let limit = SendTimeout::of(conn.info.limit(|limits| limits.client_send));
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
