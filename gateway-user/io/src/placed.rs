//! Futures in blocks of the worker's pool, for work that comes and goes within a task that stays.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    ptr::NonNull,
    task::{Context, Poll},
};

use crate::{
    pool::{TASK_BYTES, TASKS},
    slabs::ALIGN,
};

/// A future in a block of its own, as a `Box` would hold it. Thousands of them that end leave no holes in the
/// heap: [`trim_pool`](crate::trim_pool) gives their pages back. One that does not fit into a block is boxed.
#[must_use = "futures do nothing unless polled"]
pub struct Placed<F> {
    place: Place<F>,
}

enum Place<F> {
    Block(NonNull<F>),
    Heap(Pin<Box<F>>),
}

/// Places the future that `make` makes.
pub fn place<F: Future>(make: impl FnOnce() -> F) -> Placed<F> {
    let future = make();
    // Err: the thread is ending.
    let block = if Placed::<F>::FITS { TASKS.try_with(|pool| pool.lend().cast::<F>()).ok() } else { None };
    let Some(block) = block else { return Placed { place: Place::Heap(Box::pin(future)) } };
    // SAFETY: the block is lent to this future alone, and large and aligned enough, which was asked above.
    unsafe { block.write(future) };
    Placed { place: Place::Block(block) }
}

impl<F> Placed<F> {
    /// True if such a future fits into a block.
    pub const FITS: bool = size_of::<F>() <= TASK_BYTES && align_of::<F>() <= ALIGN;
}

impl<F: Future> Future for Placed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match &mut self.place {
            // SAFETY: the future was written there by `place` and is dropped only with `self`; it
            // is never moved.
            Place::Block(future) => unsafe { Pin::new_unchecked(future.as_mut()) }.poll(cx),
            Place::Heap(future) => future.as_mut().poll(cx),
        }
    }
}

// Moving it moves a pointer.
impl<F> Unpin for Placed<F> {}

impl<F> Drop for Placed<F> {
    fn drop(&mut self) {
        if let Place::Block(future) = &self.place {
            // SAFETY: written by `place`, dropped once, here. Should that panic, the block is lost,
            // not used again.
            unsafe { future.drop_in_place() };
            // Err: the thread is ending and its pool is gone, but not this block's slab, which stays.
            let _ = TASKS.try_with(|pool| pool.take_back(future.cast(), pool.size()));
        }
    }
}

impl<F> fmt::Debug for Placed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Placed").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, rc::Rc, task::Waker};

    use super::*;

    /// A future of some size that is ready at its second poll, and says where it was.
    async fn twice<const SIZE: usize>(held: Rc<()>) -> [usize; 2] {
        let memory = [Rc::strong_count(&held) as u8; SIZE];
        let mut at = [0; 2];
        let mut polls = 0;
        poll_fn(|_| {
            polls += 1;
            at[polls - 1] = memory.as_ptr().addr();
            if polls == 2 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert!(memory.iter().all(|byte| *byte == memory[0]));
        at
    }

    fn runs_where_it_is_and_drops_what_it_holds<const SIZE: usize>() {
        let held = Rc::new(());
        let mut cx = Context::from_waker(Waker::noop());
        let mut placed = place(|| twice::<SIZE>(Rc::clone(&held)));
        assert!(Pin::new(&mut placed).poll(&mut cx).is_pending());
        let mut moved = placed;
        let Poll::Ready(at) = Pin::new(&mut moved).poll(&mut cx) else { panic!("not ready") };
        assert_eq!(at[0], at[1], "the future has moved");
        drop(moved);
        let mut dropped = place(|| twice::<SIZE>(Rc::clone(&held)));
        assert!(Pin::new(&mut dropped).poll(&mut cx).is_pending());
        assert_eq!(Rc::strong_count(&held), 2);
        drop(dropped);
        assert_eq!(Rc::strong_count(&held), 1);
    }

    #[test]
    fn a_future_of_any_size_runs_where_it_is_and_is_dropped_once() {
        runs_where_it_is_and_drops_what_it_holds::<10>();
        runs_where_it_is_and_drops_what_it_holds::<6_000>();
        runs_where_it_is_and_drops_what_it_holds::<50_000>();
    }

    #[test]
    fn a_block_is_used_again() {
        let at = || {
            let mut placed = place(|| twice::<100>(Rc::new(())));
            assert!(Pin::new(&mut placed).poll(&mut Context::from_waker(Waker::noop())).is_pending());
            match &placed.place {
                Place::Block(future) => future.addr(),
                Place::Heap(_) => panic!("it fits"),
            }
        };
        assert_eq!(at(), at());
    }
}
