//! A client's process: one call, from its input to its end.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::process::Process;

/// Time for one call of a tool; a little more than the tools are told themselves.
const CALL_TIMEOUT: Duration = Duration::from_secs(25);

/// Input of a call.
pub(super) enum Input<'a> {
    None,
    /// This, and then its end.
    Whole(&'a str),
    /// This, and its end once the output has this in it.
    Until(&'a str, &'a str),
}

/// A call that has ended.
pub(super) struct CallResult {
    /// None if it had to be ended.
    pub(super) status: Option<ExitStatus>,
    pub(super) output: String,
    /// The same as it came, which need be no text.
    pub(super) bytes: Vec<u8>,
    pub(super) stderr: String,
}

impl CallResult {
    /// The last thing that it complained of, or how it ended.
    pub(super) fn error(&self) -> String {
        let Some(status) = self.status else { return "no end within the time".to_owned() };
        match self.stderr.lines().next_back() {
            Some(line) => line.to_owned(),
            None => status.to_string(),
        }
    }
}

/// Calls a tool, whose files lie in `dir`.
pub(super) fn call(dir: &Path, command: &mut Command, input: &Input<'_>) -> Result<CallResult> {
    let stdin = match input {
        Input::None => Stdio::null(),
        Input::Whole(text) => {
            let path = dir.join("input");
            std::fs::write(&path, text)?;
            File::open(&path)?.into()
        }
        Input::Until(..) => Stdio::piped(),
    };
    let mut process = Process::spawn_with("client", dir, command, stdin)?;
    if let Input::Until(text, seen) = input {
        feed(&mut process, text, seen)?;
    }
    let status = process.wait_within(CALL_TIMEOUT)?;
    Ok(CallResult {
        status,
        output: process.output(),
        bytes: process.output_bytes(),
        stderr: process.stderr(),
    })
}

/// Writes the input and ends it once the output has `seen` in it, the process has ended, or there
/// was time enough.
fn feed(process: &mut Process, text: &str, seen: &str) -> Result<()> {
    let mut input = process.take_input().context("a client without input")?;
    // A client that takes no input ends, and says why.
    let _ = input.write_all(text.as_bytes());
    let end = Instant::now() + CALL_TIMEOUT;
    while !process.output().contains(seen) && process.wait_within(POLL_INTERVAL)?.is_none() {
        if Instant::now() > end {
            break;
        }
    }
    Ok(())
}

/// Between two readings of a client's output.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
