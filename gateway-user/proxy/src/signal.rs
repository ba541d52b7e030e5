//! A flag that one task waits for and any code of the same thread raises.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Raised once, for good.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    raised: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Signal {
    /// Raises the flag and wakes who waits.
    pub(crate) fn raise(&self) {
        self.raised.set(true);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.raised.get()
    }

    /// Ready once raised. Of several waiting tasks the last one is woken: there is one waiter per signal.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.raised.get() {
            return Poll::Ready(());
        }
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    pub(crate) async fn wait(&self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    /// Runs `work` unless the flag is raised first. `work` may be dropped half-way, so it must own no operation. It
    /// comes pinned: a future that is passed by value is kept twice, as an argument and as a local.
    pub(crate) async fn unless<F: Future + Unpin>(&self, mut work: F) -> Option<F::Output> {
        poll_fn(|cx| match Pin::new(&mut work).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll(cx).map(|()| None),
        })
        .await
    }

    /// Lets go of the waiting task, which a kept waker would keep in memory.
    pub(crate) fn forget(&self) {
        self.waker.borrow_mut().take();
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::pin;

    use super::*;

    fn once<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn work_that_is_done_wins_and_a_raised_flag_ends_the_rest() {
        let signal = Signal::default();
        assert_eq!(once(signal.unless(ready(5))), Poll::Ready(Some(5)));
        assert!(once(signal.unless(pending::<()>())).is_pending());
        signal.raise();
        assert_eq!(once(signal.unless(pending::<()>())), Poll::Ready(None));
        assert_eq!(once(signal.unless(ready(5))), Poll::Ready(Some(5)));
        assert_eq!(once(signal.wait()), Poll::Ready(()));
    }
}
