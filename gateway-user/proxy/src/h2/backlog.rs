//! Content of all streams of a connection: what waits in the crate to be written, and what may be received for it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Buf;
use gateway_io::{Chunk, HEADROOM};

/// Bytes of it beyond which streams wait, each at most a piece above. A connection that takes what it is sent never has
/// so much: below the crate wait 64 KiB.
const MAX: usize = 256 * 1024;
/// Bytes that are received of a backend whether a client has a window for them or not: with what a chunk has around them
/// 1 KiB, into which most heads fit.
pub(super) const SMALL_RECEIVE: usize = 1024 - HEADROOM;

/// The bytes that wait, and the streams that wait for them.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    bytes: Cell<usize>,
    /// Those that may be received and are not in the crate yet.
    ahead: Cell<usize>,
    waiting: RefCell<Vec<Waker>>,
}

impl Backlog {
    /// Ready if there is room for more.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.bytes.get() < MAX {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Bytes that may still be received for a window of the connection of that size.
    fn free(&self, window: u64) -> usize {
        let window = usize::try_from(window).unwrap_or(usize::MAX);
        window.saturating_sub(self.bytes.get()).saturating_sub(self.ahead.get())
    }

    /// Leave to receive so many bytes, if the connection's window has room for them too.
    pub(super) fn allow(self: &Rc<Self>, bytes: usize, window: u64) -> Option<Ahead> {
        (bytes <= self.free(window)).then(|| {
            self.ahead.set(self.ahead.get() + bytes);
            Ahead { backlog: Rc::clone(self), bytes }
        })
    }

    /// Leave to receive at most so many bytes, fewer where the connection's window has no room for them, or where much of it
    /// waits already.
    pub(super) fn allow_most(self: &Rc<Self>, bytes: usize, window: u64) -> Ahead {
        let bytes = bytes.min(self.free(window.min(MAX as u64)));
        self.ahead.set(self.ahead.get() + bytes);
        Ahead { backlog: Rc::clone(self), bytes }
    }

    fn leave(&self, bytes: usize) {
        let before = self.bytes.replace(self.bytes.get().saturating_sub(bytes));
        if before >= MAX && self.bytes.get() < MAX {
            self.waiting.take().into_iter().for_each(Waker::wake);
        }
    }
}

/// A stream's leave to receive bytes before its client has taken them, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Ahead {
    backlog: Rc<Backlog>,
    pub(super) bytes: usize,
}

impl Drop for Ahead {
    fn drop(&mut self) {
        let ahead = &self.backlog.ahead;
        ahead.set(ahead.get().saturating_sub(self.bytes));
    }
}

/// Content on its way through the crate, counted until it is written.
#[derive(Debug)]
pub(crate) struct Data {
    chunk: Chunk,
    /// The count, and the part of it.
    counted: Option<(Rc<Backlog>, usize)>,
}

impl Data {
    pub(super) fn new(chunk: Chunk, backlog: Option<&Rc<Backlog>>) -> Self {
        let counted = backlog.map(|backlog| {
            backlog.bytes.set(backlog.bytes.get() + chunk.len());
            (Rc::clone(backlog), chunk.len())
        });
        Self { chunk, counted }
    }
}

impl Buf for Data {
    fn remaining(&self) -> usize {
        self.chunk.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.chunk
    }

    fn advance(&mut self, count: usize) {
        self.chunk.advance(count);
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if let Some((backlog, bytes)) = self.counted.take() {
            backlog.leave(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_no_room_is_woken_when_there_is_some() {
        let backlog = Rc::new(Backlog::default());
        let cx = &mut Context::from_waker(Waker::noop());
        let piece = |len: usize| {
            let mut chunk = Chunk::with_capacity(len);
            chunk.extend_from_slice(&vec![0; len]).unwrap();
            Data::new(chunk, Some(&backlog))
        };
        let mut pieces: Vec<_> = (0..16).map(|_| piece(16 * 1024)).collect();
        assert!(backlog.poll_room(cx).is_pending());
        assert!(backlog.poll_room(cx).is_pending());
        assert_eq!(backlog.waiting.borrow().len(), 1, "the same task waits once");
        if let Some(first) = pieces.first_mut() {
            first.advance(16 * 1024);
        }
        assert!(backlog.poll_room(cx).is_pending(), "written, and its memory still held");
        pieces.pop();
        assert!(backlog.poll_room(cx).is_ready() && backlog.waiting.borrow().is_empty());
        drop(pieces);
        assert_eq!(backlog.bytes.get(), 0);
    }

    #[test]
    fn all_streams_together_receive_no_more_than_the_window_takes() {
        let backlog = Rc::new(Backlog::default());
        let window = 65_535;
        let first: Vec<_> = (0..4).map_while(|_| backlog.allow(16 * 1024, window)).collect();
        assert_eq!(first.len(), 3, "the fourth lacks a byte");
        assert_eq!(backlog.allow_most(20_000, window).bytes, 16_383);
        let mut chunk = Chunk::with_capacity(16_000);
        chunk.extend_from_slice(&[0; 16_000]).unwrap();
        let unwritten = Data::new(chunk, Some(&backlog));
        assert_eq!(backlog.allow_most(20_000, window).bytes, 383);
        drop((first, unwritten));
        assert_eq!(backlog.allow_most(MAX + 1, u64::MAX).bytes, MAX, "whatever the window");
        assert_eq!(backlog.ahead.get(), 0);
    }
}
