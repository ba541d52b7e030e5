//! Messages to a worker from other threads.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_core::Stream as _;

use crate::time::CancelSafe;

/// The sending end: any thread, any number of clones, never blocks.
pub struct MailSender<T> {
    queue: UnboundedSender<T>,
}

/// The receiving end, for one task of a worker.
pub struct MailReceiver<T> {
    queue: UnboundedReceiver<T>,
}

/// The future of [`MailReceiver::recv`]. Dropping it loses no message.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Next<'a, T> {
    receiver: &'a mut MailReceiver<T>,
}

/// A mailbox. It is not bounded: commands are few, and a sender that waited for a worker could
/// wait for itself.
#[must_use]
pub fn mailbox<T: Send>() -> (MailSender<T>, MailReceiver<T>) {
    let (sender, receiver) = unbounded();
    (MailSender { queue: sender }, MailReceiver { queue: receiver })
}

impl<T: Send> MailSender<T> {
    /// Puts a message into the box and wakes the worker when it sleeps.
    ///
    /// # Errors
    /// The receiver is gone; the message comes back.
    pub fn send(&self, message: T) -> Result<(), T> {
        self.queue.unbounded_send(message).map_err(|refused| refused.into_inner())
    }

    /// True if the receiver is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }
}

impl<T: Send> MailReceiver<T> {
    /// The next message, in the order sent by each sender; `None` when all senders are gone.
    pub fn recv(&mut self) -> Next<'_, T> {
        Next { receiver: self }
    }
}

impl<T> Future for Next<'_, T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.receiver.queue).poll_next(cx)
    }
}

impl<T> CancelSafe for Next<'_, T> {}

impl<T> Clone for MailSender<T> {
    fn clone(&self) -> MailSender<T> {
        MailSender { queue: self.queue.clone() }
    }
}

impl<T> fmt::Debug for MailSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailSender").field("closed", &self.queue.is_closed()).finish()
    }
}

impl<T> fmt::Debug for MailReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailReceiver").finish_non_exhaustive()
    }
}
