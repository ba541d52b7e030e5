//! One request and its answer on one upstream connection: both directions at once.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use gateway_http::h1::{BodyDecoder, BodyError, BodyFraming, Method, Version};
use gateway_io::{Chunk, RecvHalf, SendHalf, Stream, now};

use super::body::{Patience, Pump, PumpFault, discard, flush};
use super::download::{Delivered, Download};
use super::half_close::outstayed;
use super::pace::Pace;
use super::turns::Turns;
use crate::Reason;
use crate::filters::RequestTrailers;
use crate::upstream::Seat;
use crate::worker::Worker;

/// What the answer depends on of the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) keep_alive: bool,
    pub(super) framing: BodyFraming,
}

/// How far an exchange has come; it lives outside so that it can be read after the exchange was dropped.
pub(super) struct Progress {
    /// The request was sent to its end.
    pub(super) uploaded: Cell<bool>,
    /// It was received to its end, wherever it went.
    pub(super) read: Cell<bool>,
    /// The exchange logs the backend's connection in.
    pub(super) logs_in: Cell<bool>,
    /// The client has finished sending.
    pub(super) half_closed: Cell<bool>,
    /// The request goes no further, sent whole or not.
    over: Cell<bool>,
    /// When the backend last took something.
    pub(super) upload_at: Cell<Instant>,
    /// Octets received behind the request.
    pub(super) rest: Cell<Option<Chunk>>,
    pub(super) received: Cell<u64>,
    /// Status of the answer whose head was given to the client; 0 before.
    pub(super) status: Cell<u16>,
    /// When the answer's head was complete.
    pub(super) answered_at: Cell<Option<Instant>>,
    /// The answer ends with the client's connection: a cut would look like its end.
    pub(super) until_close: Cell<bool>,
    pub(super) download_at: Cell<Instant>,
    pub(super) sent: Cell<u64>,
    /// The request's place at its backend.
    pub(super) seat: Seat,
}

/// How an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    For(Reason),
    /// The backend closed before the first octet of an answer: on a reused connection it may not have seen the request.
    BeforeAnswer,
}

/// The request's way to the backend. Its head is queued already.
pub(super) struct Upload<'a> {
    pub(super) worker: &'a Worker,
    pub(super) from: &'a mut RecvHalf,
    pub(super) to: &'a mut SendHalf,
    pub(super) decoder: &'a mut BodyDecoder,
    pub(super) framing: BodyFraming,
    pub(super) first: Option<Chunk>,
    /// Nothing was received behind a request without body, so the client's side is watched from its head on.
    pub(super) watch: bool,
    /// Policy for its trailers.
    pub(super) trailers: RequestTrailers<'a>,
    pub(super) turns: Turns,
    pub(super) progress: &'a Progress,
}

/// The request's way ended before the response's: the client is at fault, or gone, and the exchange is over.
struct ClientEnd(Reason);

impl Progress {
    pub(super) fn new(seat: Seat) -> Self {
        let now = now();
        Self {
            uploaded: Cell::new(false),
            read: Cell::new(false),
            logs_in: Cell::new(false),
            half_closed: Cell::new(false),
            over: Cell::new(false),
            upload_at: Cell::new(now),
            rest: Cell::new(None),
            received: Cell::new(0),
            status: Cell::new(0),
            answered_at: Cell::new(None),
            until_close: Cell::new(false),
            download_at: Cell::new(now),
            sent: Cell::new(0),
            seat,
        }
    }

    fn end_upload(&self) {
        self.over.set(true);
        self.upload_at.set(now());
    }

    /// Nothing of an answer has been given to the client.
    pub(super) fn may_answer(&self) -> bool {
        self.status.get() == 0
    }

    /// For another attempt of the same request. Octets received behind it stay.
    pub(super) fn restart(&self) {
        self.uploaded.set(false);
        self.read.set(false);
        self.over.set(false);
    }

    /// Whether octets behind the request were received already.
    pub(super) fn has_rest(&self) -> bool {
        let rest = self.rest.take();
        let has = rest.is_some();
        self.rest.set(rest);
        has
    }

    /// True if the backend still takes the request.
    pub(super) fn goes_on(&self) -> bool {
        !self.over.get()
    }

    /// How long the backend has had all of the request that it will get.
    pub(super) fn since_upload(&self) -> Option<Duration> {
        self.over.get().then(|| now().saturating_duration_since(self.upload_at.get()))
    }
}

/// Runs both directions until the response is delivered. Early responses are delivered while the request still arrives.
/// The future may be dropped at any point: operations belong to the streams.
pub(super) async fn exchange(
    upload: &mut Upload<'_>,
    download: &mut Download<'_>,
) -> Result<Delivered, Failed> {
    let mut upload = pin!(upload.run());
    let mut download = pin!(download.run());
    poll_fn(|cx| {
        if let Poll::Ready(ClientEnd(reason)) = upload.as_mut().poll(cx) {
            // Who has had all of its response may have taken it and left.
            return match download.as_mut().poll(cx) {
                Poll::Ready(Ok(delivered)) => Poll::Ready(Ok(delivered)),
                _ => Poll::Ready(Err(Failed::For(reason))),
            };
        }
        download.as_mut().poll(cx)
    })
    .await
}

impl Upload<'_> {
    async fn run(&mut self) -> ClientEnd {
        let progress = self.progress;
        match self.send().await {
            Ok(rest) => {
                progress.uploaded.set(true);
                self.arrived(rest);
            }
            Err(fault) => {
                if let Some(reason) = fault_of_client(&fault) {
                    return ClientEnd(reason);
                }
                progress.end_upload();
                // The backend takes no more; it may have responded all the same. A client that writes all of its request
                // before it reads would not see that if nobody took the rest.
                match self.discard().await {
                    Ok(rest) => self.arrived(rest),
                    Err(PumpFault::SourceLost | PumpFault::Body(BodyError::Truncated)) => {
                        return ClientEnd(Reason::ClientClosed);
                    }
                    Err(_) => return pending().await,
                }
            }
        }
        if !self.watch {
            return pending().await;
        }
        // The next request may come early, and then waits; the end of the connection may end the exchange.
        match self.from.recv().await {
            Ok(Some(early)) => {
                progress.rest.set(Some(early));
                return pending().await;
            }
            Ok(None) => outstayed(self.worker, self.from, progress).await,
            Err(_) => {}
        }
        ClientEnd(Reason::ClientClosed)
    }

    /// Notes that the request was received to its end, and what came behind it.
    fn arrived(&mut self, rest: Option<Chunk>) {
        let progress = self.progress;
        if rest.is_some() {
            self.watch = false;
            progress.rest.set(rest);
        }
        progress.read.set(true);
        if progress.uploaded.get() {
            progress.end_upload();
        }
    }

    /// Receives the rest of the body and forgets it.
    async fn discard(&mut self) -> Result<Option<Chunk>, PumpFault> {
        if self.framing.is_empty() {
            return Ok(None);
        }
        let timeouts = &self.worker.config.timeouts;
        let pace = Pace::new(timeouts.client_rate, timeouts.client_body, &self.progress.status);
        discard(self.from, self.decoder, timeouts.client_body, &pace).await
    }

    async fn send(&mut self) -> Result<Option<Chunk>, PumpFault> {
        if self.framing.is_empty() {
            return flush(self.to, Patience::of(self.worker.config.timeouts.upstream_idle_body))
                .await
                .map(|()| None);
        }
        let mut pump = Pump {
            decoder: self.decoder,
            chunked: self.framing == BodyFraming::Chunked,
            trailers: Some(self.trailers),
            head: None,
            from: self.from,
            first: self.first.take(),
            to: self.to,
            wait: self.worker.config.timeouts.client_body,
            pace: Some(Pace::new(
                self.worker.config.timeouts.client_rate,
                self.worker.config.timeouts.client_body,
                &self.progress.status,
            )),
            take: Patience::of(self.worker.config.timeouts.upstream_idle_body),
            passed: &self.progress.received,
            turns: self.turns,
            progress: &self.progress.upload_at,
        };
        pump.run().await
    }
}

/// Why the exchange is over, unless it is the backend that takes no more.
fn fault_of_client(fault: &PumpFault) -> Option<Reason> {
    match fault {
        PumpFault::SourceLost | PumpFault::Body(BodyError::Truncated) => Some(Reason::ClientClosed),
        PumpFault::SourceTimeout => Some(Reason::RequestBodyTimeout),
        PumpFault::SourceSlow => Some(Reason::RequestBodyTooSlow),
        PumpFault::Body(error) => Some(Reason::RequestBody(*error)),
        PumpFault::SinkLost | PumpFault::SinkTimeout => None,
    }
}

/// The halves of both connections, each on its way.
pub(super) fn crossed<'a>(
    client: &'a mut Stream,
    upstream: &'a mut Stream,
) -> ((&'a mut RecvHalf, &'a mut SendHalf), (&'a mut RecvHalf, &'a mut SendHalf)) {
    ((&mut client.recv, &mut upstream.send), (&mut upstream.recv, &mut client.send))
}
