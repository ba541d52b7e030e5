//! Two streams whose bytes go to each other: a piece at a time, so that a slow receiver slows the sender, until both have
//! finished sending.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use gateway_http::head::Fields;
use gateway_io::{now, sleep};

use super::splice;
use super::traffic::Traffic;
use crate::Reason;
use crate::body::coop_budget::CoopBudget;
use crate::body::ends::{Piece, PumpError, Sink, Source};
use crate::body::pacing::SendTimeout;
use crate::context::{Control, WorkerContext};

/// Why a direction ended before its sender had finished.
struct Broken {
    reason: Reason,
    /// The receiver takes no more. It may have sent something before that, which still goes the other way.
    by_receiver: bool,
}

/// One direction.
struct Direction<'a, S, K> {
    context: &'a WorkerContext,
    from: &'a mut S,
    to: &'a mut K,
    traffic: &'a Traffic,
    side: Side,
}

/// The side that a direction comes from.
#[derive(Clone, Copy)]
enum Side {
    Client,
    Backend,
}

/// Passes bytes both ways until both sides have finished sending. A drain ends it at a time of its own.
///
/// # Errors
/// Why it ended before that.
pub(crate) async fn run<CS: Source, CK: Sink, BS: Source, BK: Sink>(
    context: &WorkerContext,
    control: &Control,
    (from_client, to_client): (&mut CS, &mut CK),
    (from_backend, to_backend): (&mut BS, &mut BK),
    traffic: &Traffic,
) -> Result<(), Reason> {
    let up = Direction { context, from: from_client, to: to_backend, traffic, side: Side::Client };
    let down = Direction { context, from: from_backend, to: to_client, traffic, side: Side::Backend };
    let (mut up, mut down) = (pin!(up.run()), pin!(down.run()));
    let mut cut = pin!(wait_for_cut(context));
    let (mut up_done, mut down_done, mut broken) = (false, false, None);
    let both = poll_fn(|cx| {
        let half_closed = traffic.half_closed.get();
        for (direction, done) in
            [(up.as_mut() as Pin<&mut dyn Future<Output = _>>, &mut up_done), (down.as_mut(), &mut down_done)]
        {
            if !*done && let Poll::Ready(ended) = direction.poll(cx) {
                *done = true;
                if let Err(Broken { reason, by_receiver }) = ended {
                    let first = *broken.get_or_insert(reason);
                    traffic.half_closed.set(true);
                    if !by_receiver {
                        return Poll::Ready(Err(first));
                    }
                }
            }
        }
        if up_done && down_done {
            return Poll::Ready(broken.map_or(Ok(()), Err));
        }
        if traffic.half_closed.get() != half_closed {
            // The direction that goes on waits with the limit from before.
            cx.waker().wake_by_ref();
        }
        cut.as_mut().poll(cx).map(|()| Err(Reason::DrainAborted))
    });
    control.kill.unless(pin!(both)).await.unwrap_or(Err(Reason::DrainAborted))
}

/// Returns at a time of its own in the second half of a drain: cut all at once, the clients would all come back at once. In the
/// first half those are told that can be told (HTTP/2), and others have their time to end by themselves.
async fn wait_for_cut(context: &WorkerContext) {
    if !context.is_draining() {
        context.drains.enter().leave().wait().await;
    }
    let half = context.drain_spread.get();
    let millis = u64::try_from(half.as_millis()).unwrap_or(u64::MAX);
    let part = context.random.next() % millis.saturating_add(1);
    sleep(half.saturating_add(Duration::from_millis(part))).await;
}

impl<S: Source, K: Sink> Direction<'_, S, K> {
    async fn run(self) -> Result<(), Broken> {
        let Self { context, from, to, traffic, side } = self;
        let timeouts = &traffic.settings.timeouts;
        // A tunnel says little for hours, so its receiver has no rate; one that takes nothing holds buffers.
        let send_timeout = SendTimeout::of(match side {
            Side::Client => timeouts.upstream_idle_body,
            Side::Backend => timeouts.client_send,
        });
        let mut budget = CoopBudget::of(context);
        if to.has_queued() {
            // It goes before all else, and is not to wait for it: the receiver may be the first to speak.
            to.flush(send_timeout).await.map_err(|error| side.broken(&error))?;
        }
        if from.is_finished() {
            // It had nothing to say but its head.
            traffic.half_closed.set(true);
            to.finish(Fields::default());
            to.flush(send_timeout).await.map_err(|error| side.broken(&error))?;
        }
        while !from.is_finished() {
            budget.take().await;
            let Piece { data, finished, .. } =
                next(from, traffic).await.map_err(|error| side.broken(&error))?;
            let is_long = data.as_ref().is_some_and(|data| data.len() >= splice::LONG);
            if let Some(data) = data {
                side.count(context, traffic, data.len());
                to.queue(data);
            }
            if finished {
                traffic.half_closed.set(true);
                // A tunnel has no trailers (RFC 9113 section 8.5).
                to.finish(Fields::default());
            }
            to.flush(send_timeout).await.map_err(|error| side.broken(&error))?;
            if is_long && let (Some(from), Some(to)) = (from.plain(), to.plain()) {
                let count = |bytes| {
                    side.count(context, traffic, bytes);
                    context.metrics.borrow_mut().counters.tunnel_bytes_spliced += bytes as u64;
                };
                let moved = splice::run((from, to), send_timeout, traffic, count).await;
                moved.map_err(|error| side.broken(&error))?;
            }
        }
        match side {
            Side::Client => traffic.taken.set(true),
            Side::Backend => traffic.delivered.set(true),
        }
        Ok(())
    }
}

/// The next piece, waited for as long as the other direction keeps the tunnel from being idle.
async fn next<S: Source>(from: &mut S, traffic: &Traffic) -> Result<Piece, PumpError> {
    if let Some(piece) = from.at_hand() {
        return piece;
    }
    loop {
        let left = traffic.left_of_any()?;
        match traffic.within(from.next(left)).await {
            Err(PumpError::SourceTimeout) => {}
            piece => return piece,
        }
    }
}

impl Side {
    fn count(self, context: &WorkerContext, traffic: &Traffic, bytes: usize) {
        traffic.last.set(now());
        let counters = &mut context.metrics.borrow_mut().counters;
        let (own, all) = match self {
            Self::Client => (&traffic.received, &mut counters.tunnel_bytes_received),
            Self::Backend => (&traffic.sent, &mut counters.tunnel_bytes_sent),
        };
        own.set(own.get() + bytes as u64);
        *all += bytes as u64;
    }

    fn broken(self, error: &PumpError) -> Broken {
        Broken { reason: self.reason(error), by_receiver: matches!(error, PumpError::SinkLost) }
    }

    /// Why a tunnel ends in which a direction from this side broke.
    fn reason(self, error: &PumpError) -> Reason {
        match (error, self) {
            (PumpError::SourceTimeout | PumpError::SourceSlow, _) => Reason::TunnelIdle,
            (PumpError::SourceLost | PumpError::Body(_), Self::Client)
            | (PumpError::SinkLost, Self::Backend) => Reason::ClientClosed,
            (PumpError::SourceLost | PumpError::Body(_), Self::Backend)
            | (PumpError::SinkLost, Self::Client) => Reason::TunnelUpstreamClosed,
            (PumpError::SinkTimeout, Self::Backend) => Reason::ClientSendTimeout,
            (PumpError::SinkTimeout, Self::Client) => Reason::TunnelUpstreamStalled,
        }
    }
}
