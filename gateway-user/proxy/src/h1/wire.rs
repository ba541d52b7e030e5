//! HTTP/1.1 on both sides of an exchange.

use std::cell::Cell;
use std::future::pending;
use std::net::SocketAddr;

use gateway_http::h1::BodyFraming;
use gateway_http::head::{HeadEdits, RequestParts};
use gateway_io::{Chunk, Stream};

use super::body::{H1Sink, H1Source, LargeChunks};
use super::head::Head;
use super::linger::Relay;
use super::request_source::H1RequestSource;
use super::response_sink::H1ResponseSink;
use super::scratch::Codec;
use crate::Reason;
use crate::backend::{self, BackendSink, BackendSource, Reading};
use crate::connection::info::ConnInfo;
use crate::exchange::progress::Progress;
use crate::exchange::wire::{Halves, Release, RequestSource as _, Wire};
use crate::upstream::{Cluster, Lease, PrivateConnections, Tried, lease};

/// One request on a client's connection, and the backend's connection while there is one.
pub(crate) struct H1Wire<'c> {
    pub(super) info: &'c ConnInfo,
    pub(super) stream: &'c mut Stream,
    /// Holds the request's head, and all that was received behind it.
    pub(super) inbox: &'c mut Option<Chunk>,
    pub(super) private: &'c mut Option<Box<PrivateConnections>>,
    pub(super) codec: &'c mut Codec,
    pub(super) head: &'c Head,
    /// A copy of the head, once the inbox is taken with the body, for a request that may have to be sent again.
    pub(super) kept_head: Option<Chunk>,
    /// It may be one whatever its backend speaks.
    pub(super) keeps_head: bool,
    pub(super) end: H1End,
}

/// The state in which an exchange leaves its connections.
#[derive(Debug, Default)]
pub(crate) struct H1End {
    /// The client was told that its connection stays.
    pub(super) keep_alive: bool,
    /// The response ends with the client's connection: a cut would look like its end.
    pub(super) until_close: bool,
    /// The client has finished sending.
    pub(super) half_closed: Cell<bool>,
    /// Bytes received behind the request.
    pub(super) early: Option<Chunk>,
    /// Bytes received behind the response, for which nobody asked.
    pub(super) unasked: Option<Chunk>,
    /// The backend, if it has responded early and still takes the request.
    pub(super) relay: Option<Box<Relay>>,
    /// The backend's side of a tunnel.
    pub(super) tunnel: Option<Lease>,
}

impl<'c> Wire for H1Wire<'c> {
    type Lease = Lease;
    type RequestSource<'a>
        = H1RequestSource<'a>
    where
        Self: 'a;
    type RequestSink<'a>
        = BackendSink<'a>
    where
        Self: 'a;
    type ResponseSource<'a>
        = BackendSource<'a>
    where
        Self: 'a;
    type ResponseSink<'a>
        = H1ResponseSink<'a>
    where
        Self: 'a;

    fn request(&self) -> RequestParts<'_> {
        self.codec.request.view(self.received()).parts(self.info.scheme())
    }

    fn wants_upgrade(&self) -> bool {
        self.head.upgrade.is_some()
    }

    fn has_underscores(&self) -> bool {
        self.codec.request.has_underscores()
    }

    fn retain_fields(&mut self, mut keep: impl FnMut(&[u8]) -> bool) {
        let received = self.inbox.as_deref().or(self.kept_head.as_deref()).unwrap_or_default();
        self.codec.request.retain_fields(received, |field| keep(field.name));
    }

    async fn lease(
        &mut self,
        cluster: &Cluster,
        reuse: bool,
        tried: &mut Tried<'_>,
    ) -> Result<Lease, Reason> {
        let own = self.private.as_mut().filter(|_| reuse).and_then(|private| private.take(cluster));
        match own {
            Some(lease) => Ok(lease),
            None => lease(&self.info.context, cluster, reuse, None, tried).await,
        }
    }

    fn begin(&mut self, lease: &mut Lease, edits: &HeadEdits) -> Result<(), Reason> {
        let framing = self.head.meta.framing;
        let upgrade = self.head.upgrade.as_ref().map(|upgrade| upgrade.name(&self.info.context.config));
        backend::begin(lease, &self.request(), edits, framing, upgrade)?;
        self.codec.request_body.begin(framing).map_err(Reason::RequestBody)
    }

    fn halves<'a>(&'a mut self, lease: &'a mut Lease, progress: &'a Progress) -> Halves<'a, Self> {
        let (first, is_watched) = self.take_body(self.keeps_head || !lease.is_exclusive());
        let large = if lease.is_exclusive() { LargeChunks::Known } else { LargeChunks::Never };
        let Self { info, stream, codec, head, end, .. } = self;
        let context = &*info.context;
        let reading = Reading {
            config: &context.config,
            method: head.meta.method,
            upgrade: head.upgrade,
            head: &mut codec.response,
            decoder: &mut codec.response_body,
            large: LargeChunks::Possible,
            unasked: &mut end.unasked,
        };
        let (request_sink, response_source) = backend::halves(lease, head.meta.framing, reading);
        Halves {
            request_source: H1RequestSource {
                context,
                body: H1Source {
                    from: &mut stream.recv,
                    decoder: &mut codec.request_body,
                    first,
                    rest: &mut end.early,
                    large,
                },
                is_watched,
                half_closed: &end.half_closed,
                progress,
            },
            request_sink,
            response_source,
            response_sink: H1ResponseSink {
                info,
                meta: head.meta,
                body: H1Sink {
                    to: &mut stream.send,
                    chunked: false,
                    trailers: head.meta.accepts_trailers,
                    head: None,
                },
                keep_alive: &mut end.keep_alive,
                until_close: &mut end.until_close,
                half_closed: &end.half_closed,
                upgrade: head.upgrade,
                progress,
            },
        }
    }

    fn keep_head(&mut self) {
        self.keeps_head = true;
    }

    async fn gone(&mut self, progress: &Progress) {
        if !self.head.meta.framing.is_empty() && !progress.read.get() {
            // It is the body that comes next.
            return pending().await;
        }
        let is_watched = self.inbox.as_ref().is_none_or(|inbox| inbox.len() <= self.head.len);
        let Self { info, stream, codec, end, .. } = self;
        let mut source = H1RequestSource {
            context: &info.context,
            body: H1Source {
                from: &mut stream.recv,
                decoder: &mut codec.request_body,
                first: None,
                rest: &mut end.early,
                large: LargeChunks::Never,
            },
            is_watched,
            half_closed: &end.half_closed,
            progress,
        };
        source.gone().await;
    }

    fn release(&mut self, lease: Lease, then: Release) {
        match then {
            Release::Shared => lease.keep(&self.info.context),
            Release::Private => lease.keep_private(self.private.get_or_insert_default()),
            // A stream is reset instead.
            Release::Relay if !lease.is_exclusive() => drop(lease),
            // Nothing leaves a connection that carries one response at a time.
            Release::Left => drop(lease),
            Release::Tunnel => self.end.tunnel = Some(lease),
            Release::Relay => {
                let chunked = self.head.meta.framing == BodyFraming::Chunked;
                self.end.relay = Some(Box::new(Relay { lease, chunked }));
            }
        }
    }
}

impl H1Wire<'_> {
    fn received(&self) -> &[u8] {
        self.inbox.as_deref().or(self.kept_head.as_deref()).unwrap_or_default()
    }

    /// The part of the request's body that was received, and true if the client is to be watched once the request is at its end.
    /// `keeps_head`: the request may have to be sent again though it has a body.
    fn take_body(&mut self, keeps_head: bool) -> (Option<Chunk>, bool) {
        let len = self.head.len;
        if self.head.meta.framing.is_empty() {
            // The head stays in the inbox until the response is there: the request may have to be sent again.
            let nothing_behind = self.inbox.as_ref().is_none_or(|inbox| inbox.len() <= len);
            return (None, nothing_behind);
        }
        let mut inbox = self.inbox.take();
        if keeps_head && let Some(text) = inbox.as_ref().and_then(|inbox| inbox.get(..len)) {
            let mut copy = Chunk::with_capacity(len);
            // Fits: the capacity was just asked for.
            let _ = copy.extend_from_slice(text);
            self.kept_head = Some(copy);
        }
        inbox.iter_mut().for_each(|inbox| inbox.advance(len));
        (inbox, true)
    }
}

impl crate::exchange::wire::Lease for Lease {
    fn address(&self) -> SocketAddr {
        self.backend().address
    }

    fn is_reused(&self) -> bool {
        self.reused
    }

    fn is_private(&self) -> bool {
        self.private
    }
}
