//! A running `sluice-bench load`: the client that verifies every response.

use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sluice_bench::load::Mode;
use sluice_bench::report::Report;

use crate::process::{Process, check_interrupt};

/// A client that has been started.
pub struct LoadClient {
    process: Process,
    mode: Mode,
    /// Ends its schedule when dropped, if that may be stopped.
    input: Option<ChildStdin>,
}

impl LoadClient {
    /// Starts `bench load` with these flags; its output lies in `dir` under `name`. `bench` is a call
    /// of the program.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(
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
    ///
    /// # Errors
    /// As [`LoadClient::start`].
    pub fn start_until_stopped(
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
    pub fn stop(&mut self) {
        self.input = None;
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// An error if it has ended; `what` it was there for.
    ///
    /// # Errors
    /// It has ended.
    pub fn ensure_running(&mut self, what: &str) -> Result<()> {
        self.process
            .ensure_running()
            .with_context(|| format!("the {} client ended before {what}", self.mode.name()))
    }

    /// True while it sends or waits.
    ///
    /// # Errors
    /// The system does not say.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.process.exit_status()?.is_none())
    }

    /// Waits for its end and reads what it found.
    ///
    /// # Errors
    /// It has no report.
    pub fn report(mut self) -> Result<Report> {
        let status = self.process.wait()?;
        match status.code() {
            // 1 says that the report has losses in it.
            Some(0 | 1) => serde_json::from_str(&self.process.output())
                .with_context(|| format!("the report of the {} client", self.mode.name())),
            _ => bail!("the {} client failed ({status}): {}", self.mode.name(), self.process.stderr()),
        }
    }
}

/// Time for which clients send before an event and after it.
const AROUND: Duration = Duration::from_secs(2);

/// Has clients that may be stopped send before, during and after `body`; gives what each saw, with the time that `body` took.
///
/// # Errors
/// Those of `body`; a client has ended before; or Ctrl-C was typed.
pub fn during(
    mut clients: Vec<LoadClient>,
    body: impl FnOnce() -> Result<()>,
) -> Result<(Duration, Vec<Report>)> {
    wait(AROUND)?;
    let began = Instant::now();
    body()?;
    let took = began.elapsed();
    wait(AROUND)?;
    for client in &mut clients {
        ensure!(client.is_running()?, "a client ended before it was stopped");
        client.stop();
    }
    let reports = clients.into_iter().map(LoadClient::report).collect::<Result<_>>();
    Ok((took, reports.context("what clients saw")?))
}

fn wait(time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        check_interrupt()?;
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
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
