//! Signals to the running process.

use tokio::signal::unix::{Signal, SignalKind, signal};

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
