//! Signals to the running process.

use std::thread;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::confinement::Confinement;
use crate::identity::Identity;
use crate::privileges;

/// A request by signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// SIGHUP: read the configuration again, and open the access log again.
    Reload,
    /// SIGTERM or SIGINT, by name: drain, or if that is under way end at once.
    Stop(&'static str),
}

/// The signals as they come.
#[derive(Debug)]
pub(crate) struct Orders {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

/// While this is there, a signal to stop ends the process at once.
#[derive(Debug)]
pub(crate) struct EndAtOnce {
    /// Its end tells the thread.
    _stop: watch::Sender<()>,
}

/// Has a signal to stop end a process that starts, also as the first one of a container, for which the kernel's own
/// action is none: one that hangs would keep what it holds until it is killed.
///
/// # Errors
/// The system gives no thread.
pub(crate) fn end_at_once(identity: &Identity, confinement: Confinement) -> anyhow::Result<EndAtOnce> {
    let (stop, mut stopped) = watch::channel(());
    let waiting = async move {
        let Ok(mut orders) = listen() else { return };
        tokio::select! {
            signal = orders.stop() => {
                crate::cmd::say(&format!("sluice: {signal} before it serves: ended at once"));
                #[expect(clippy::disallowed_methods, reason = "the thread that would return an ExitCode hangs")]
                std::process::exit(0);
            }
            _ = stopped.changed() => {}
        }
    };
    let start = || {
        confinement.control();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = thread::Builder::new().name("sluice-start".to_owned());
        thread.spawn(move || runtime.block_on(waiting)).map(drop)
    };
    privileges::without_any(identity, start)?.context("starting the thread that waits for signals")?;
    Ok(EndAtOnce { _stop: stop })
}

/// Starts to listen; from here on the signals no longer end the process by themselves.
///
/// # Errors
/// The runtime has no signal driver.
pub(crate) fn listen() -> anyhow::Result<Orders> {
    Ok(Orders {
        hangup: signal(SignalKind::hangup())?,
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
    })
}

impl Orders {
    /// The next one.
    pub(crate) async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.hangup.recv() => Order::Reload,
            _ = self.interrupt.recv() => Order::Stop("SIGINT"),
            _ = self.terminate.recv() => Order::Stop("SIGTERM"),
        }
    }

    /// The next one that asks to stop, by name.
    pub(crate) async fn stop(&mut self) -> &'static str {
        loop {
            if let Order::Stop(signal) = self.next().await {
                return signal;
            }
        }
    }
}
