//! One client connection over HTTP/2: streams until either side ends it.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use gateway_io::{now, pause, sleep, spawn};
use h2::Reason as Code;
use h2::server::{Builder, Connection};

use super::connection::H2Connection;
use super::flood::Flood;
use super::io::{Io, Transport};
use super::rest;
use super::sink::Data;
use super::stream::{self, Accepted, After};
use super::tunnel;
use crate::clock::within;
use crate::guarded::guarded;
use crate::h1::server::ServerConnection;
use crate::timeouts::Timeouts;

/// Streams of one connection at once.
const MAX_STREAMS: u32 = 100;
/// Content that a client may send ahead on one stream, and on all of them together.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// Content of a stream that waits in the crate for its turn.
const MAX_SEND_BUFFER: usize = 32 * 1024;
/// Errors for which the crate resets streams before it ends the connection by itself; ours come first.
const MAX_LOCAL_ERRORS: usize = 200;
/// Streams that may be reset before anybody has looked at them: a page that is left resets all of its streams at once.
const MAX_UNSEEN_RESETS: usize = 400;
/// Cost of small pieces of content that nobody has taken yet: of each, the bytes that it is short of 256. A connection's
/// window full of messages of 20 bytes costs 3.1 million.
const SMALL_DATA_BUDGET: usize = 4 << 20;
/// How long a client may take for the end of a connection.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes that a client may still send then: closed with some of them unread, the connection would be reset.
const GOODBYE_BYTES: usize = 64 * 1024;

/// The reason for which a connection's task goes on.
enum Event {
    /// The client has ended the connection, or broken the protocol.
    Ended(Option<h2::Error>),
    /// Others have their turn.
    Turn,
    /// The connection waits for something else from now on, or for a different time.
    Again,
    Flood(Flood),
    /// Trailers had a pseudo-header.
    PseudoTrailer,
    Drain,
    /// Its place among those without a stream is wanted.
    Evicted,
}

/// Serves a connection whose client speaks HTTP/2. Its preface is in the inbox, or to come.
pub(crate) async fn serve(conn: Box<ServerConnection>) {
    let (slot, stream, inbox, info) = conn.into_parts();
    let transport = Transport::of_client(stream, inbox);
    let conn = H2Connection::new(slot, info, Rc::clone(&transport));
    conn.info.context.metrics.borrow_mut().counters.h2_connections += 1;
    // Boxed, so that what it takes is gone when it is over.
    if let Some(mut connection) = Box::pin(shake_hands(&conn, transport.io())).await {
        conn.run(&mut connection).await;
    }
    conn.count_errors();
    let limit = conn.info.limit(|limits| limits.client_send).min(GOODBYE_TIMEOUT);
    drop(conn);
    // Streams that are under way still hold it; they end at once, since nothing comes from the crate any more.
    if let Some(stream) = transport.into_stream() {
        stream.close_lingering(GOODBYE_BYTES, limit).await;
    }
}

async fn shake_hands(conn: &H2Connection, io: Io) -> Option<Box<Connection<Io, Data>>> {
    let config = &conn.info.context.config;
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(MAX_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(MAX_SEND_BUFFER)
        .max_local_error_reset_streams(Some(MAX_LOCAL_ERRORS))
        .max_pending_accept_reset_streams(MAX_UNSEEN_RESETS)
        .data_frame_budget(SMALL_DATA_BUDGET)
        // Above ours, so that a request beyond ours has a response, a reason and a line in the log. Each field counts
        // 32 bytes more here.
        .max_header_list_size(
            u32::try_from(2 * config.head.head + 64 * config.head.fields).unwrap_or(u32::MAX),
        );
    if !config.upgrade_protocols.is_empty() {
        builder.enable_connect_protocol();
    }
    let shaking = pin!(builder.handshake::<_, Data>(io));
    let limited = pin!(within(conn.info.limit(|limits| limits.client_header), shaking));
    conn.info.control.kill.unless(limited).await.flatten()?.ok().map(Box::new)
}

impl H2Connection {
    async fn run(self: &Rc<Self>, connection: &mut Connection<Io, Data>) {
        let mut draining = pin!(self.wait_for_drain());
        let mut is_draining = false;
        loop {
            let event = {
                let head = self.transport.head_began();
                let quiet = self.is_idle().then(|| {
                    self.transport.shrink();
                    self.info.context.enter_quiet_h2()
                });
                let mut leaving = pin!(async {
                    match &quiet {
                        Some(place) => place.leave().wait().await,
                        None => pending().await,
                    }
                });
                let next = pin!(poll_fn(|cx| {
                    if leaving.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Event::Evicted);
                    }
                    if !is_draining && draining.as_mut().poll(cx).is_ready() {
                        is_draining = true;
                        return Poll::Ready(Event::Drain);
                    }
                    match self.poll_requests(connection, cx) {
                        Poll::Pending
                            if quiet.is_some() != self.is_idle() || self.transport.head_began() != head =>
                        {
                            Poll::Ready(Event::Again)
                        }
                        next => next,
                    }
                }));
                let limited = pin!(within(self.time_left(), next));
                self.info.control.kill.unless(limited).await
            };
            self.count_errors();
            match event {
                Some(Some(Event::Turn)) => {
                    self.info.context.metrics.borrow_mut().counters.h2_turns += 1;
                    pause().await;
                    self.transport.begin_turn();
                }
                Some(Some(Event::Again)) => {}
                Some(Some(Event::Drain)) => connection.graceful_shutdown(),
                Some(Some(Event::Evicted)) => return self.end(connection, Code::NO_ERROR).await,
                Some(Some(Event::Ended(error))) => return self.note_end(error.as_ref()),
                Some(Some(Event::Flood(flood))) => {
                    self.note_flood(flood.name());
                    return self.end(connection, Code::ENHANCE_YOUR_CALM).await;
                }
                Some(Some(Event::PseudoTrailer)) => {
                    self.note_break(Code::PROTOCOL_ERROR);
                    return self.end(connection, Code::PROTOCOL_ERROR).await;
                }
                Some(None) if self.time_left().is_zero() => {
                    return self.end(connection, Code::NO_ERROR).await;
                }
                Some(None) => {}
                None => {
                    self.hear_streams(connection).await;
                    return self.end(connection, Code::NO_ERROR).await;
                }
            }
        }
    }

    /// Begins the requests that have come, until there are no more in this turn.
    fn poll_requests(
        self: &Rc<Self>,
        connection: &mut Connection<Io, Data>,
        cx: &mut Context<'_>,
    ) -> Poll<Event> {
        loop {
            let next = connection.poll_accept(cx);
            match next {
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Event::Ended(Some(error))),
                Poll::Ready(None) => return Poll::Ready(Event::Ended(None)),
                Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
            }
            if let Some(flood) = self.transport.flood() {
                return Poll::Ready(Event::Flood(flood));
            }
            if self.transport.has_pseudo_trailer() {
                return Poll::Ready(Event::PseudoTrailer);
            }
            match next {
                Poll::Ready(Some(Ok(accepted))) => self.begin(Box::new(accepted), connection),
                _ if self.transport.is_turn_over() => return Poll::Ready(Event::Turn),
                _ => return Poll::Pending,
            }
        }
    }

    fn begin(self: &Rc<Self>, accepted: Box<Accepted>, connection: &mut Connection<Io, Data>) {
        let stream = self.begin_stream();
        if self.info.control.is_over_limit() {
            // One more than there may be ends with what it has begun.
            connection.graceful_shutdown();
        }
        let (context, peer) = (Rc::clone(&self.info.context), self.info.peer);
        spawn(guarded(Rc::clone(&context), peer, move || async move {
            // In a task of its own, which is smaller than that of a request.
            match stream::serve(Rc::clone(&stream.0), accepted).await {
                Some(After::Tunnel(tunnel)) => spawn(guarded(context, peer, || async move {
                    tunnel::serve(Rc::clone(&stream.0), tunnel).await;
                    drop(stream);
                })),
                Some(After::Rest(rest)) => spawn(guarded(context, peer, || async move {
                    rest::serve(Rc::clone(&stream.0), rest).await;
                    drop(stream);
                })),
                None => {}
            }
        }));
    }

    /// Returns when the connection is to be ended in order, at a time of its own in the first half of the drain: all at once
    /// they would all come back at once.
    async fn wait_for_drain(&self) {
        let context = &self.info.context;
        // Connections are still accepted for a while when a drain has begun.
        if !context.is_draining() {
            let begun = context.drains.enter();
            begun.leave().wait().await;
        }
        let spread = context.drain_spread.get();
        let millis = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX);
        let part = context.random.next() % millis.saturating_add(1);
        sleep(Duration::from_millis(part)).await;
    }

    /// How long the client may be silent from now on; zero if the connection is to end.
    fn time_left(&self) -> Duration {
        let limit = |pick: fn(&Timeouts) -> Duration| self.info.limit(pick);
        let client_idle = limit(|limits| limits.client_idle);
        let past = |since: Instant| now().saturating_duration_since(since);
        let head = self
            .transport
            .head_began()
            .map(|began| limit(|limits| limits.client_header).saturating_sub(past(began)));
        let idle = self.idle_since().map(|since| client_idle.saturating_sub(past(since)));
        head.into_iter().chain(idle).min().unwrap_or(client_idle.max(Duration::from_secs(1)))
    }

    /// Counts streams that were reset for the client's errors since the last time.
    fn count_errors(&self) {
        let errors = self.transport.take_error_resets();
        if errors > 0 {
            self.info.context.metrics.borrow_mut().counters.h2_malformed += errors;
        }
    }

    /// Counts an end for too many frames of that name; `crate` is one that the crate has bounded.
    fn note_flood(&self, frames: &str) {
        self.info.context.metrics.borrow_mut().counters.h2_floods += 1;
        tracing::debug!(peer = %self.info.peer, frames, "an HTTP/2 client sends too many frames");
    }

    /// Counts an end that the crate has decided, which has said GOAWAY.
    fn note_end(&self, error: Option<&h2::Error>) {
        let Some(code) = error.filter(|error| error.is_library()).and_then(h2::Error::reason) else { return };
        if code == Code::ENHANCE_YOUR_CALM {
            return self.note_flood("crate");
        }
        self.note_break(code);
    }

    /// Counts an end for an error of the client.
    fn note_break(&self, code: Code) {
        self.info.context.metrics.borrow_mut().counters.h2_malformed += 1;
        tracing::debug!(peer = %self.info.peer, ?code, "an HTTP/2 client breaks the protocol");
    }

    /// Has the streams that are cut say so: ended before, they would take it for their client's doing.
    async fn hear_streams(&self, connection: &mut Connection<Io, Data>) {
        pause().await;
        // Takes what they have said.
        poll_fn(|cx| {
            let _ = connection.poll_accept(cx);
            Poll::Ready(())
        })
        .await;
    }

    /// Ends the connection, and says so.
    async fn end(&self, connection: &mut Connection<Io, Data>, code: Code) {
        self.transport.stop_reading();
        connection.abrupt_shutdown(code);
        let closing = pin!(poll_fn(|cx| connection.poll_closed(cx)));
        let _ = within(GOODBYE_TIMEOUT, closing).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<F: Future>(_: fn(Box<ServerConnection>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_costs_little_beside_the_crate() {
        let serving = size(serve);
        assert!(serving <= 768, "{serving} bytes");
        let shared = size_of::<H2Connection>() + size_of::<Transport>();
        assert!(shared <= 728, "{shared} bytes");
    }
}
