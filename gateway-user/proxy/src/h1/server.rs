//! One client connection: request after request until either side ends it.

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use gateway_http::h1::RequestError;
use gateway_io::{BufferLevel, Chunk, Stream, buffer_level, place};
use gateway_tls::Protocol;

use crate::body::coop_budget::CoopBudget;
use crate::connection::info::ConnInfo;
use crate::connection::slot::ConnectionSlot;
use crate::exchange::{Exchange, Outcome};
use crate::h1::disposition::Disposition;
use crate::h1::head::{Head, HeadError, RequestMeta, receive};
use crate::h1::linger::linger;
use crate::h1::scratch::Scratch;
use crate::h1::tunnel::{self, Tunnel};
use crate::h1::wait::WaitEnd;
use crate::h1::wire::{H1End, H1Wire};
use crate::h2;
use crate::l4::admitted::Admitted;
use crate::metrics::UnsupportedProtocol;
use crate::observe::record::{RequestRecord, request_id};
use crate::upgrade::Upgrade;
use crate::upstream::PrivateConnections;
use crate::worker::Worker;
use crate::{Reason, request_id as ids};

/// How long a client may take to be told by TLS that nothing more comes.
const TLS_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A client connection.
pub(crate) struct ServerConnection {
    // Before the membership: who has left holds no socket any more.
    pub(crate) stream: Stream,
    slot: ConnectionSlot,
    /// Received and not used yet.
    pub(crate) inbox: Option<Chunk>,
    pub(crate) info: ConnInfo,
    /// Connections to backends that this client has logged in, if any.
    pub(crate) private: Option<Box<PrivateConnections>>,
    /// Its place at a backend, if it goes there as a whole and is not on its way yet.
    pub(crate) admitted: Option<Box<Admitted>>,
}

/// The end of a time of requests.
enum Served {
    /// The connection is quiet.
    Quiet(Box<ServerConnection>),
    /// Its bytes are no HTTP any more.
    Upgraded(Box<Upgraded>),
    Ended,
}

/// A connection and its backend's. One pointer leads to both: who waits for requests has room for no more.
struct Upgraded {
    conn: Box<ServerConnection>,
    tunnel: Box<Tunnel>,
}

impl ServerConnection {
    pub(crate) fn new(
        slot: ConnectionSlot,
        stream: Stream,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Box<Self> {
        let info = ConnInfo::new(Rc::clone(&slot.worker().context), Rc::clone(&slot.control), peer, local);
        Box::new(Self { slot, stream, inbox: None, info, private: None, admitted: None })
    }

    /// Its parts, for another protocol that its client turns out to speak.
    pub(crate) fn into_parts(self: Box<Self>) -> (ConnectionSlot, Stream, Option<Chunk>, ConnInfo) {
        let Self { slot, stream, inbox, info, .. } = *self;
        (slot, stream, inbox, info)
    }

    pub(crate) fn worker(&self) -> &Rc<Worker> {
        self.slot.worker()
    }

    pub(crate) fn slot(&self) -> &ConnectionSlot {
        &self.slot
    }

    /// Serves the connection to its end. While it is quiet only this small task is kept; what serves requests is placed
    /// when one begins, and goes when none has for about a second.
    pub(crate) async fn run(self: Box<Self>) {
        let mut conn = self;
        conn.begin_first_wait();
        while conn.is_woken().await {
            if conn.info.expects_proxy_header {
                match place(|| conn.read_proxy_header()).await {
                    Some(announced) => conn = announced,
                    None => return,
                }
                if conn.inbox.is_none() {
                    conn.begin_first_wait();
                    continue;
                }
            }
            let is_first = !conn.info.begun;
            if conn.expects_client_hello() {
                // It takes more memory than a request, and whose it is is not known.
                if buffer_level() == BufferLevel::Exhausted {
                    conn.info.context.metrics.borrow_mut().counters.memory_refused += 1;
                    return;
                }
                match place(|| conn.accept_tls()).await {
                    Some(accepted) => conn = accepted,
                    None => return,
                }
                if let Some(admitted) = conn.admitted.take() {
                    // As for HTTP/2.
                    return Box::pin(admitted.forward(conn)).await;
                }
                if conn.info.tls.as_ref().is_some_and(|tls| tls.protocol == Protocol::Http2) {
                    // In a block of the pool it would take the place of a request's state for all its life.
                    return Box::pin(h2::server::serve(conn)).await;
                }
                if conn.inbox.is_none() {
                    conn.begin_first_wait();
                    continue;
                }
            }
            if is_first && conn.begins_http2().await {
                // In a block of the pool it would take the place of a request's state for all its life.
                return Box::pin(h2::server::serve(conn)).await;
            }
            match place(|| conn.serve_until_quiet()).await {
                Served::Quiet(quiet) => conn = quiet,
                // In a block of the pool it would take the place of a request's state for all its life.
                Served::Upgraded(upgraded) => return Box::pin(upgraded.serve()).await,
                Served::Ended => return,
            }
        }
        if conn.stream.is_layered() {
            place(|| conn.stream.close_in_order(TLS_CLOSE_TIMEOUT)).await;
        }
    }

    /// Serves requests, the first of which has begun; gives the session back when the connection is quiet, with the wait
    /// going on, or a tunnel, and ends it otherwise.
    async fn serve_until_quiet(mut self: Box<Self>) -> Served {
        let mut budget = CoopBudget::of(&self.info.context);
        self.info.control.busy.set(false);
        let next = loop {
            budget.take().await;
            match self.wait().await {
                WaitEnd::Begun => {}
                WaitEnd::Quiet => {
                    self.stream.send.shrink();
                    return Served::Quiet(self);
                }
                WaitEnd::Ended => break Disposition::Close,
            }
            let mut scratch = self.worker().take_scratch();
            let next = self.request(&mut scratch).await;
            if let Disposition::Linger(rest) = next {
                let Self { slot, stream, .. } = *self;
                place(|| linger(slot, stream, scratch, rest)).await;
                return Served::Ended;
            }
            self.worker().give_back(scratch);
            match next {
                Disposition::KeepAlive => {}
                Disposition::Tunnel(tunnel) => {
                    return Served::Upgraded(Box::new(Upgraded { conn: self, tunnel }));
                }
                _ => break next,
            }
            self.info.control.busy.set(true);
        };
        // Held until the stream is gone.
        let Self { slot: _slot, stream, .. } = *self;
        match next {
            // Who is told by TLS that nothing more comes knows that nothing was cut off.
            Disposition::Close if stream.is_layered() => stream.close_in_order(TLS_CLOSE_TIMEOUT).await,
            Disposition::Close | Disposition::KeepAlive | Disposition::Linger(_) | Disposition::Tunnel(_) => {
                drop(stream)
            }
            // If the option can't be set the connection is closed in order; there is nobody left to tell.
            Disposition::Reset => drop(stream.reset()),
        }
        Served::Ended
    }

    /// Serves one request.
    async fn request(&mut self, scratch: &mut Scratch) -> Disposition {
        let mut record = RequestRecord::begin(self.info.peer.ip());
        let active = self.slot.begin_request();
        let disposition = match self.head(scratch, &mut record).await {
            Err(HeadError::Silent) => return Disposition::Close,
            Err(HeadError::Refused(reason)) => {
                scratch.exchange.text.take_refused(self.inbox.as_deref().unwrap_or_default());
                self.note_refused(reason);
                let ended = Outcome::reply(reason).into();
                self.conclude(scratch, &mut record, None, ended, H1End::default()).await
            }
            Ok(head) => {
                record.version = Some(head.meta.version);
                let Self { stream, inbox, info, private, .. } = &mut *self;
                let Scratch { exchange: scratch_of_exchange, codec, .. } = &mut *scratch;
                let mut wire = H1Wire {
                    info,
                    stream,
                    inbox,
                    private,
                    codec,
                    head: &head,
                    kept_head: None,
                    keeps_head: false,
                    end: H1End::default(),
                };
                let mut exchange =
                    Exchange { info, wire: &mut wire, scratch: scratch_of_exchange, record: &mut record };
                let ended = exchange.serve().await;
                let end = wire.end;
                self.conclude(scratch, &mut record, Some(&head), ended, end).await
            }
        };
        drop(active);
        // The record of a tunnel is kept to its end.
        if !matches!(disposition, Disposition::Tunnel(_)) {
            record.finish(
                &self.info.context,
                &scratch.exchange.text,
                self.info.tls.as_deref(),
                self.info.peer,
                self.info.local,
            );
        }
        disposition
    }

    /// Receives a head and notes what is needed of it later.
    async fn head(&mut self, scratch: &mut Scratch, record: &mut RequestRecord) -> Result<Head, HeadError> {
        let worker = Rc::clone(self.worker());
        let config = &worker.context.config;
        let limit = self.limited(self.info.limit(|limits| limits.client_header));
        let receiving =
            receive(&mut self.stream.recv, &mut self.inbox, &mut scratch.codec.request, &config.head, limit);
        // A drain's maximum ends a head that is still coming in.
        let len = self.info.control.kill.unless(pin!(receiving)).await.unwrap_or(Err(HeadError::Silent))?;
        let request = scratch.codec.request.view(self.inbox.as_deref().unwrap_or_default());
        let mut fresh = [0; ids::ID_LEN];
        let parts = request.parts(self.info.scheme());
        let id = request_id(&self.info.context, &parts, self.info.trusted, &mut fresh);
        scratch.exchange.text.take(&parts, id);
        let upgrade = Upgrade::wanted(config, &request)
            .map_err(|error| HeadError::Refused(Reason::WebSocket(error)))?;
        if let (None, Some(protocol)) = (upgrade, request.upgrade().and_then(UnsupportedProtocol::of_upgrade))
        {
            // A server may ignore it (RFC 9110 section 7.8): the request is served over HTTP/1.1.
            worker.context.metrics.borrow_mut().unsupported.count(protocol);
            record.ignored_upgrade = Some(protocol);
        }
        let meta = RequestMeta {
            method: request.method(),
            version: request.version(),
            keep_alive: request.keep_alive(),
            framing: request.framing(),
            accepts_trailers: request.accepts_trailers(),
        };
        Ok(Head { len, meta, upgrade })
    }

    /// Counts a request whose head was refused, where that has a number of its own.
    fn note_refused(&self, reason: Reason) {
        let metrics = &mut self.info.context.metrics.borrow_mut();
        match reason {
            Reason::OverloadMemory => metrics.counters.memory_refused += 1,
            Reason::Request(RequestError::Http2Preface) => {
                metrics.unsupported.count(UnsupportedProtocol::Http2)
            }
            _ => {}
        }
    }

    /// True if the client's connection may carry another request after a response to this one.
    pub(crate) fn may_stay(&self, meta: RequestMeta) -> bool {
        meta.keep_alive && !self.info.ends_for_drain() && !self.info.control.is_over_limit()
    }
}

impl Upgraded {
    /// Passes bytes both ways to the connection's end.
    async fn serve(self: Box<Self>) {
        let Self { conn, tunnel } = *self;
        // Held until the stream is gone.
        let ServerConnection { slot: _slot, stream, info, .. } = *conn;
        tunnel::serve(stream, &info, tunnel).await;
    }
}

#[cfg(test)]
mod tests {
    use gateway_io::Placed;

    use super::*;

    fn size<F: Future>(_: fn(Box<ServerConnection>) -> F) -> usize {
        size_of::<F>()
    }

    fn fits<F: Future>(_: fn(Box<ServerConnection>) -> F) -> bool {
        Placed::<F>::FITS
    }

    #[test]
    fn a_connection_costs_little_memory() {
        // The state of a request, every nested wait included: passing futures on by value multiplies it.
        let serving = size(ServerConnection::serve_until_quiet);
        assert!(serving <= 6 * 1024, "{serving} bytes");
        assert!(fits(ServerConnection::serve_until_quiet), "it would leave holes in the heap");
        // What stays when it is quiet.
        let quiet = size(ServerConnection::run);
        assert!(quiet <= 128, "{quiet} bytes");
        assert!(size_of::<ServerConnection>() <= 256, "{} bytes", size_of::<ServerConnection>());
    }
}
