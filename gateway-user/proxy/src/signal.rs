//! A flag that tasks wait for and any code of the same thread raises.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Raised once, for good. Any number of tasks wait for it: a connection's one task today, each stream of a connection that
/// has several.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    raised: Cell<bool>,
    waiters: RefCell<Waiters>,
}

/// Those that wait. The first one costs no allocation.
#[derive(Debug, Default)]
struct Waiters {
    first: Option<Waker>,
    others: Vec<Option<Waker>>,
}

/// One wait. Its waker is kept as long as this is: a task that waits no more is not kept in memory.
struct Waiting<'a> {
    signal: &'a Signal,
    /// 0 is the first waiter, n the n-th of the others.
    place: Option<u32>,
}

impl Signal {
    /// Raises the flag and wakes all that wait.
    pub(crate) fn raise(&self) {
        self.raised.set(true);
        // Whoever is woken may wait for this signal again, so that it must not be borrowed then.
        let Waiters { first, others } = self.waiters.take();
        first.into_iter().chain(others.into_iter().flatten()).for_each(Waker::wake);
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.raised.get()
    }

    /// Returns once the flag is raised.
    pub(crate) async fn wait(&self) {
        let mut waiting = Waiting::new(self);
        poll_fn(|cx| waiting.poll(cx)).await;
    }

    /// Runs `work` unless the flag is raised first. `work` may be dropped half-way, so it must own no operation. It
    /// comes pinned: a future that is passed by value is kept twice, as an argument and as a local.
    pub(crate) async fn unless<F: Future + Unpin>(&self, mut work: F) -> Option<F::Output> {
        let mut waiting = Waiting::new(self);
        poll_fn(|cx| match Pin::new(&mut work).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => waiting.poll(cx).map(|()| None),
        })
        .await
    }
}

impl Waiters {
    fn at(&mut self, place: u32) -> Option<&mut Option<Waker>> {
        match place.checked_sub(1) {
            None => Some(&mut self.first),
            Some(other) => self.others.get_mut(other as usize),
        }
    }

    /// Keeps a waker; gives its place.
    fn add(&mut self, waker: Waker) -> u32 {
        if self.first.is_none() {
            self.first = Some(waker);
            return 0;
        }
        let free = self.others.iter().position(Option::is_none);
        let place = free.unwrap_or_else(|| {
            self.others.push(None);
            self.others.len() - 1
        });
        if let Some(slot) = self.others.get_mut(place) {
            *slot = Some(waker);
        }
        u32::try_from(place + 1).unwrap_or(u32::MAX)
    }
}

impl<'a> Waiting<'a> {
    fn new(signal: &'a Signal) -> Self {
        Self { signal, place: None }
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.signal.raised.get() {
            return Poll::Ready(());
        }
        let mut waiters = self.signal.waiters.borrow_mut();
        match self.place.and_then(|place| waiters.at(place)) {
            Some(Some(known)) if known.will_wake(cx.waker()) => {}
            Some(slot) => *slot = Some(cx.waker().clone()),
            None => self.place = Some(waiters.add(cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waker = self.place.and_then(|place| self.signal.waiters.borrow_mut().at(place)?.take());
        // Not borrowed any more: the last waker of a task may drop it, and with it other waits.
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

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

    #[test]
    fn every_waiting_task_is_woken() {
        let signal = Signal::default();
        let tasks: [Arc<Wakes>; 3] = Default::default();
        let mut waits = tasks.each_ref().map(|_| Box::pin(signal.wait()));
        for (wait, task) in waits.iter_mut().zip(&tasks) {
            let waker = Waker::from(Arc::clone(task));
            assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        signal.raise();
        assert_eq!(tasks.map(|task| task.0.load(SeqCst)), [1, 1, 1]);
    }

    #[test]
    fn a_task_that_waits_no_more_is_not_kept() {
        let signal = Signal::default();
        let task = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&task));
        for _ in 0..3 {
            let mut waits = [Box::pin(signal.wait()), Box::pin(signal.wait())];
            for wait in &mut waits {
                assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            }
        }
        drop(waker);
        assert_eq!(Arc::strong_count(&task), 1);
        assert_eq!(signal.waiters.borrow().others.len(), 1, "places are used again");
    }
}
