//! A running `sluice-bench load`: the client that verifies every response.

use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};

use anyhow::{Context, Result, bail};
use sluice_bench::load::Mode;
use sluice_bench::report::Report;

use crate::process::Process;

/// A client that has been started.
pub(crate) struct LoadClient {
    process: Process,
    mode: Mode,
    /// Ends its schedule when dropped, if that may be stopped.
    input: Option<ChildStdin>,
}

impl LoadClient {
    /// Starts `bench load` with these flags; its output lies in `dir` under `name`. `bench` is a call
    /// of the program.
    pub(crate) fn start(
        mut bench: Command,
        dir: &Path,
        name: &str,
        mode: Mode,
        flags: &[(&str, String)],
    ) -> Result<Self> {
        bench.arg("load").args(flags.iter().flat_map(|(name, value)| [*name, value.as_str()]));
        Ok(Self { process: Process::spawn(name, dir, &mut bench)?, mode, input: None })
    }

    /// The same with a schedule that may be stopped.
    pub(crate) fn start_until_stopped(
        mut bench: Command,
        dir: &Path,
        name: &str,
        mode: Mode,
        flags: &[(&str, String)],
    ) -> Result<Self> {
        bench.args(["load", "--until-input-ends"]);
        bench.args(flags.iter().flat_map(|(name, value)| [*name, value.as_str()]));
        let mut process = Process::spawn_with(name, dir, &mut bench, Stdio::piped())?;
        let input = process.take_input();
        Ok(Self { process, mode, input })
    }

    /// Has it send no more; what is under way comes to its end.
    pub(crate) fn stop(&mut self) {
        self.input = None;
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// An error if it has ended; `what` it was there for.
    pub(crate) fn ensure_running(&mut self, what: &str) -> Result<()> {
        self.process
            .ensure_running()
            .with_context(|| format!("the {} client ended before {what}", self.mode.name()))
    }

    /// True while it sends or waits.
    pub(crate) fn is_running(&mut self) -> Result<bool> {
        Ok(self.process.exit_status()?.is_none())
    }

    /// Waits for its end and reads what it found.
    pub(crate) fn report(mut self) -> Result<Report> {
        let status = self.process.wait()?;
        match status.code() {
            // 1 says that the report has losses in it.
            Some(0 | 1) => serde_json::from_str(&self.process.output())
                .with_context(|| format!("the report of the {} client", self.mode.name())),
            _ => bail!("the {} client failed ({status}): {}", self.mode.name(), self.process.stderr()),
        }
    }
}

#[cfg(test)]
mod tests {
    use gateway_testkit::scratch::Scratch;

    use super::*;
    use crate::process::until;

    #[test]
    fn a_client_that_has_ended_cannot_have_seen_the_rest() {
        let dir = Scratch::new("load-client").unwrap();
        let start = |script: &str| {
            let mut bench = Command::new("sh");
            bench.args(["-c", script]);
            LoadClient::start(bench, dir.path(), "client", Mode::KeepAlive, &[]).unwrap()
        };
        start("sleep 300").ensure_running("the abusers came").unwrap();
        let mut early = start("exit 0");
        until("it has ended", || Ok((!early.is_running()?).then_some(()))).unwrap();
        let error = early.ensure_running("the abusers came").unwrap_err();
        assert!(
            error.to_string().starts_with("the keep-alive client ended before the abusers came"),
            "{error}"
        );
    }
}
