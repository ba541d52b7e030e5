//! Starts a process again whenever it ends.

use std::io;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::verdict::Kill;
use crate::process::Guarded;
use crate::wait::WAIT_TIMEOUT;

/// Between two looks at the process: short beside everything that is measured.
const POLL_INTERVAL: Duration = Duration::from_micros(200);

/// A process that is started again at once when it ends. It is killed, and not started again, when
/// this is dropped.
#[derive(Debug)]
pub struct Supervisor {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    child: Guarded,
    stop: bool,
    /// When the last one to end was reaped, and how many there were.
    reaped: Option<Instant>,
    ends: u64,
}

impl Supervisor {
    /// Starts the process that `command` describes; it is asked again for each start.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start(mut command: impl FnMut() -> Command + Send + 'static) -> io::Result<Self> {
        let child = Guarded::spawn(&mut command())?;
        let state = Mutex::new(State { child, stop: false, reaped: None, ends: 0 });
        let shared = Arc::new(Shared { state, changed: Condvar::new() });
        let watched = Arc::clone(&shared);
        let thread = thread::spawn(move || watched.watch(command));
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Kills the process by SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// There is none.
    ///
    /// # Panics
    /// If it does not go.
    pub fn kill(&self) -> io::Result<Kill> {
        let state = self.shared.lock();
        let ends = state.ends;
        let signalled = Instant::now();
        state.child.signal(Signal::SIGKILL)?;
        let gone = self.shared.changed.wait_timeout_while(state, WAIT_TIMEOUT, |state| state.ends == ends);
        let (state, _) = gone.unwrap_or_else(PoisonError::into_inner);
        let reaped = state.reaped.expect("a killed process is gone within the patience of tests");
        Ok(Kill { signalled, reaped })
    }

    /// Output of the process so far.
    pub fn output(&self) -> String {
        self.shared.lock().child.output()
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.shared.lock().child.pid()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, mut command: impl FnMut() -> Command) {
        loop {
            let mut state = self.lock();
            if state.stop {
                return;
            }
            if state.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                state.reaped = Some(Instant::now());
                state.ends += 1;
                self.changed.notify_all();
                match Guarded::spawn(&mut command()) {
                    Ok(child) => state.child = child,
                    Err(_) => return,
                }
            }
            drop(state);
            thread::sleep(POLL_INTERVAL);
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
