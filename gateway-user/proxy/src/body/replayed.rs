//! A request's body for one attempt: what was kept of it, then the rest from the client.

use std::time::Duration;

use gateway_http::head::Fields;

use super::ends::{Piece, PumpError, Source};
use super::replay::Replay;

/// A body of which some may have been sent before. A copy of what comes from the client is kept.
pub(crate) struct Replayed<'a, S> {
    from: &'a mut S,
    replay: &'a Replay<'a>,
    /// The next kept piece, and their number when the attempt began.
    next: usize,
    kept: usize,
    /// The body was whole by then: there is no rest.
    whole: bool,
    /// All of such a body was given.
    ended: bool,
    /// Kept pieces are to be given, or the body was whole.
    is_again: bool,
}

impl<'a, S: Source> Replayed<'a, S> {
    pub(crate) fn new(from: &'a mut S, replay: &'a Replay<'a>) -> Self {
        let (kept, whole) = (replay.count(), replay.is_whole());
        let is_again = kept > 0 || whole;
        if is_again {
            replay.begin_again();
        }
        Self { from, replay, next: 0, kept, whole, ended: false, is_again }
    }

    /// The next piece that was kept; `None` once the client has to be asked. It is not asked for a body that was whole: what it sends next
    /// is another request.
    fn again(&mut self) -> Option<Result<Piece, PumpError>> {
        if !self.is_again {
            return None;
        }
        self.kept_piece()
    }

    #[cold]
    fn kept_piece(&mut self) -> Option<Result<Piece, PumpError>> {
        if self.next >= self.kept {
            if !self.whole {
                self.end_again();
                return None;
            }
            // The end of a body without content, where the head has not told it.
            let is_end = self.kept == 0 && !self.ended;
            self.ended = true;
            return Some(
                is_end
                    .then_some(Piece { data: None, received: 0, finished: true })
                    .ok_or(PumpError::SourceLost),
            );
        }
        let Some(data) = self.replay.get(self.next) else { return Some(Err(PumpError::SourceLost)) };
        self.next += 1;
        self.ended = self.whole && self.next == self.kept;
        Some(Ok(Piece { received: data.len(), data: Some(data), finished: self.ended }))
    }

    fn keep(&self, piece: Result<Piece, PumpError>) -> Result<Piece, PumpError> {
        match &piece {
            Ok(piece) => self.replay.keep(piece, || !self.from.trailers().is_empty()),
            Err(_) => self.replay.spend(),
        }
        piece
    }
}

impl<S> Replayed<'_, S> {
    fn end_again(&mut self) {
        if std::mem::take(&mut self.is_again) {
            self.replay.end_again();
        }
    }
}

impl<S> Drop for Replayed<'_, S> {
    fn drop(&mut self) {
        self.end_again();
    }
}

impl<S: Source> Source for Replayed<'_, S> {
    fn is_finished(&self) -> bool {
        if self.whole { self.ended } else { self.from.is_finished() }
    }

    fn at_hand(&mut self) -> Option<Result<Piece, PumpError>> {
        match self.again() {
            Some(piece) => Some(piece),
            None => self.from.at_hand().map(|piece| self.keep(piece)),
        }
    }

    fn try_next(&mut self) -> Option<Result<Piece, PumpError>> {
        match self.again() {
            Some(piece) => Some(piece),
            None => self.from.try_next().map(|piece| self.keep(piece)),
        }
    }

    async fn next(&mut self, wait: Duration) -> Result<Piece, PumpError> {
        if let Some(piece) = self.again() {
            return piece;
        }
        let piece = self.from.next(wait).await;
        self.keep(piece)
    }

    fn retain_trailers(&mut self, keep: impl FnMut(&[u8]) -> bool) {
        self.from.retain_trailers(keep);
    }

    fn trailers(&self) -> Fields<'_> {
        self.from.trailers()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::body::replay::copy;

    /// A client whose request was read: what it sends is another one, which no body may take.
    #[derive(Default)]
    struct Client {
        asked: usize,
    }

    impl Source for Client {
        fn is_finished(&self) -> bool {
            false
        }

        fn at_hand(&mut self) -> Option<Result<Piece, PumpError>> {
            self.asked += 1;
            None
        }

        fn try_next(&mut self) -> Option<Result<Piece, PumpError>> {
            self.asked += 1;
            None
        }

        async fn next(&mut self, _: Duration) -> Result<Piece, PumpError> {
            self.asked += 1;
            Ok(piece(b"GET /next", true))
        }

        fn retain_trailers(&mut self, _: impl FnMut(&[u8]) -> bool) {}

        fn trailers(&self) -> Fields<'_> {
            Fields::default()
        }
    }

    fn piece(data: &[u8], finished: bool) -> Piece {
        Piece { data: Some(copy(data)), received: data.len(), finished }
    }

    /// Two pieces are kept, since the first fills what it came in.
    fn whole<'a>() -> (Replay<'a>, Vec<u8>) {
        let replay = Replay::new(true, false);
        let parts = [vec![b'a'; 9000], vec![b'b'; 1000]];
        replay.keep(&piece(&parts[0], false), || false);
        replay.keep(&piece(&parts[1], true), || false);
        (replay, parts.concat())
    }

    fn next(body: &mut Replayed<'_, Client>) -> Result<Piece, PumpError> {
        match pin!(body.next(Duration::ZERO)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(piece) => piece,
            Poll::Pending => panic!("pieces are at hand"),
        }
    }

    #[test]
    fn content_is_whole_though_no_other_attempt_wants_it() {
        let (replay, expected) = whole();
        let mut client = Client::default();
        let mut body = Replayed::new(&mut client, &replay);
        let first = body.at_hand().unwrap().unwrap();
        replay.give_up();
        assert!(!first.finished && !body.is_finished() && !replay.is_ready());
        let second = next(&mut body).unwrap();
        assert!(second.finished && body.is_finished());
        let content = [first, second].map(|piece| piece.data.unwrap().to_vec()).concat();
        assert_eq!(content, expected);
        drop(body);
        assert_eq!((client.asked, replay.count()), (0, 0), "memory is given back");
    }

    #[test]
    fn memory_is_kept_for_other_attempts_and_given_back_by_one_that_ends() {
        let (replay, _) = whole();
        let mut client = Client::default();
        drop(Replayed::new(&mut client, &replay));
        assert!(replay.is_ready() && replay.count() == 2);
        let body = Replayed::new(&mut client, &replay);
        replay.give_up();
        assert_eq!(replay.count(), 2);
        drop(body);
        assert_eq!(replay.count(), 0);
    }

    #[test]
    fn a_client_is_never_asked_for_what_it_has_sent() {
        let (replay, _) = whole();
        let mut client = Client::default();
        let mut body = Replayed::new(&mut client, &replay);
        replay.spend();
        assert!(matches!(body.at_hand(), Some(Err(PumpError::SourceLost))));
        assert!(matches!(body.try_next(), Some(Err(PumpError::SourceLost))));
        assert!(matches!(next(&mut body), Err(PumpError::SourceLost)));
        drop(body);
        assert_eq!(client.asked, 0);
    }

    #[test]
    fn a_body_without_content_has_one_end() {
        let replay = Replay::new(true, false);
        replay.keep(&Piece { data: None, received: 5, finished: true }, || false);
        let mut client = Client::default();
        let mut body = Replayed::new(&mut client, &replay);
        assert!(!body.is_finished());
        let end = body.at_hand().unwrap().unwrap();
        assert!(end.data.is_none() && end.finished && body.is_finished());
        assert!(matches!(next(&mut body), Err(PumpError::SourceLost)));
        drop(body);
        assert_eq!(client.asked, 0);
    }
}
