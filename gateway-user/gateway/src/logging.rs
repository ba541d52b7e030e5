//! Log lines on standard error, behind a filter that can be changed while running.
//!
//! A thread of its own writes them: a reader that has stopped (a stuck log collector behind a pipe) must stop
//! neither a worker nor the thread that serves probes. Lines that it does not take in time are dropped and
//! counted.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::IsTerminal as _;
use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt as lines, reload};

use crate::confinement::Confinement;
use crate::identity::Identity;
use crate::privileges;

/// Lines that may wait to be written: what a start with thousands of findings says, and at most some MB.
const WAITING_LINES: usize = 10_000;

/// Log lines of libraries: about every failed request to the API server, each of which the caller logs once, with
/// its fix; and about frames, of which strangers decide how many there are.
const SAID_ELSEWHERE: &str = "kube_client=off,kube_runtime=off,h2=error";

/// Changes the filter of the running process, and says what became of its lines.
#[derive(Clone)]
pub(crate) struct LogControl {
    handle: reload::Handle<EnvFilter, Registry>,
    text: Arc<Mutex<String>>,
    dropped: ErrorCounter,
}

/// Dropped last, it writes what still waits: about a second is spent on a reader that has stopped.
pub(crate) struct LogFlushGuard(#[expect(dead_code, reason = "its drop writes")] WorkerGuard);

/// Starts logging; to be called once.
///
/// # Errors
/// The filter is malformed, logging was started before, or its thread cannot be started.
pub(crate) fn init(
    filter: &str,
    identity: &Identity,
    confinement: Confinement,
) -> anyhow::Result<(LogControl, LogFlushGuard)> {
    let (layer, handle) = reload::Layer::new(parse(filter)?);
    // It starts before the others and would keep what they are without.
    let (writer, guard) = privileges::without_any(identity, || {
        confinement.control();
        NonBlockingBuilder::default()
            .buffered_lines_limit(WAITING_LINES)
            .thread_name("log")
            .finish(std::io::stderr())
    })?;
    let dropped = writer.error_counter();
    let lines = lines::layer().with_writer(writer).with_ansi(std::io::stderr().is_terminal());
    Registry::default().with(layer).with(lines.with_target(false)).try_init()?;
    // The standard hook writes to standard error itself, and would wait there.
    std::panic::set_hook(Box::new(say_panic));
    let text = Arc::new(Mutex::new(filter.to_owned()));
    Ok((LogControl { handle, text, dropped }, LogFlushGuard(guard)))
}

/// A filter that names no such target leaves those lines out.
fn parse(filter: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(format!("{SAID_ELSEWHERE},{filter}"))
}

fn say_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("without name");
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => {
            tracing::error!("thread '{thread}' panicked at {place}: {message}\n{backtrace}");
        }
        _ => tracing::error!("thread '{thread}' panicked at {place}: {message}"),
    }
}

impl LogControl {
    /// For tests of what shows it: its filter is nobody's.
    #[cfg(test)]
    pub(crate) fn of_nobody() -> Self {
        let (_, handle) = reload::Layer::new(EnvFilter::default());
        let (writer, _guard) = NonBlockingBuilder::default().finish(std::io::sink());
        Self { handle, text: Arc::default(), dropped: writer.error_counter() }
    }

    /// The filter in force.
    pub(crate) fn filter(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lines dropped because standard error did not take them.
    pub(crate) fn dropped(&self) -> usize {
        self.dropped.dropped_lines()
    }

    /// Puts another filter in force.
    ///
    /// # Errors
    /// It is malformed; says what is allowed.
    pub(crate) fn change(&self, filter: &str) -> Result<(), String> {
        let parsed = parse(filter).map_err(|error| {
            format!("{filter:?}: {error}; write a level or a list such as info,gateway_control=debug")
        })?;
        self.handle.reload(parsed).map_err(|error| error.to_string())?;
        filter.clone_into(&mut self.text.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }
}

impl fmt::Debug for LogControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogControl").field("filter", &self.filter()).finish_non_exhaustive()
    }
}
