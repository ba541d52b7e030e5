//! The end of the process: the drain, what others are told, and what comes after it in a pod.

use std::cell::Cell;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use anyhow::bail;
use gateway_control::engine::Engine;
use gateway_control::steer::SharedSteering;
use gateway_control::stream::Following;
use gateway_proxy::worker::DrainLimits;
use tracing::info;

use crate::flags::{AfterTakeOver, Settings};
use crate::instance;
use crate::membership::Membership;
use crate::signals::Orders;
use crate::workers::Workers;

/// Time after a take-over by a process that steers by other means, for handshakes to end that began at our
/// sockets, of which it has none. A SYN-ACK is followed by the client's ACK within a round trip.
const HANDSHAKES: Duration = Duration::from_secs(1);

/// Time between two looks whether the successor is there.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// A drain that came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    NoSignal,
    /// A signal came meanwhile, which asked for nothing more.
    Signal,
}

/// Says to others that this process speaks for the node no more, and with `last` that none does.
pub(super) async fn leave(membership: Option<Membership>, following: Option<Following>, last: bool) {
    if let Some(following) = following {
        // It may wait for its last word to be taken.
        drop(tokio::task::spawn_blocking(move || following.leave(last)).await);
    }
    if let Some(membership) = membership {
        membership.leave(last).await;
    }
}

/// Lets workers finish. So many signals end all at once.
///
/// # Errors
/// They came.
pub(super) async fn drain(
    workers: &Workers,
    engine: Engine<SharedSteering>,
    orders: &mut Orders,
    limits: DrainLimits,
    signals: u32,
) -> anyhow::Result<After> {
    // Workers that drain take no new generation. The thread ends beside: it may be compiling.
    drop(tokio::task::spawn_blocking(move || engine.stop()));
    let after = Cell::new(After::NoSignal);
    let mut enough = pin!(async {
        for _ in 1..signals {
            let signal = orders.stop().await;
            after.set(After::Signal);
            info!("{signal}: draining already");
        }
        orders.stop().await
    });
    tokio::select! {
        _ = workers.drain(limits) => {}
        signal = &mut enough => bail!("{signal} again: ended at once, connections were cut"),
    }
    Ok(after.get())
}

/// Another process accepts. Kept connections have until the maximum for their next request, since one that is
/// closed while the client writes is a lost request.
pub(super) fn after_take_over(settings: &Settings, same_sockets: bool) -> DrainLimits {
    let max = settings.drain_max.0;
    let accept = if same_sockets { Duration::ZERO } else { HANDSHAKES };
    DrainLimits { accept, idle: max, max }
}

/// Stays, if that is wished, until a signal asks to stop or the successor has died without one of its own: then whoever
/// starts this program again has somebody to replace.
pub(super) async fn succeeded(settings: &Settings, orders: &mut Orders, dir: &Path) {
    if settings.after_take_over == AfterTakeOver::End {
        return;
    }
    info!("drained; waits for a signal, or for the end of the process that took over");
    loop {
        tokio::select! {
            signal = orders.stop() => return info!("{signal}: ends, having drained"),
            () = tokio::time::sleep(LOOK_INTERVAL) => {
                if instance::serving(dir).is_none() {
                    return info!("the process that took over is gone; ends, so that this one is started again");
                }
            }
        }
    }
}
