//! Log lines on standard error, behind a filter that can be changed while running.

use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Changes the filter of the running process.
#[derive(Clone, Debug)]
pub(crate) struct LogControl {
    handle: reload::Handle<EnvFilter, Registry>,
    text: Arc<Mutex<String>>,
}

/// Starts logging; to be called once.
///
/// # Errors
/// The filter is malformed, or logging was started before.
pub(crate) fn init(filter: &str) -> anyhow::Result<LogControl> {
    let (layer, handle) = reload::Layer::new(EnvFilter::try_new(filter)?);
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    Registry::default().with(layer).with(lines.with_target(false)).try_init()?;
    Ok(LogControl { handle, text: Arc::new(Mutex::new(filter.to_owned())) })
}

impl LogControl {
    /// The filter in force.
    pub(crate) fn filter(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another filter in force.
    ///
    /// # Errors
    /// It is malformed; says what is allowed.
    pub(crate) fn change(&self, filter: &str) -> Result<(), String> {
        let parsed = EnvFilter::try_new(filter).map_err(|error| {
            format!("{filter:?}: {error}; write a level or a list such as info,gateway_control=debug")
        })?;
        self.handle.reload(parsed).map_err(|error| error.to_string())?;
        filter.clone_into(&mut self.text.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }
}
