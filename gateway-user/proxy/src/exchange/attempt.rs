//! One request and its response on one upstream connection: both directions at once.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use gateway_http::h1::{BodyDecoder, BodyError, BodyFraming, Method, Version};
use gateway_io::{Chunk, RecvHalf, SendHalf, Stream, now};

use crate::Reason;
use crate::body::coop_budget::CoopBudget;
use crate::body::min_rate::MinRate;
use crate::body::pump::{Pump, PumpError, SendTimeout, discard, flush};
use crate::context::WorkerContext;
use crate::exchange::deliver::{Delivered, Download};
use crate::exchange::half_close::expired;
use crate::filters::RequestTrailers;
use crate::upstream::Permit;

/// The parts of a request that its response depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestMeta {
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) keep_alive: bool,
    pub(crate) framing: BodyFraming,
}

/// How far an exchange has come; it lives outside so that it can be read after the exchange was dropped.
pub(crate) struct Progress {
    /// The request was sent to its end.
    pub(crate) uploaded: Cell<bool>,
    /// It was received to its end, wherever it went.
    pub(crate) read: Cell<bool>,
    /// The exchange logs the backend's connection in.
    pub(crate) logs_in: Cell<bool>,
    /// The client has finished sending.
    pub(crate) half_closed: Cell<bool>,
    /// The request goes no further, sent whole or not.
    over: Cell<bool>,
    /// When the backend last took something.
    pub(crate) upload_at: Cell<Instant>,
    /// Bytes received behind the request.
    pub(crate) rest: Cell<Option<Chunk>>,
    pub(crate) received: Cell<u64>,
    /// Status of the response whose head was given to the client; 0 before.
    pub(crate) status: Cell<u16>,
    /// When the response's head was complete.
    pub(crate) answered_at: Cell<Option<Instant>>,
    /// The response ends with the client's connection: a cut would look like its end.
    pub(crate) until_close: Cell<bool>,
    pub(crate) download_at: Cell<Instant>,
    pub(crate) sent: Cell<u64>,
    /// The request's place at its backend.
    pub(crate) permit: Permit,
}

/// How an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptError {
    For(Reason),
    /// The backend closed before the first byte of a response: on a reused connection it may not have seen the request.
    BeforeResponse,
}

impl AttemptError {
    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::For(reason) => reason,
            Self::BeforeResponse => Reason::UpstreamReset,
        }
    }
}

/// The request's way to the backend. Its head is queued already.
pub(crate) struct Upload<'a> {
    pub(crate) context: &'a WorkerContext,
    pub(crate) from: &'a mut RecvHalf,
    pub(crate) to: &'a mut SendHalf,
    pub(crate) decoder: &'a mut BodyDecoder,
    pub(crate) framing: BodyFraming,
    pub(crate) first: Option<Chunk>,
    /// Nothing was received behind a request without body, so the client's side is watched from its head on.
    pub(crate) watch: bool,
    /// Policy for its trailers.
    pub(crate) trailers: RequestTrailers<'a>,
    pub(crate) budget: CoopBudget,
    pub(crate) progress: &'a Progress,
}

/// The request's way ended before the response's: the client is at fault, or gone, and the exchange is over.
struct ClientEnd(Reason);

impl Progress {
    pub(crate) fn new(permit: Permit) -> Self {
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
            permit,
        }
    }

    fn end_upload(&self) {
        self.over.set(true);
        self.upload_at.set(now());
    }

    /// Nothing of a response has been given to the client.
    pub(crate) fn may_answer(&self) -> bool {
        self.status.get() == 0
    }

    /// For another attempt of the same request. Bytes received behind it stay.
    pub(crate) fn restart(&self) {
        self.uploaded.set(false);
        self.read.set(false);
        self.over.set(false);
    }

    /// True if bytes behind the request were received already.
    pub(crate) fn has_rest(&self) -> bool {
        let rest = self.rest.take();
        let has = rest.is_some();
        self.rest.set(rest);
        has
    }

    /// True if the backend still takes the request.
    pub(crate) fn goes_on(&self) -> bool {
        !self.over.get()
    }

    /// How long the backend has had all of the request that it will get.
    pub(crate) fn since_upload(&self) -> Option<Duration> {
        self.over.get().then(|| now().saturating_duration_since(self.upload_at.get()))
    }
}

/// Runs both directions until the response is delivered. Early responses are delivered while the request still arrives.
/// The future may be dropped at any point: operations belong to the streams.
pub(crate) async fn exchange(
    upload: &mut Upload<'_>,
    download: &mut Download<'_>,
) -> Result<Delivered, AttemptError> {
    let mut upload = pin!(upload.run());
    let mut download = pin!(download.run());
    poll_fn(|cx| {
        if let Poll::Ready(ClientEnd(reason)) = upload.as_mut().poll(cx) {
            // Who has had all of its response may have taken it and left.
            return match download.as_mut().poll(cx) {
                Poll::Ready(Ok(delivered)) => Poll::Ready(Ok(delivered)),
                _ => Poll::Ready(Err(AttemptError::For(reason))),
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
                    Err(PumpError::SourceLost | PumpError::Body(BodyError::Truncated)) => {
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
            Ok(None) => expired(self.context, self.from, progress).await,
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
    async fn discard(&mut self) -> Result<Option<Chunk>, PumpError> {
        if self.framing.is_empty() {
            return Ok(None);
        }
        let timeouts = &self.context.config.timeouts;
        let min_rate = MinRate::new(timeouts.client_rate, timeouts.client_body, &self.progress.status);
        discard(self.from, self.decoder, timeouts.client_body, &min_rate).await
    }

    async fn send(&mut self) -> Result<Option<Chunk>, PumpError> {
        if self.framing.is_empty() {
            return flush(self.to, SendTimeout::of(self.context.config.timeouts.upstream_idle_body))
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
            wait: self.context.config.timeouts.client_body,
            min_rate: Some(MinRate::new(
                self.context.config.timeouts.client_rate,
                self.context.config.timeouts.client_body,
                &self.progress.status,
            )),
            send_timeout: SendTimeout::of(self.context.config.timeouts.upstream_idle_body),
            bytes: &self.progress.received,
            budget: self.budget,
            progress: &self.progress.upload_at,
        };
        pump.run().await
    }
}

/// Why the exchange is over, unless it is the backend that takes no more.
fn fault_of_client(fault: &PumpError) -> Option<Reason> {
    match fault {
        PumpError::SourceLost | PumpError::Body(BodyError::Truncated) => Some(Reason::ClientClosed),
        PumpError::SourceTimeout => Some(Reason::RequestBodyTimeout),
        PumpError::SourceSlow => Some(Reason::RequestBodyTooSlow),
        PumpError::Body(error) => Some(Reason::RequestBody(*error)),
        PumpError::SinkLost | PumpError::SinkTimeout => None,
    }
}

/// The halves of both connections, each on its way.
pub(crate) fn split_directions<'a>(
    client: &'a mut Stream,
    upstream: &'a mut Stream,
) -> ((&'a mut RecvHalf, &'a mut SendHalf), (&'a mut RecvHalf, &'a mut SendHalf)) {
    ((&mut client.recv, &mut upstream.send), (&mut upstream.recv, &mut client.send))
}
