//! Reading on after a response that came before its request's end. A connection that is closed with unread bytes is reset by
//! the kernel, and the reset destroys a response that the client has not read yet (RFC 9112 section 9.6); a client that writes
//! all of its request before it reads has read nothing of it.

use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use gateway_http::h1::BodyDecoder;
use gateway_io::{AssertCancelSafe, Chunk, Stream, now, race};

use super::body::{Patience, decode, flush, queue_chunk, queue_end};
use super::pace::Pace;
use super::scratch::Scratch;
use crate::filters::RequestTrailers;
use crate::upstream::Lease;
use crate::worker::{Membership, Worker};

/// How long a client may go on sending its request.
const LONGEST: Duration = Duration::from_secs(30);
/// And be silent meanwhile.
const SILENCE: Duration = Duration::from_secs(5);
/// How long a backend that has responded may take nothing of the rest of its request.
const RELAY_PATIENCE: Duration = Duration::from_secs(2);
/// How long a client that has sent all may take to close.
const GOODBYE: Duration = Duration::from_secs(2);
/// And how much it may send beyond its request.
const GOODBYE_BYTES: usize = 256 * 1024;
/// The same where its place is wanted.
const WANTED: Duration = Duration::from_secs(1);

/// A request's remainder at the time when its response is out.
#[derive(Debug)]
pub(super) struct Linger {
    pub(super) left: Left,
    /// The response ends with our side of the connection, which cannot wait for the request's end.
    pub(super) until_close: bool,
    /// The backend, if it still takes the request.
    pub(super) relay: Option<Box<Relay>>,
}

/// How much of the request is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing.
    Nothing,
    /// As much of the body as its decoder expects.
    Body,
    /// Nobody knows: there was no valid head.
    Unknown,
}

/// A backend that gets the rest of a request to which it has responded. Its connection carries no other one.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) lease: Lease,
    /// The body goes on in chunks.
    pub(super) chunked: bool,
}

impl Linger {
    /// After a response that ends in its own framing and comes from nobody who wants the rest.
    pub(super) fn after(left: Left) -> Self {
        Self { left, until_close: false, relay: None }
    }
}

/// Ends a client's connection so that the response reaches it: reads on by time and rate, and says that nothing more comes
/// once the request is at its end. Clients over TLS stop writing, and some stop reading, when they are told so before.
pub(super) async fn linger(
    membership: Membership,
    mut stream: Stream,
    mut scratch: Box<Scratch>,
    linger: Linger,
) {
    let worker = Rc::clone(membership.worker());
    match worker.enter_lingering(&membership) {
        Some(place) => {
            let reading = read_on(&worker, &mut stream, &mut scratch.request_body, linger);
            let leave = place.leave().wait();
            let either = race(AssertCancelSafe(reading), AssertCancelSafe(leave));
            let _ = membership.control.kill.unless(pin!(either)).await;
        }
        None => {
            let limit = if membership.is_over_limit() { WANTED } else { GOODBYE };
            let closing = stream.close_lingering(GOODBYE_BYTES, limit);
            let _ = membership.control.kill.unless(pin!(closing)).await;
        }
    }
    worker.give_back(scratch);
}

async fn read_on(worker: &Worker, stream: &mut Stream, decoder: &mut BodyDecoder, linger: Linger) {
    let Linger { left, until_close, mut relay } = linger;
    let ends = now() + LONGEST;
    let mut known = left == Left::Body;
    let mut closed = until_close || !known;
    if closed && !half_close(stream).await {
        return;
    }
    // A conversation has no pace, but this is none.
    let pace = Pace::of_sender(worker.config.timeouts.client_rate, SILENCE);
    while left != Left::Nothing && !(known && decoder.is_finished()) {
        let Some(chunk) = next(stream, ends, &pace).await else { return };
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
async fn next(stream: &mut Stream, ends: Instant, pace: &Pace<'_>) -> Option<Chunk> {
    let began = now();
    let left = ends.saturating_duration_since(began);
    if left.is_zero() {
        return None;
    }
    stream.recv.set_deadline(Some(left.min(SILENCE)));
    let received = stream.recv.recv().await;
    stream.recv.set_deadline(None);
    let chunk = received.ok().flatten()?;
    pace.keeps(now().saturating_duration_since(began), chunk.len()).then_some(chunk)
}

/// Says that nothing more comes; false if the client cannot be told.
async fn half_close(stream: &mut Stream) -> bool {
    stream.send.set_deadline(Some(GOODBYE));
    stream.send.shutdown_write().await.is_ok()
}

/// Waits for the client's end.
async fn drop_rest(stream: &mut Stream) {
    stream.recv.set_deadline(Some(GOODBYE));
    let mut dropped = 0;
    while dropped < GOODBYE_BYTES {
        match stream.recv.recv().await {
            Ok(Some(chunk)) => dropped += chunk.len(),
            Ok(None) | Err(_) => return,
        }
    }
}

impl Relay {
    /// Passes a piece of the body on; false if the backend takes no more.
    async fn pass(&mut self, data: Chunk, finished: bool, decoder: &mut BodyDecoder) -> bool {
        let to = &mut self.lease.stream.send;
        match data {
            data if data.is_empty() => {}
            data if self.chunked => queue_chunk(to, data),
            data => to.queue(data),
        }
        if finished && self.chunked {
            RequestTrailers::Drop.screen(decoder);
            queue_end(to, decoder);
        }
        flush(to, Patience::of(RELAY_PATIENCE)).await.is_ok()
    }
}
