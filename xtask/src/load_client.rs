//! A running `sluice-bench load`: the client that verifies every answer.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use sluice_bench::load::Mode;
use sluice_bench::report::Report;

use crate::process::Process;

/// A client that has been started.
pub(crate) struct LoadClient {
    process: Process,
    mode: Mode,
}

impl LoadClient {
    /// Starts `bench load` with these flags; its output lies in `dir` under `name`.
    pub(crate) fn start(
        bench: &Path,
        dir: &Path,
        name: &str,
        mode: Mode,
        flags: &[(&str, String)],
    ) -> Result<Self> {
        let mut command = Command::new(bench);
        command.arg("load").args(flags.iter().flat_map(|(name, value)| [*name, value.as_str()]));
        Ok(Self { process: Process::spawn(name, dir, &mut command)?, mode })
    }

    /// Whether it still sends or waits.
    pub(crate) fn is_running(&mut self) -> Result<bool> {
        Ok(self.process.ended()?.is_none())
    }

    /// Waits for its end and reads what it found.
    pub(crate) fn report(mut self) -> Result<Report> {
        let status = self.process.wait()?;
        match status.code() {
            // 1 says that the report has losses in it.
            Some(0 | 1) => serde_json::from_str(&self.process.output())
                .with_context(|| format!("the report of the {} client", self.mode.name())),
            _ => bail!("the {} client failed ({status}): {}", self.mode.name(), self.process.complaints()),
        }
    }
}
