//! A request's body as it was received so far, kept for as long as its backend may say that it has not looked at it.

use std::cell::RefCell;

use gateway_io::{Chunk, HEADROOM};

use super::ends::Piece;
use crate::context::ReplayAccount;

/// Most content that is kept of one request: calls and forms are smaller, and what is larger is sent once.
const MAX_KEPT: usize = 16 * 1024;

/// Most content that is kept of a request that mirrors get as well.
const MAX_MIRRORED: usize = 64 * 1024;

/// Most content that is kept of a request whose rule has retries.
const MAX_RETRIED: usize = 64 * 1024;

/// Least and most room of a kept piece that others may be added to. Each has twice that of the one before: a body that comes byte
/// by byte is kept in few.
const LEAST_PIECE: usize = 1024;
const MOST_PIECE: usize = 16 * 1024;

/// A body's copy.
pub(crate) struct Replay<'a> {
    kept: RefCell<Kept>,
    /// Mirrors want it, whatever becomes of the attempt.
    mirrored: bool,
    /// The account of a request whose rule has retries.
    account: Option<&'a ReplayAccount>,
}

/// Copies of a request, for mirrors.
pub(crate) trait Copies {
    /// Sends them, without a wait. `body` is `None` if it was too long to be kept.
    fn send(self: Box<Self>, body: Option<Vec<Chunk>>);
}

#[derive(Debug, Default)]
struct Kept {
    state: State,
    pieces: Vec<Chunk>,
    len: usize,
    /// An attempt sends them: they must not go before it has, even if there is no other one.
    is_sent_again: bool,
    /// There is no other attempt, or it may not have them.
    is_unwanted: bool,
    /// Mirrors have got what they get.
    is_taken: bool,
}

/// The part of a body that a copy holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// All of it: none was taken from the client yet.
    #[default]
    Untouched,
    /// All that was taken. More is to come, which another attempt could not go on with.
    Begun,
    /// All of it.
    Whole,
    /// A part is lost, or nobody will ask.
    Spent,
}

impl Kept {
    fn has_all(&self) -> bool {
        matches!(self.state, State::Untouched | State::Whole)
    }
}

impl<'a> Replay<'a> {
    /// For a request whose backend may refuse it, or that mirrors get as well; or for one that is sent once.
    pub(crate) fn new(may_be_refused: bool, mirrored: bool) -> Self {
        let state = if may_be_refused || mirrored { State::Untouched } else { State::Spent };
        let kept = RefCell::new(Kept { state, is_unwanted: !may_be_refused, ..Kept::default() });
        Self { kept, mirrored, account: None }
    }

    /// For a request whose rule has retries, within the bounds of this account.
    pub(crate) fn within(account: &'a ReplayAccount, mirrored: bool) -> Self {
        Self { account: Some(account), ..Self::new(true, mirrored) }
    }

    /// True if another attempt would send all of the body.
    pub(crate) fn is_ready(&self) -> bool {
        let kept = self.kept.borrow();
        !kept.is_unwanted && kept.has_all()
    }

    /// Lets go of the copy, unless mirrors want it, or an attempt that sends it still does: there is no other attempt.
    pub(crate) fn give_up(&self) {
        let is_needed = {
            let mut kept = self.kept.borrow_mut();
            kept.is_unwanted = true;
            kept.is_sent_again || (self.mirrored && !kept.is_taken)
        };
        if !is_needed {
            self.spend();
        }
    }

    /// An attempt begins to send what is kept, and asks for it piece by piece.
    pub(super) fn begin_again(&self) {
        self.kept.borrow_mut().is_sent_again = true;
    }

    /// It has all of it, or wants no more.
    pub(super) fn end_again(&self) {
        let is_unwanted = {
            let mut kept = self.kept.borrow_mut();
            kept.is_sent_again = false;
            kept.is_unwanted
        };
        if is_unwanted {
            self.give_up();
        }
    }

    /// Lets go of the copy: it would not be all of the body.
    pub(super) fn spend(&self) {
        self.clear(&mut self.kept.borrow_mut());
    }

    fn clear(&self, kept: &mut Kept) {
        *kept = Kept { state: State::Spent, ..Kept::default() };
        self.account.iter().for_each(|account| account.give_back());
    }

    /// The copy of a body that has come to its end, for mirrors; `None` if it is not kept.
    pub(crate) fn take(&self) -> Option<Vec<Chunk>> {
        let kept = &mut *self.kept.borrow_mut();
        if !kept.has_all() {
            return None;
        }
        kept.is_taken = true;
        if !kept.is_unwanted {
            return Some(kept.pieces.iter().map(|piece| filled(Chunk::exact(piece.len()), piece)).collect());
        }
        let pieces = std::mem::take(&mut kept.pieces);
        self.clear(kept);
        Some(pieces)
    }

    pub(super) fn keep(&self, piece: &Piece, has_trailers: impl FnOnce() -> bool) {
        let kept = &mut *self.kept.borrow_mut();
        if kept.state == State::Spent {
            return;
        }
        let data = piece.data.as_deref().unwrap_or_default();
        kept.len += data.len();
        let most = match (self.mirrored, self.account) {
            (true, _) => MAX_MIRRORED,
            (false, Some(_)) => MAX_RETRIED,
            (false, None) => MAX_KEPT,
        };
        let is_lost = kept.len > most || (piece.finished && has_trailers());
        if is_lost || !self.append(kept, data, piece.finished) {
            return self.clear(kept);
        }
        kept.state = if piece.finished { State::Whole } else { State::Begun };
    }

    /// Adds content; false if there is no room for it.
    fn append(&self, kept: &mut Kept, data: &[u8], is_last: bool) -> bool {
        let (taken, grown) = match kept.pieces.last_mut() {
            Some(last) => (last.append(data), (last.capacity() * 2).min(MOST_PIECE)),
            None => (0, LEAST_PIECE),
        };
        let rest = data.get(taken..).unwrap_or_default();
        if rest.is_empty() {
            return true;
        }
        let size = rest.len().max(if is_last { 0 } else { grown });
        let Some(size) = self.room(kept, [size, rest.len()]) else { return false };
        kept.pieces.push(filled(Chunk::exact(size), rest));
        true
    }

    /// The first of these sizes that there is room for. Mirrors get a body that is not sent again for want of room.
    fn room(&self, kept: &mut Kept, sizes: [usize; 2]) -> Option<usize> {
        let Some(account) = self.account.filter(|_| !kept.is_unwanted) else { return sizes.first().copied() };
        let charge = |size: usize| size + HEADROOM + size_of::<Chunk>();
        let size = sizes.into_iter().find(|size| account.take(charge(*size)));
        if size.is_none() && self.mirrored {
            kept.is_unwanted = true;
            account.give_back();
            return sizes.last().copied();
        }
        size
    }

    pub(super) fn get(&self, at: usize) -> Option<Chunk> {
        self.kept.borrow().pieces.get(at).map(|piece| copy(piece))
    }

    pub(super) fn is_whole(&self) -> bool {
        self.kept.borrow().state == State::Whole
    }

    pub(super) fn count(&self) -> usize {
        self.kept.borrow().pieces.len()
    }
}

/// A chunk with the same content.
pub(crate) fn copy(data: &[u8]) -> Chunk {
    filled(Chunk::with_capacity(data.len()), data)
}

/// An empty chunk that has room for this content, with it.
fn filled(mut chunk: Chunk, data: &[u8]) -> Chunk {
    // Fits: its caller has just asked for the room.
    let _ = chunk.extend_from_slice(data);
    chunk
}

#[cfg(test)]
mod tests;
