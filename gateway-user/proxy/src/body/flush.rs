//! Sending to a receiver that may be slow, but not stand still.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use gateway_io::{Pipe, SendHalf};

use crate::body::ends::PumpError;
use crate::body::pacing::SendTimeout;

/// Sends what is queued, as long as the receiver takes some of it. What it has taken is what it has acknowledged, as the
/// kernel says: a send that waits says nothing, since the kernel lets it go on only when a third of a buffer of
/// megabytes is free, minutes later for a slow receiver.
pub(crate) async fn flush(to: &mut SendHalf, timeout: SendTimeout) -> Result<(), PumpError> {
    flush_with(to, timeout, None).await
}

/// Sends what is queued and all that is in the pipe, by the same rule.
pub(crate) async fn flush_pipe(
    to: &mut SendHalf,
    pipe: &mut Pipe,
    timeout: SendTimeout,
) -> Result<(), PumpError> {
    flush_with(to, timeout, Some(pipe)).await
}

async fn flush_with(
    to: &mut SendHalf,
    timeout: SendTimeout,
    mut pipe: Option<&mut Pipe>,
) -> Result<(), PumpError> {
    let half = timeout.limit / 2;
    let required = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).saturating_mul(timeout.rate) / 1000;
    loop {
        if flush_within(to, half, pipe.as_deref_mut()).await? {
            return Ok(());
        }
        let before = to.unacknowledged() + pipe.as_ref().map_or(0, |pipe| pipe.held());
        if flush_within(to, timeout.limit.saturating_sub(half), pipe.as_deref_mut()).await? {
            return Ok(());
        }
        let left = to.unacknowledged() + pipe.as_ref().map_or(0, |pipe| pipe.held());
        let taken = before.saturating_sub(left) as u64;
        if taken < required.max(1) {
            return Err(PumpError::SinkTimeout);
        }
    }
}

/// False if it takes longer.
async fn flush_within(
    to: &mut SendHalf,
    limit: Duration,
    pipe: Option<&mut Pipe>,
) -> Result<bool, PumpError> {
    to.set_deadline(Some(limit));
    let flushed = match pipe {
        None => to.flush().await,
        Some(pipe) => poll_fn(|cx| to.poll_splice(cx, pipe)).await,
    };
    to.set_deadline(None);
    match flushed {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(false),
        Err(_) => Err(PumpError::SinkLost),
    }
}
