//! The future that owns a direction's operations: made once per connection, polled by whoever waits.

use std::{
    cell::{Cell, RefCell},
    future::{self, Future},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use super::state::StreamState;
use crate::timers::{Due, OnDue};

/// An endless future and the link it works for, in one allocation. An operation in flight
/// survives the future that polls it; the next poll goes on with it.
pub(crate) struct Pump<F: ?Sized> {
    pub(crate) link: Rc<StreamState>,
    on_due: fn(&StreamState, Due) -> PumpWake,
    work: RefCell<F>,
}

/// True if the pump itself must run after something came due.
#[derive(PartialEq, Eq)]
pub(crate) enum PumpWake {
    No,
    Poll,
}

/// A pump of any direction.
pub(crate) type AnyPump = Pump<dyn Future<Output = ()>>;

impl<F> Pump<F>
where
    F: Future<Output = ()> + 'static,
{
    pub(crate) fn new(
        link: &Rc<StreamState>,
        on_due: fn(&StreamState, Due) -> PumpWake,
        work: F,
    ) -> Rc<Pump<F>> {
        Rc::new(Pump { link: Rc::clone(link), on_due, work: RefCell::new(work) })
    }
}

impl<F: ?Sized + Future<Output = ()>> Pump<F> {
    /// Lets the pump work until it waits for the kernel or has nothing to do.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) {
        // Busy would mean a pump polling itself; nothing is lost by not doing so.
        let Ok(mut work) = self.work.try_borrow_mut() else { return };
        // SAFETY: the future lies in an `Rc` and is never moved out of it: `work` is private, and
        // only borrowed here.
        let work = unsafe { Pin::new_unchecked(&mut *work) };
        // Pumps are endless loops.
        let _ = work.poll(cx);
    }
}

impl<F: Future<Output = ()>> OnDue for Pump<F> {
    fn on_due(&self, what: Due) {
        if (self.on_due)(&self.link, what) == PumpWake::Poll {
            let waker = match what {
                Due::Quiet => self.link.recv.way.waker(),
                Due::Deadline => return,
            };
            self.poll(&mut Context::from_waker(&waker));
        }
    }
}

/// Waits until `wanted`. Registers no waker: only those who set it poll the pump, right after.
pub(crate) async fn wanted(wanted: &Cell<bool>) {
    future::poll_fn(|_| if wanted.get() { Poll::Ready(()) } else { Poll::Pending }).await;
}
