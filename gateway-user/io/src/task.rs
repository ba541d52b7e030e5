//! Tasks: spawned on the worker's thread, ended with the worker.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use slab::Slab;

use crate::runtime::current_worker;

/// The live tasks of a worker. monoio keeps a task only through its wakers, and a waker in a pending
/// operation keeps the operation: without this list, ending a runtime would leak every waiting task
/// and its sockets.
#[derive(Default)]
pub(crate) struct Tasks {
    live: RefCell<Slab<Rc<dyn End>>>,
}

trait End {
    /// Drops the task's future unless it is being polled.
    fn end(&self);
}

struct Task<F> {
    future: RefCell<Option<F>>,
}

/// The future that monoio polls. Holds nothing shared: a waker of another thread may be the last to drop it.
struct Running<F> {
    task: Rc<Task<F>>,
    key: usize,
}

/// Runs `future` on this worker's thread until it ends, or the worker does. Nothing is caught: a panic goes
/// through the runtime, so a caller that must survive it wraps the future (`catch_unwind`) before spawning.
///
/// A future that is always ready to run again (a loop that wakes itself) starves completions, with
/// `DEFER_TASKRUN` all of them; there is no yield here for that reason. To let others run,
/// [`pause`](crate::pause).
///
/// Outside a worker, or while it ends, the future is dropped.
pub fn spawn<F>(future: F)
where
    F: Future<Output = ()> + 'static,
{
    let Some(worker) = current_worker() else { return };
    if worker.stopping.get() {
        return;
    }
    let task = Rc::new(Task { future: RefCell::new(Some(future)) });
    let end: Rc<dyn End> = Rc::<Task<F>>::clone(&task);
    let key = worker.tasks.live.borrow_mut().insert(end);
    // Dropping monoio's handle detaches the task.
    drop(monoio::spawn(Running { task, key }));
}

/// Tasks alive on the calling thread, the worker's own timer task included.
#[must_use]
pub fn live_tasks() -> usize {
    current_worker().map_or(0, |worker| worker.tasks.live.borrow().len())
}

impl Tasks {
    /// Drops the futures of all tasks.
    pub(crate) fn end_all(&self) {
        // Taken first: a future's drop may spawn (refused while stopping) or end another task.
        let live = self.live.take();
        for (_, task) in live {
            task.end();
        }
    }

    fn remove(&self, key: usize) {
        // Absent when `end_all` took the list.
        let _ = self.live.borrow_mut().try_remove(key);
    }
}

impl<F> End for Task<F> {
    fn end(&self) {
        // Busy only when a task's poll ends the worker by a panic; then its own unwinding drops it.
        let future = self.future.try_borrow_mut();
        if let Ok(mut future) = future {
            // Dropped in place: the future is pinned inside the `Rc`.
            *future = None;
        }
    }
}

impl<F> Future for Running<F>
where
    F: Future<Output = ()> + 'static,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut slot = self.task.future.borrow_mut();
        let Some(future) = slot.as_mut() else { return Poll::Ready(()) };
        // SAFETY: the future lies in an `Rc` it is never moved out of; it is only dropped in place.
        let future = unsafe { Pin::new_unchecked(future) };
        if future.poll(cx).is_pending() {
            return Poll::Pending;
        }
        *slot = None;
        drop(slot);
        if let Some(worker) = current_worker() {
            worker.tasks.remove(self.key);
        }
        Poll::Ready(())
    }
}
