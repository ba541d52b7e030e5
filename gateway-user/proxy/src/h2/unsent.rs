//! The end of a response that its client has no window for.

use std::cell::Cell;
use std::collections::VecDeque;

use gateway_io::Chunk;
use http::HeaderMap;

use crate::exchange::progress::Progress;

/// Content that was not sent yet, with the stream's end behind it.
#[derive(Debug)]
pub(super) struct Unsent {
    pub(super) queued: VecDeque<Chunk>,
    pub(super) trailers: HeaderMap,
}

/// Place of what a sink leaves to be sent behind its exchange.
#[derive(Clone, Copy)]
pub(super) struct Leaving<'a> {
    /// Of an exchange with a backend: a local reply has none.
    pub(super) progress: Option<&'a Progress>,
    pub(super) to: &'a Cell<Option<Unsent>>,
}

impl Unsent {
    /// Content and trailers, in no more memory than they need.
    pub(super) fn new(queued: VecDeque<Chunk>, trailers: HeaderMap) -> Self {
        Self { queued: queued.into_iter().map(Chunk::compact).collect(), trailers }
    }
}
