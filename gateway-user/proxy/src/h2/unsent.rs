//! The part of a response that its client has no window for.

use std::cell::Cell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use gateway_http::h1::BodyDecoder;
use gateway_io::Chunk;
use http::HeaderMap;

use super::backlog::SMALL_RECEIVE;
use crate::body::pacing::SendTimeout;
use crate::context::WorkerContext;
use crate::exchange::progress::Progress;
use crate::h1::scratch::Codec;
use crate::upstream::{Lease, Permit};
use crate::{ProxyConfig, Reason};

/// Content that was not sent yet.
pub(super) struct Unsent {
    pub(super) queued: VecDeque<Chunk>,
    /// The end behind it, if it has come.
    pub(super) end: Option<HeaderMap>,
    /// When all of it has to be over, and why.
    pub(super) limit: Option<(Instant, Reason)>,
    /// Longest wait for a piece of what is to come.
    pub(super) wait: Duration,
    /// The slowest pace at which the client may take it; a local reply has the process's.
    pub(super) pace: Option<SendTimeout>,
}

/// Content that is still to come.
pub(super) struct Unread {
    /// The backend.
    pub(super) lease: Lease,
    pub(super) decoder: BodyDecoder,
    /// The backend's connection can carry another request then.
    reusable: bool,
    /// Bytes received behind it, for which nobody asked.
    pub(super) unasked: Option<Chunk>,
    /// Its place among the backend's requests.
    _permit: Permit,
}

impl Unread {
    /// Takes the decoder out of the request's storage, which gets another one.
    pub(super) fn new(mut lease: Lease, codec: &mut Codec, config: &ProxyConfig, permit: Permit) -> Self {
        // Of a receive that is in flight, the chunk.
        lease.limit(Some(SMALL_RECEIVE));
        let decoder = std::mem::replace(&mut codec.response_body, BodyDecoder::new(config.body.clone()));
        Self { lease, decoder, reusable: codec.response.view(&[]).reusable(), unasked: None, _permit: permit }
    }

    /// Keeps the backend's connection for another request if it can carry one. Only once all content has come.
    pub(super) fn end(self, context: &WorkerContext) {
        let Self { mut lease, reusable, unasked, .. } = self;
        if reusable && unasked.is_none() {
            lease.limit(None);
            lease.keep(context);
        }
    }
}

/// Place of what a sink leaves to be sent behind its exchange.
#[derive(Clone, Copy)]
pub(super) struct Leaving<'a> {
    /// Of an exchange with a backend: a local reply has none.
    pub(super) progress: Option<&'a Progress>,
    pub(super) to: &'a Cell<Option<Unsent>>,
}

impl Leaving<'_> {
    /// Takes content and end, in no more memory than they need. Without an end more is to come.
    pub(super) fn take(&self, queued: VecDeque<Chunk>, end: Option<HeaderMap>) {
        let mut queued: VecDeque<_> = queued.into_iter().map(Chunk::compact).collect();
        queued.shrink_to_fit();
        self.to.set(Some(Unsent {
            queued,
            end,
            limit: self.progress.and_then(|progress| progress.limit),
            wait: self.progress.map(Progress::body_wait).unwrap_or_default(),
            pace: self.progress.map(Progress::client_pace),
        }));
    }
}
