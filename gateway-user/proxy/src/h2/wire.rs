//! An exchange whose client speaks HTTP/2.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;

use gateway_http::head::{HeadEdits, RequestParts};
use gateway_io::Chunk;
use h2::RecvStream;

use super::backlog::SMALL_RECEIVE;
use super::response_sink::H2ResponseSink;
use super::sink::{H2Sink, Sender};
use super::source::H2Source;
use super::unsent::{Leaving, Unsent};
use crate::Reason;
use crate::backend::{self, BackendSink, BackendSource, Reading};
use crate::connection::info::ConnInfo;
use crate::exchange::progress::Progress;
use crate::exchange::wire::{Halves, Release, RequestSource, Wire};
use crate::h1::body::LargeChunks;
use crate::h1::head::RequestMeta;
use crate::h1::scratch::Codec;
use crate::upgrade::Upgrade;
use crate::upstream::{Cluster, Lease, Tried, lease};

/// One stream, and the backend's connection while there is one.
pub(super) struct H2Wire<'c> {
    pub(super) info: &'c ConnInfo,
    pub(super) codec: &'c mut Codec,
    /// The request's head as text.
    pub(super) text: &'c [u8],
    pub(super) meta: RequestMeta,
    /// The protocol that the request is to change to.
    pub(super) upgrade: Option<Upgrade>,
    /// The backend's side of a tunnel, or of a response that is left.
    pub(super) kept: Option<Lease>,
    pub(super) body: &'c mut RecvStream,
    pub(super) sender: &'c RefCell<Sender>,
    /// Takes the end of a response that the client has no window for.
    pub(super) unsent: &'c Cell<Option<Unsent>>,
    /// Bytes received behind the response, for which nobody asked.
    pub(super) unasked: Option<Chunk>,
}

/// A request's body, and the stream that it comes on.
pub(super) struct H2RequestSource<'a> {
    body: H2Source<'a, &'a mut RecvStream>,
    sender: &'a RefCell<Sender>,
}

impl<'c> Wire for H2Wire<'c> {
    type Lease = Lease;
    type RequestSource<'a>
        = H2RequestSource<'a>
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
        = H2ResponseSink<'a>
    where
        Self: 'a;

    fn request(&self) -> RequestParts<'_> {
        self.codec.request.view(self.text).parts(self.info.scheme())
    }

    fn wants_upgrade(&self) -> bool {
        self.upgrade.is_some()
    }

    fn has_underscores(&self) -> bool {
        self.codec.request.has_underscores()
    }

    fn retain_fields(&mut self, mut keep: impl FnMut(&[u8]) -> bool) {
        self.codec.request.retain_fields(self.text, |field| keep(field.name));
    }

    async fn lease(
        &mut self,
        cluster: &Cluster,
        reuse: bool,
        tried: &mut Tried<'_>,
    ) -> Result<Lease, Reason> {
        lease(&self.info.context, cluster, reuse, None, tried).await
    }

    fn begin(&mut self, lease: &mut Lease, edits: &HeadEdits) -> Result<(), Reason> {
        let upgrade = self.upgrade.as_ref().map(|upgrade| upgrade.name(&self.info.context.config));
        backend::begin(lease, &self.request(), edits, self.meta.framing, upgrade)?;
        // A length beyond the limit is known before the first byte.
        self.codec.request_body.begin(self.meta.framing).map_err(Reason::RequestBody)
    }

    fn halves<'a>(&'a mut self, lease: &'a mut Lease, progress: &'a Progress) -> Halves<'a, Self> {
        let Self { info, codec, meta, upgrade, body, sender, unsent, unasked, .. } = self;
        let config = &info.context.config;
        if lease.is_exclusive() && !sender.borrow_mut().may_receive() {
            lease.limit(Some(SMALL_RECEIVE));
        }
        // What follows a request that is to change protocols is the tunnel's, if there will be one.
        let is_empty = upgrade.is_some() || body.is_end_stream();
        let reading = Reading {
            config,
            method: meta.method,
            upgrade: *upgrade,
            head: &mut codec.response,
            decoder: &mut codec.response_body,
            large: LargeChunks::Never,
            unasked,
        };
        let leaving = Some(Leaving { progress: Some(progress), to: unsent });
        let (request_sink, response_source) = backend::halves(lease, meta.framing, reading);
        Halves {
            request_source: H2RequestSource {
                body: H2Source::new(body, &mut codec.request_body, config.body.content, is_empty),
                sender,
            },
            request_sink,
            response_source,
            response_sink: H2ResponseSink { body: H2Sink { leaving, ..H2Sink::new(sender) } },
        }
    }

    async fn gone(&mut self, _: &Progress) {
        poll_fn(|cx| self.sender.borrow_mut().poll_gone(cx)).await;
    }

    fn release(&mut self, mut lease: Lease, then: Release) {
        if then != Release::Left && self.sender.borrow().is_limited {
            lease.limit(None);
        }
        match then {
            Release::Shared => lease.keep(&self.info.context),
            Release::Tunnel | Release::Left => self.kept = Some(lease),
            // A login is one client's, and streams of others come on the same connection: it is closed. A request that
            // was responded to early is read no more.
            Release::Private | Release::Relay => drop(lease),
        }
    }
}

impl<'a> RequestSource for H2RequestSource<'a> {
    type Body = H2Source<'a, &'a mut RecvStream>;

    fn body(&mut self) -> &mut Self::Body {
        &mut self.body
    }

    async fn gone(&mut self) {
        poll_fn(|cx| self.sender.borrow_mut().poll_gone(cx)).await;
    }
}
