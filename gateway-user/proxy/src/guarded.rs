//! Tasks that a panic ends alone.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use crate::context::WorkerContext;

/// Runs a connection's task, which is made here so that it is kept once. A panic in it drops the task, and with it the connection and its upstream's, and is
/// counted; the runtime would not survive it otherwise.
pub(crate) async fn guarded<F: Future<Output = ()>>(
    context: Rc<WorkerContext>,
    peer: SocketAddr,
    task: impl FnOnce() -> F,
) {
    let mut task = pin!(task());
    // Unwind safety: what tasks share are cells that are borrowed for single statements, none of which leaves them
    // half-changed; the task itself is not polled again.
    let result = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await;
    if let Err(panic) = result {
        context.metrics.borrow_mut().counters.panics += 1;
        tracing::error!(%peer, message = text(&*panic), "a connection was ended by a panic");
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
