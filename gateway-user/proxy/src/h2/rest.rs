//! The rest of a response that its client has no window for: it goes on without the request's state, and without the backend
//! once that has given all of it.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::backlog::SMALL_RECEIVE;
use super::break_off::break_off;
use super::connection::H2Connection;
use super::sink::{H2Sink, Sender};
use super::unsent::{Unread, Unsent};
use crate::Reason;
use crate::backend;
use crate::body::coop_budget::CoopBudget;
use crate::body::ends::{Piece, PumpError, Sink as _};
use crate::body::pacing::SendTimeout;
use crate::clock::within;
use crate::connection::slot::ActiveRequest;
use crate::context::WorkerContext;
use crate::exchange::fault_reason;
use crate::observe::record::{RequestRecord, RequestText};

/// A stream whose exchange is over but for this.
pub(super) struct Rest {
    /// Taken when it begins.
    pub(super) unsent: Option<Box<Unsent>>,
    /// There if more is to come. Boxed, as all that is done for it is, so that the end of a response waits for less.
    pub(super) unread: Option<Box<Unread>>,
    pub(super) sender: RefCell<Sender>,
    pub(super) record: RequestRecord,
    pub(super) text: RequestText,
    /// Counts it as active.
    pub(super) _active: ActiveRequest,
}

/// Sends the rest, and notes how the request ended.
pub(super) async fn serve(conn: Rc<H2Connection>, mut rest: Box<Rest>) {
    let Rest { unsent, unread, sender, record, text, .. } = &mut *rest;
    let Some(unsent) = unsent.take() else { return };
    let info = &conn.info;
    if unsent.queued.iter().map(|chunk| chunk.len()).sum::<usize>() <= SMALL_RECEIVE {
        sender.get_mut().ahead = None;
    }
    let limit = unsent.limit;
    let sent = {
        let mut passing = pin!(pass_on(&info.context, (unsent, unread), sender, &mut record.sent));
        // A backend may be silent for longer than its client waits.
        let mut watched = pin!(poll_fn(|cx| match passing.as_mut().poll(cx) {
            Poll::Pending => sender.borrow_mut().poll_gone(cx).map(|()| Err(PumpError::SinkLost)),
            passed => passed,
        }));
        let limited = pin!(async {
            let passed = match limit {
                // Boxed, since most have none.
                Some((end, _)) => Box::pin(within(left(end), watched.as_mut())).await,
                None => Some(watched.as_mut().await),
            };
            match (passed, limit) {
                (Some(Ok(())), _) => Ok(()),
                // Past the deadline that is reported, not the error that it caused.
                (Some(Err(fault)), Some((end, reason))) => {
                    Err(if left(end).is_zero() { reason } else { fault_reason(&fault) })
                }
                (Some(Err(fault)), None) => Err(fault_reason(&fault)),
                (None, limit) => Err(limit.map_or(Reason::RequestTimeout, |(_, reason)| reason)),
            }
        });
        info.control.kill.unless(limited).await.unwrap_or(Err(Reason::DrainAborted))
    };
    if let Err(reason) = sent {
        break_off(record, sender, reason);
    }
    record.finish(&info.context, text, info.tls.as_deref(), info.peer, info.local);
}

fn left(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now())
}

/// Sends what is queued and what is still to come.
async fn pass_on(
    context: &WorkerContext,
    (unsent, unread): (Box<Unsent>, &mut Option<Box<Unread>>),
    sender: &RefCell<Sender>,
    sent: &mut u64,
) -> Result<(), PumpError> {
    let limit = unsent.pace.unwrap_or_else(|| SendTimeout::of_client(&context.config.timeouts));
    let wait = unsent.wait;
    let mut sink = sink(unsent, sender);
    if let Some(unread) = unread {
        Box::pin(receive(context, unread, &mut sink, (limit, wait), sent)).await?;
    }
    if let Some(unread) = unread.take() {
        unread.end(context);
    }
    sink.flush(limit).await
}

/// The way of what is queued. The box is gone when this returns, and not only at the end of who calls.
#[expect(clippy::boxed_local, reason = "it is to be freed here")]
fn sink(unsent: Box<Unsent>, to: &RefCell<Sender>) -> H2Sink<'_, Sender> {
    let Unsent { queued, end, .. } = *unsent;
    H2Sink { queued, end, ..H2Sink::new(to) }
}

/// Receives what is still to come, no more of it at a time than the client takes, up to an end that is queued.
async fn receive(
    context: &WorkerContext,
    unread: &mut Unread,
    sink: &mut H2Sink<'_, Sender>,
    (limit, wait): (SendTimeout, Duration),
    sent: &mut u64,
) -> Result<(), PumpError> {
    let Unread { lease, decoder, unasked, .. } = unread;
    let mut source = backend::unread(lease, decoder, unasked).ok_or(PumpError::SourceLost)?;
    let mut budget = CoopBudget::of(context);
    loop {
        sink.flush(limit).await?;
        budget.take().await;
        // A short end is received whatever the window, so that its backend is free.
        if source.remaining().is_none_or(|left| left > SMALL_RECEIVE as u64) {
            sink.ready(limit).await?;
        }
        let most = sink.to.borrow_mut().receivable();
        let Piece { data, finished, .. } = source.next(most, wait).await?;
        if let Some(data) = data {
            *sent += data.len() as u64;
            sink.queue(data);
        }
        if finished {
            sink.finish(source.trailers());
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<F: Future>(_: fn(Rc<H2Connection>, Box<Rest>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_response_that_waits_costs_little() {
        let waiting = size(serve);
        assert!(waiting <= 832, "{waiting} bytes");
        assert!(size_of::<Rest>() <= 512, "{} bytes", size_of::<Rest>());
    }
}
