//! A request's body as it was received so far, kept for as long as its backend may say that it has not looked at it.

use std::cell::RefCell;

use gateway_io::Chunk;

use super::ends::Piece;
use crate::context::ReplayAccount;

/// Most content that is kept of one request: calls and forms are smaller, and what is larger is sent once.
const MAX_KEPT: usize = 16 * 1024;

/// Most content that is kept of a request that mirrors get as well.
const MAX_MIRRORED: usize = 64 * 1024;

/// Most content that is kept of a request whose rule has retries.
const MAX_RETRIED: usize = 64 * 1024;

/// A body's copy.
pub(crate) struct Replay<'a> {
    kept: RefCell<Kept>,
    /// Mirrors want it, whatever becomes of the attempt.
    mirrored: bool,
    /// Another attempt may want it, whatever mirrors got.
    may_be_sent_again: bool,
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
    /// There is no other attempt.
    is_unwanted: bool,
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
        let kept = RefCell::new(Kept { state, ..Kept::default() });
        Self { kept, mirrored, may_be_sent_again: may_be_refused, account: None }
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
        let is_sent_again = {
            let mut kept = self.kept.borrow_mut();
            kept.is_unwanted = true;
            kept.is_sent_again
        };
        if !self.mirrored && !is_sent_again {
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
        *self.kept.borrow_mut() = Kept { state: State::Spent, ..Kept::default() };
        self.account.iter().for_each(|account| account.give_back());
    }

    /// The copy of a body that has come to its end, for mirrors; `None` if it is not kept.
    pub(crate) fn take(&self) -> Option<Vec<Chunk>> {
        let has_all = self.kept.borrow().has_all();
        has_all.then(|| match self.may_be_sent_again {
            true => self.kept.borrow().pieces.iter().map(|piece| copy(piece)).collect(),
            false => std::mem::take(&mut *self.kept.borrow_mut()).pieces,
        })
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
        let has_room = kept.len <= most && self.account.is_none_or(|account| account.take(data.len()));
        if !has_room || (piece.finished && has_trailers()) {
            *kept = Kept { state: State::Spent, ..Kept::default() };
            self.account.iter().for_each(|account| account.give_back());
            return;
        }
        kept.state = if piece.finished { State::Whole } else { State::Begun };
        if !data.is_empty() {
            kept.pieces.push(copy(data));
        }
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
    let mut copy = Chunk::with_capacity(data.len());
    // Fits: the capacity was just asked for.
    let _ = copy.extend_from_slice(data);
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(len: usize, finished: bool) -> Piece {
        Piece { data: Some(copy(&vec![b'x'; len])), received: len, finished }
    }

    #[test]
    fn mirrors_get_a_body_that_came_whole_whatever_became_of_the_attempt() {
        let replay = Replay::new(false, true);
        replay.keep(&piece(MAX_MIRRORED - 1, false), || false);
        assert!(replay.take().is_none(), "the rest would be lost");
        replay.give_up();
        replay.keep(&piece(1, true), || false);
        replay.give_up();
        let sizes = replay.take().map(|body| body.iter().map(|piece| piece.len()).collect());
        assert_eq!(sizes, Some(vec![MAX_MIRRORED - 1, 1]));

        let long = Replay::new(true, true);
        long.keep(&piece(MAX_MIRRORED, false), || false);
        long.keep(&piece(1, true), || false);
        assert!(long.take().is_none());
        let broken = Replay::new(false, true);
        broken.keep(&piece(1, false), || false);
        broken.spend();
        assert!(broken.take().is_none());
        assert_eq!(Replay::new(false, true).take().map(|body| body.len()), Some(0), "without content");
    }

    #[test]
    fn mirrors_leave_a_body_for_another_attempt() {
        let replay = Replay::new(true, true);
        replay.keep(&piece(3, true), || false);
        assert_eq!(replay.take().map(|body| body.len()), Some(1));
        assert!(replay.is_ready() && replay.count() == 1);
    }

    #[test]
    fn a_body_is_kept_until_it_is_long_or_has_trailers() {
        let replay = Replay::new(true, false);
        assert!(replay.is_ready(), "nothing was taken");
        replay.keep(&piece(10_000, false), || false);
        assert!(!replay.is_ready(), "the rest would be lost");
        replay.keep(&piece(6_384, true), || false);
        assert!(replay.is_ready());
        assert_eq!((replay.count(), replay.get(1).map(|piece| piece.len())), (2, Some(6_384)));
        replay.give_up();
        assert!(!replay.is_ready() && replay.count() == 0);

        let long = Replay::new(true, false);
        long.keep(&piece(MAX_KEPT, false), || false);
        long.keep(&piece(1, true), || false);
        assert!(!long.is_ready() && long.count() == 0, "memory is given back");
        let with_trailers = Replay::new(true, false);
        with_trailers.keep(&piece(1, true), || true);
        assert!(!with_trailers.is_ready());
        assert!(!Replay::new(false, false).is_ready());
    }
}
