//! The response's way: from the backend's head to the last byte given to the client.

use std::io;
use std::time::Instant;

use gateway_http::h1::encode::{self, Persistence, ResponseOptions};
use gateway_http::h1::{BodyDecoder, BodyFraming, Fields, HeadEdits, Parsed, ResponseHead, Version};
use gateway_io::{Chunk, RecvHalf, SendHalf, now};
use gateway_snapshot::Filters;

use crate::Reason;
use crate::body::coop_budget::CoopBudget;
use crate::body::pump::{Pump, PumpError, ResponseStart, SendTimeout, flush};
use crate::context::WorkerContext;
use crate::exchange::attempt::{AttemptError, Progress, RequestMeta};
use crate::filters::edit_response;
use crate::h1::sink::ChunkSink;
use crate::upstream::logs_connections_in;

/// Most interim responses to one request. One with 100 and one with 103 are usual, 102 may be repeated (RFC 2518 section
/// 10.1); who sends more keeps a client and a connection busy without ever answering.
const MAX_INTERIM: u32 = 8;

/// The response's way to the client.
pub(crate) struct Download<'a> {
    pub(crate) context: &'a WorkerContext,
    pub(crate) from: &'a mut RecvHalf,
    pub(crate) to: &'a mut SendHalf,
    pub(crate) head: &'a mut ResponseHead,
    pub(crate) edits: &'a mut HeadEdits,
    pub(crate) decoder: &'a mut BodyDecoder,
    pub(crate) filters: &'a Filters,
    pub(crate) meta: RequestMeta,
    pub(crate) progress: &'a Progress,
}

/// A response that was given to the client whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// The client was told that its connection stays.
    pub(crate) keep: bool,
    /// The backend's connection can carry another request.
    pub(crate) reusable: bool,
}

/// The head that the client is to get.
struct DownstreamHead {
    out: Chunk,
    status: u16,
    /// The client is told that its connection stays.
    keep: bool,
    /// The body is sent in chunks.
    chunked: bool,
}

impl Download<'_> {
    pub(crate) async fn run(&mut self) -> Result<Delivered, AttemptError> {
        let (mut unread, mut interim) = (None, 0);
        let (head, consumed) = loop {
            let (mut head, consumed) = self.head(unread.take()).await?;
            let answer = self.head.view(&head);
            if answer.is_upgrade() {
                return Err(AttemptError::For(Reason::UpstreamUnexpectedUpgrade));
            }
            if !answer.is_interim() {
                break (head, consumed);
            }
            interim += 1;
            if interim > MAX_INTERIM {
                return Err(AttemptError::For(Reason::UpstreamTooManyInterim));
            }
            self.relay_interim(&head).await?;
            head.advance(consumed);
            unread = Some(head).filter(|rest| !rest.is_empty());
        };
        self.progress.answered_at.set(Some(Instant::now()));
        self.progress.permit.response_began();
        let answer = self.head.view(&head);
        let (framing, reusable) = (answer.framing(), answer.reusable());
        if matches!(answer.status(), 401 | 407) && challenges(answer.fields()) {
            self.progress.logs_in.set(true);
        }
        let start = self.announce(&head)?;
        let keep = start.keep;
        let mut rest = head;
        rest.advance(consumed);
        let rest = self.body(framing, start, Some(rest)).await?;
        Ok(Delivered { keep, reusable: reusable && rest.is_none() })
    }

    /// Receives until a head is whole; gives the buffer and the head's length in it.
    async fn head(&mut self, mut unread: Option<Chunk>) -> Result<(Chunk, usize), AttemptError> {
        let limits = &self.context.config.head;
        let mut begun = unread.is_some().then(now);
        loop {
            if let Some(buffer) = &unread {
                match self.head.parse(buffer, limits, self.meta.method) {
                    Ok(Parsed::Complete { consumed }) => {
                        if let Some(buffer) = unread {
                            return Ok((buffer, consumed));
                        }
                    }
                    Ok(Parsed::Incomplete) => {}
                    Err(error) => return Err(AttemptError::For(Reason::Response(error))),
                }
            }
            let more = self.more(begun).await?;
            begun.get_or_insert_with(now);
            unread = Some(match unread {
                None => more,
                Some(mut have) => {
                    let joined = have
                        .reserve(more.len(), limits.head.saturating_add(more.len()))
                        .and_then(|()| have.extend_from_slice(&more));
                    // The parser refuses a head at its limit before room for another chunk runs out.
                    joined.map_err(|_| AttemptError::For(Reason::UpstreamReset))?;
                    have
                }
            });
        }
    }

    /// The next bytes of a head of which the first came at `begun`. The time limit runs from the end of the request, and for
    /// a head that begins before that from its first byte: one that drips is given no more time for each byte.
    async fn more(&mut self, begun: Option<Instant>) -> Result<Chunk, AttemptError> {
        let limit = self.context.config.timeouts.response_header;
        loop {
            let since_begun = begun.map(|begun| now().saturating_duration_since(begun));
            let wait = match self.progress.since_upload().max(since_begun) {
                Some(since) if since >= limit => {
                    return Err(AttemptError::For(Reason::UpstreamResponseTimeout));
                }
                Some(since) => limit.saturating_sub(since),
                // The request is still on its way: how long that may take is the client's affair.
                None => limit,
            };
            self.from.set_deadline(Some(wait));
            let received = self.from.recv().await;
            self.from.set_deadline(None);
            match received {
                Ok(Some(chunk)) => return Ok(chunk),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                Ok(None) | Err(_) if begun.is_some() => return Err(AttemptError::For(Reason::UpstreamReset)),
                Ok(None) | Err(_) => return Err(AttemptError::BeforeResponse),
            }
        }
    }

    /// Passes a 1xx on; HTTP/1.0 knows none (RFC 9110 section 15.2).
    async fn relay_interim(&mut self, head: &Chunk) -> Result<(), AttemptError> {
        if self.meta.version == Version::Http10 {
            return Ok(());
        }
        self.edits.clear();
        let mut out = Chunk::take();
        encode::response(
            &mut ChunkSink::new(&mut out),
            &self.head.view(head),
            self.edits,
            &ResponseOptions::default(),
        )
        .map_err(|_| AttemptError::For(Reason::FilteredResponseInvalid))?;
        self.to.queue(out);
        flush(self.to, SendTimeout::of(self.context.config.timeouts.client_send))
            .await
            .map_err(|fault| AttemptError::For(reason(&fault)))
    }

    /// Writes the client's head.
    fn announce(&mut self, head: &Chunk) -> Result<DownstreamHead, AttemptError> {
        let answer = self.head.view(head);
        let (framing, must_close) = answer.client_framing(self.meta.version);
        // A response before the request's end leaves the connection in the middle of a body.
        let keep = self.meta.keep_alive
            && !must_close
            && !self.context.is_draining()
            && !self.progress.half_closed.get()
            && (self.progress.read.get() || self.meta.framing.is_empty());
        let invalid = AttemptError::For(Reason::FilteredResponseInvalid);
        self.edits.clear();
        edit_response(self.filters, answer.fields(), || self.context.clock.http_date(), self.edits)
            .map_err(|_| invalid)?;
        let options = ResponseOptions {
            framing,
            persistence: Persistence::new(self.meta.version, keep),
            upgrade: None,
        };
        let mut out = Chunk::take();
        encode::response(&mut ChunkSink::new(&mut out), &answer, self.edits, &options)
            .map_err(|_| invalid)?;
        self.progress.until_close.set(framing == BodyFraming::UntilClose);
        Ok(DownstreamHead { out, status: answer.status(), keep, chunked: framing == BodyFraming::Chunked })
    }

    /// Passes head and body on; gives what the backend sent behind it, which nobody asked for.
    async fn body(
        &mut self,
        framing: BodyFraming,
        announced: DownstreamHead,
        first: Option<Chunk>,
    ) -> Result<Option<Chunk>, AttemptError> {
        self.decoder.begin(framing).map_err(|error| AttemptError::For(Reason::UpstreamBodyInvalid(error)))?;
        let timeouts = &self.context.config.timeouts;
        let mut pump = Pump {
            decoder: self.decoder,
            chunked: announced.chunked,
            trailers: None,
            head: Some(ResponseStart {
                out: announced.out,
                status: announced.status,
                started: &self.progress.status,
            }),
            from: self.from,
            first,
            to: self.to,
            wait: timeouts.upstream_idle_body,
            min_rate: None,
            send_timeout: SendTimeout { limit: timeouts.client_send, rate: timeouts.client_rate },
            bytes: &self.progress.sent,
            budget: CoopBudget::of(self.context),
            progress: &self.progress.download_at,
        };
        pump.run().await.map_err(|fault| AttemptError::For(reason(&fault)))
    }
}

/// True if the client is asked for credentials that count for a connection.
fn challenges(fields: Fields<'_>) -> bool {
    let [own, proxy] = ["www-authenticate", "proxy-authenticate"].map(|name| fields.get_all(name.as_bytes()));
    own.chain(proxy).any(logs_connections_in)
}

fn reason(fault: &PumpError) -> Reason {
    match fault {
        PumpError::SourceLost => Reason::UpstreamBodyTruncated,
        // Backends have no pace: event streams say little.
        PumpError::SourceTimeout | PumpError::SourceSlow => Reason::UpstreamBodyTimeout,
        PumpError::Body(error) => Reason::UpstreamBodyInvalid(*error),
        PumpError::SinkLost => Reason::ClientClosed,
        PumpError::SinkTimeout => Reason::ClientSendTimeout,
    }
}
