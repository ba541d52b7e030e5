//! The worker's coarse clock, sleeps, and time limits on waits that may be abandoned.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    io,
    pin::{Pin, pin},
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use crate::{
    runtime::{current_worker, worker},
    timers::{Due, OnDue, Slot},
};

/// Marks futures that may be dropped at any await without losing data or leaving an operation behind. All
/// futures of this crate's types are; a raw driver operation never is.
pub trait CancelSafe: Future {}

/// Declares a future cancel-safe that cannot implement the trait itself: an oneshot receiver, an `async`
/// block whose awaits are all cancel-safe and which owns nothing that dropping it half-way would lose.
#[derive(Debug)]
pub struct AssertCancelSafe<F>(pub F);

/// Result of [`race`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first future was ready first (or both were).
    Left(A),
    /// The second one was.
    Right(B),
}

/// The worker's clock as of its last tick; the real clock outside a worker. For time-outs and expiry, not for
/// measuring.
#[must_use]
pub fn now() -> Instant {
    current_worker().map_or_else(Instant::now, |worker| worker.timers.now())
}

/// Sleeps for at least `duration` (milliseconds are the granularity).
pub async fn sleep(duration: Duration) {
    // Boxed: the runtime's timer takes 640 bytes, aligned to 128, and whatever may ever sleep would have it inside.
    Box::pin(monoio::time::sleep(duration)).await;
}

/// Lets everything else run, completions included, before going on: sleeps for the shortest time there is. A
/// task that wakes itself instead is run again before all others, and with `DEFER_TASKRUN` no completion is
/// taken while any task is runnable.
pub async fn pause() {
    sleep(Duration::from_millis(1)).await;
}

/// Waits for `future`, at most about `limit`, measured from the first poll: never shorter, at most two ticks
/// longer. The future is dropped when the limit passes, which is why it must be [`CancelSafe`].
///
/// # Errors
/// `TimedOut`; or the thread runs no worker.
pub async fn with_deadline<F: CancelSafe>(limit: Duration, future: F) -> io::Result<F::Output> {
    let flag = Rc::new(TimeoutFlag::default());
    let slot = Slot::new(Rc::clone(&worker()?.timers));
    let weak = Rc::downgrade(&flag);
    let target: Weak<dyn OnDue> = weak;
    slot.register(target, Due::Deadline);
    slot.set(limit);
    let mut future = pin!(future);
    std::future::poll_fn(move |cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if flag.rung.get() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        flag.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    })
    .await
}

/// Waits for whichever is ready first and drops the other one; hence both must be [`CancelSafe`].
pub async fn race<A: CancelSafe, B: CancelSafe>(left: A, right: B) -> Either<A::Output, B::Output> {
    let mut left = pin!(left);
    let mut right = pin!(right);
    std::future::poll_fn(move |cx| {
        if let Poll::Ready(output) = left.as_mut().poll(cx) {
            return Poll::Ready(Either::Left(output));
        }
        right.as_mut().poll(cx).map(Either::Right)
    })
    .await
}

/// Rung by the sweep.
#[derive(Default)]
struct TimeoutFlag {
    rung: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl OnDue for TimeoutFlag {
    fn on_due(&self, _: Due) {
        self.rung.set(true);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<F: Future> Future for AssertCancelSafe<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the only field is projected and never moved; the type has no Drop and is Unpin only with F.
        unsafe { self.map_unchecked_mut(|this| &mut this.0) }.poll(cx)
    }
}

impl<F: Future> CancelSafe for AssertCancelSafe<F> {}

impl<F: CancelSafe + Unpin> CancelSafe for &mut F {}

impl<F: CancelSafe + ?Sized> CancelSafe for Pin<&mut F> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_sleep_is_small_until_it_does() {
        let sizes = [size_of_val(&sleep(Duration::ZERO)), size_of_val(&pause())];
        assert!(sizes.into_iter().all(|size| size <= 64), "{sizes:?}");
    }
}
