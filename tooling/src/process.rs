//! Children that end with us, each with its output in files.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// Longest time that anything is waited for: far above that of a start or an upgrade.
pub const WAIT_TIMEOUT: Duration = Duration::from_secs(90);

/// A child; killed with all that it has started, and reaped, when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C makes every wait fail, so that all that was started is ended in order.
///
/// # Errors
/// The handler cannot be set.
pub fn stop_on_ctrl_c() -> Result<()> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::SeqCst)).context("handling Ctrl-C")
}

/// Ends the caller after Ctrl-C.
///
/// # Errors
/// Ctrl-C was typed.
pub fn check_interrupt() -> Result<()> {
    match INTERRUPTED.load(Ordering::SeqCst) {
        true => bail!("interrupted"),
        false => Ok(()),
    }
}

/// Polls until `ready` gives a value.
///
/// # Errors
/// Those of `ready`; Ctrl-C was typed; or [`WAIT_TIMEOUT`] has passed.
pub fn until<T>(what: &str, ready: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    until_every(Duration::from_millis(5), what, ready)
}

/// The same for what takes CPU time to ask, so long after each time.
///
/// # Errors
/// As [`until`].
pub fn until_every<T>(
    interval: Duration,
    what: &str,
    mut ready: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + WAIT_TIMEOUT;
    loop {
        check_interrupt()?;
        if let Some(value) = ready()? {
            return Ok(value);
        }
        if Instant::now() > end {
            bail!("gave up waiting until {what}");
        }
        thread::sleep(interval);
    }
}

impl Process {
    /// Starts `command` in a process group of its own, so that Ctrl-C on the terminal reaches us alone.
    ///
    /// # Errors
    /// The program cannot be started, or its files in `dir` cannot be made.
    pub fn spawn(name: &str, dir: &Path, command: &mut Command) -> Result<Self> {
        Self::spawn_with(name, dir, command, Stdio::null())
    }

    /// The same with a standard input.
    ///
    /// # Errors
    /// As [`Process::spawn`].
    pub fn spawn_with(name: &str, dir: &Path, command: &mut Command, input: Stdio) -> Result<Self> {
        let (out, err) = (dir.join(format!("{name}.out")), dir.join(format!("{name}.err")));
        command.process_group(0).stdin(input).stdout(File::create(&out)?).stderr(File::create(&err)?);
        let child = command
            .spawn()
            .with_context(|| format!("starting {name}: {}", command.get_program().display()))?;
        Ok(Self { name: name.to_owned(), child, out, err })
    }

    /// Its process id, which is its process group's too.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard output so far.
    pub fn output(&self) -> String {
        fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// The same as it came, which need be no text.
    pub fn output_bytes(&self) -> Vec<u8> {
        fs::read(&self.out).unwrap_or_default()
    }

    /// Its standard error so far.
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.err).unwrap_or_default().trim().to_owned()
    }

    /// The other end of its standard input, once, if that is a pipe.
    pub fn take_input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Its exit status, if it has ended.
    ///
    /// # Errors
    /// The system does not say.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Checks that it still runs.
    ///
    /// # Errors
    /// It has ended; the message has its standard error.
    pub fn ensure_running(&mut self) -> Result<()> {
        match self.exit_status()? {
            Some(status) => bail!("{} ended by itself ({status}): {}", self.name, self.stderr()),
            None => Ok(()),
        }
    }

    /// Sends a signal to it alone.
    ///
    /// # Errors
    /// The process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.pid().cast_signed()), signal)
            .with_context(|| format!("{signal} to {}", self.name))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Those of [`until`].
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let name = self.name.clone();
        until(&format!("{name} ends"), || self.exit_status())
    }

    /// Waits for its end, for at most `limit`; `None` if it still runs then.
    ///
    /// # Errors
    /// Ctrl-C was typed, or the system does not say.
    pub fn wait_within(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let end = Instant::now() + limit;
        loop {
            check_interrupt()?;
            match self.exit_status()? {
                None if Instant::now() < end => thread::sleep(Duration::from_millis(5)),
                ended => return Ok(ended),
            }
        }
    }

    /// Waits for its end, which must be exit code 0.
    ///
    /// # Errors
    /// It has another exit code; or those of [`until`].
    pub fn wait_for_success(&mut self) -> Result<()> {
        let status = self.wait()?;
        match status.success() {
            true => Ok(()),
            false => bail!("{} did not end well ({status}): {}", self.name, self.stderr()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // The whole group: processes that it has started would outlive it.
            let _ = killpg(Pid::from_raw(self.pid().cast_signed()), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}
