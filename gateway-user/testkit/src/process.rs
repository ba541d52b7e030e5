//! Child processes that never outlive the test that started them.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait;

/// A running child and what it has printed so far; killed and reaped when dropped.
#[derive(Debug)]
pub struct Guarded {
    child: Child,
    output: Arc<Mutex<String>>,
}

impl Guarded {
    /// Starts `command`, collecting standard output and standard error together.
    ///
    /// # Errors
    /// The program cannot be started; the message names it.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", command.get_program().display())))?;
        let output = Arc::new(Mutex::new(String::new()));
        if let Some(out) = child.stdout.take() {
            collect(out, Arc::clone(&output));
        }
        if let Some(err) = child.stderr.take() {
            collect(err, Arc::clone(&output));
        }
        Ok(Self { child, output })
    }

    /// The child's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything printed so far.
    pub fn output(&self) -> String {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the output contains `text`.
    ///
    /// # Panics
    /// If the child ends or patience runs out before that; prints what it said.
    #[track_caller]
    pub fn wait_for_output(&mut self, text: &str) {
        wait::until(&format!("{text:?} in the output of pid {}", self.pid()), || {
            if self.output().contains(text) {
                return Some(());
            }
            let ended = self.child.try_wait().ok().flatten();
            // The last lines may be on their way from the pipe; whoever reads there holds the text too.
            let is_whole = Arc::strong_count(&self.output) == 1;
            let output = self.output();
            if ended.is_some() && is_whole && !output.contains(text) {
                panic!("ended ({ended:?}) before printing {text:?}:\n{output}");
            }
            None
        });
    }

    /// Sends `signal` to the child alone.
    ///
    /// # Errors
    /// The child is gone.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).map_err(io::Error::from)
    }

    /// True if it has ended, and how.
    ///
    /// # Errors
    /// The system does not say.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for the child to end by itself.
    ///
    /// # Panics
    /// After patience ran out; prints what it said.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let pid = self.pid();
        let output = Arc::clone(&self.output);
        wait::until(&format!("the end of pid {pid}, which said:\n{}", lock(&output)), || {
            self.child.try_wait().ok().flatten()
        })
    }
}

fn lock(output: &Mutex<String>) -> String {
    output.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn collect(from: impl Read + Send + 'static, into: Arc<Mutex<String>>) {
    thread::spawn(move || {
        let mut lines = BufReader::new(from);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            into.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
