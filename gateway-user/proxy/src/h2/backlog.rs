//! Content of all streams of a connection that waits in the crate to be written.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Buf;
use gateway_io::Chunk;

/// Bytes of it beyond which streams wait, each at most a piece above. A connection that takes what it is sent never has
/// so much: below the crate wait 64 KiB.
const MAX: usize = 256 * 1024;

/// The bytes that wait, and the streams that wait for them.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    bytes: Cell<usize>,
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

    fn leave(&self, bytes: usize) {
        let before = self.bytes.replace(self.bytes.get().saturating_sub(bytes));
        if before >= MAX && self.bytes.get() < MAX {
            self.waiting.take().into_iter().for_each(Waker::wake);
        }
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
}
