//! Reading on after a response that came before its request's end. A connection that is closed with unread bytes is reset by
//! the kernel, and the reset destroys a response that the client has not read yet (RFC 9112 section 9.6); a client that writes
//! all of its request before it reads has read nothing of it.

use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use gateway_http::h1::BodyDecoder;
use gateway_io::{AssertCancelSafe, Chunk, Stream, now, race};

use crate::body::flush::flush;
use crate::body::min_rate::MinRate;
use crate::body::pacing::SendTimeout;
use crate::connection::slot::ConnectionSlot;
use crate::h1::body::{decode, queue_chunk, queue_end};
use crate::h1::scratch::Scratch;
use crate::upstream::{Lease, Leased};
use crate::worker::Worker;

/// How long a client may go on sending its request.
pub(crate) const LINGER_MAX: Duration = Duration::from_secs(30);
/// And be silent meanwhile.
pub(crate) const LINGER_IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a backend that has responded may take nothing of the rest of its request.
const RELAY_SEND_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a client that has sent all may take to close.
const LINGER_CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// And how much it may send beyond its request.
const LINGER_CLOSE_BYTES: usize = 256 * 1024;
/// The same where its place is wanted.
const SCARCE_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A request's remainder at the time when its response is out.
#[derive(Debug)]
pub(crate) struct Linger {
    pub(crate) remaining: Remaining,
    /// The response ends with our side of the connection, which cannot wait for the request's end.
    pub(crate) until_close: bool,
    /// The backend, if it still takes the request.
    pub(crate) relay: Option<Box<Relay>>,
}

/// How much of the request is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remaining {
    /// Nothing.
    Nothing,
    /// As much of the body as its decoder expects.
    Body,
    /// Nobody knows: there was no valid head.
    Unknown,
}

/// A backend that gets the rest of a request to which it has responded. Its connection carries no other one.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) lease: Lease,
    /// The body goes on in chunks.
    pub(crate) chunked: bool,
}

impl Linger {
    /// After a response that ends in its own framing and comes from nobody who wants the rest.
    pub(crate) fn after(remaining: Remaining) -> Self {
        Self { remaining, until_close: false, relay: None }
    }
}

/// Ends a client's connection so that the response reaches it: reads on by time and rate, and says that nothing more comes
/// once the request is at its end. Clients over TLS stop writing, and some stop reading, when they are told so before.
pub(crate) async fn linger(
    slot: ConnectionSlot,
    mut stream: Stream,
    mut scratch: Box<Scratch>,
    linger: Linger,
) {
    let worker = Rc::clone(slot.worker());
    match worker.enter_lingering(&slot) {
        Some(place) => {
            let reading = read_on(&worker, &mut stream, &mut scratch.codec.request_body, linger);
            let leave = place.leave().wait();
            let either = race(AssertCancelSafe(reading), AssertCancelSafe(leave));
            let _ = slot.control.kill.unless(pin!(either)).await;
        }
        None => {
            let limit =
                if slot.control.is_over_limit() { SCARCE_CLOSE_TIMEOUT } else { LINGER_CLOSE_TIMEOUT };
            let closing = stream.close_lingering(LINGER_CLOSE_BYTES, limit);
            let _ = slot.control.kill.unless(pin!(closing)).await;
        }
    }
    worker.give_back(scratch);
}

async fn read_on(worker: &Worker, stream: &mut Stream, decoder: &mut BodyDecoder, linger: Linger) {
    let Linger { remaining, until_close, mut relay } = linger;
    let ends = now() + LINGER_MAX;
    let mut known = remaining == Remaining::Body;
    let mut closed = until_close || !known;
    if closed && !half_close(stream).await {
        return;
    }
    // A conversation has no pace, but this is none.
    let min_rate = MinRate::of_sender(worker.context.config.timeouts.client_rate, LINGER_IDLE_TIMEOUT);
    while remaining != Remaining::Nothing && !(known && decoder.is_finished()) {
        let Some(chunk) = next(stream, ends, &min_rate).await else { return };
        if !known {
            continue;
        }
        match decode(decoder, chunk) {
            Ok(piece) => {
                if let Some(taker) = &mut relay
                    && !taker.pass(piece.data, piece.finished, decoder).await
                {
                    relay = None;
                }
            }
            Err(_) => {
                // Nobody knows the end of what breaks its own framing.
                (known, relay) = (false, None);
                if !closed && !half_close(stream).await {
                    return;
                }
                closed = true;
            }
        }
    }
    drop(relay);
    if closed || half_close(stream).await {
        drop_rest(stream).await;
    }
}

/// The next bytes that the client sends while it may go on.
async fn next(stream: &mut Stream, ends: Instant, min_rate: &MinRate<'_>) -> Option<Chunk> {
    let began = now();
    let remaining = ends.saturating_duration_since(began);
    if remaining.is_zero() {
        return None;
    }
    stream.recv.set_deadline(Some(remaining.min(LINGER_IDLE_TIMEOUT)));
    let received = stream.recv.recv().await;
    stream.recv.set_deadline(None);
    let chunk = received.ok().flatten()?;
    min_rate.is_met(now().saturating_duration_since(began), chunk.len()).then_some(chunk)
}

/// Says that nothing more comes; false if the client cannot be told.
async fn half_close(stream: &mut Stream) -> bool {
    stream.send.set_deadline(Some(LINGER_CLOSE_TIMEOUT));
    stream.send.shutdown_write().await.is_ok()
}

/// Waits for the client's end.
async fn drop_rest(stream: &mut Stream) {
    stream.recv.set_deadline(Some(LINGER_CLOSE_TIMEOUT));
    let mut dropped = 0;
    while dropped < LINGER_CLOSE_BYTES {
        match stream.recv.recv().await {
            Ok(Some(chunk)) => dropped += chunk.len(),
            Ok(None) | Err(_) => return,
        }
    }
}

impl Relay {
    /// Passes a piece of the body on; false if the backend takes no more.
    async fn pass(&mut self, data: Chunk, finished: bool, decoder: &mut BodyDecoder) -> bool {
        // One over HTTP/2 is reset instead.
        let Leased::Exclusive(Stream { send: to, .. }) = &mut self.lease.connection else { return false };
        match data {
            data if data.is_empty() => {}
            data if self.chunked => queue_chunk(to, data),
            data => to.queue(data),
        }
        if finished && self.chunked {
            // Its rule is forgotten, and with it the trailers that may pass.
            decoder.retain_trailers(|_| false);
            queue_end(to, decoder.trailers());
        }
        flush(to, SendTimeout::of(RELAY_SEND_TIMEOUT)).await.is_ok()
    }
}
