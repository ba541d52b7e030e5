//! Much content of one direction, moved from socket to socket without a copy.

use std::future::poll_fn;
use std::io;

use gateway_io::{Pipe, RecvHalf, SendHalf, Spliced, pause};

use super::traffic::Traffic;
use crate::body::ends::PumpError;
use crate::body::flush::flush_pipe;
use crate::body::pacing::SendTimeout;

/// Bytes that came at once from which on more is expected to come: for less the two system calls cost as much as the copy.
pub(super) const LONG: usize = 16 * 1024;
/// Pieces that are shorter, one after another, after which content is copied again.
const SHORT_MAX: u32 = 4;
/// Bytes between two pauses, in which all others of the worker have their turn.
const TURN: usize = 1024 * 1024;

/// Moves what comes until it is little, the sender has finished, or the worker has no pipe to spare: the caller goes on then.
pub(super) async fn run(
    (from, to): (&mut RecvHalf, &mut SendHalf),
    timeout: SendTimeout,
    traffic: &Traffic,
    count: impl Fn(usize),
) -> Result<(), PumpError> {
    let (mut short, mut turn) = (0, 0);
    while short < SHORT_MAX {
        // Given back before a wait: a sender may be silent for hours.
        let Some(mut pipe) = Pipe::take() else { return Ok(()) };
        match from.try_splice(&mut pipe).map_err(|_| PumpError::SourceLost)? {
            Spliced::End | Spliced::Busy => return Ok(()),
            Spliced::Nothing => {
                drop(pipe);
                readable(from, traffic).await?;
            }
            Spliced::Moved(bytes) => {
                count(bytes);
                flush_pipe(to, &mut pipe, timeout).await?;
                short = if bytes < LONG { short + 1 } else { 0 };
                turn += bytes;
            }
        }
        if turn >= TURN {
            turn = 0;
            pause().await;
        }
    }
    Ok(())
}

/// Waits for content for as long as the other direction keeps the tunnel from being idle.
async fn readable(from: &mut RecvHalf, traffic: &Traffic) -> Result<(), PumpError> {
    loop {
        from.set_deadline(Some(traffic.left_of_any()?));
        let waiting = async {
            poll_fn(|cx| from.poll_readable(cx)).await.map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut => PumpError::SourceTimeout,
                _ => PumpError::SourceLost,
            })
        };
        let ready = traffic.within(waiting).await;
        from.set_deadline(None);
        match ready {
            Err(PumpError::SourceTimeout) => {}
            other => return other,
        }
    }
}
