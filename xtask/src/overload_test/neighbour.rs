//! The neighbour's clients: verified requests at an even rate, on kept connections and on new ones.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use sluice_bench::load::Mode;
use sluice_bench::report::Report;

use super::case::Neighbour;
use super::stand::{LISTEN, NEIGHBOUR_BACKEND, NEIGHBOUR_HOST};
use crate::process::Process;

/// A client that has been started.
pub(super) struct Client {
    process: Process,
    mode: Mode,
}

/// Requests per second of each client.
const RATE: u32 = 500;
/// Connections of each client where a case does not ask for fewer.
const CONNECTIONS: u32 = 32;
/// Seconds for one request.
const TIMEOUT: &str = "10";

/// Starts the clients that the case lets in, each for so many seconds; `run` tells their requests from those of other runs.
pub(super) fn start(
    neighbour: Neighbour,
    bench: &Path,
    dir: &Path,
    seconds: u32,
    run: u32,
) -> Result<Vec<Client>> {
    let kinds: &[Mode] = match neighbour {
        Neighbour::Any => &[Mode::KeepAlive, Mode::PerConnection],
        Neighbour::Inside(_) => &[Mode::KeepAlive],
    };
    let connections = match neighbour {
        Neighbour::Any => CONNECTIONS,
        Neighbour::Inside(connections) => connections,
    };
    let launch = |(number, &mode): (usize, &Mode)| {
        let flags = [
            ("--to", LISTEN.to_owned()),
            ("--host", NEIGHBOUR_HOST.to_owned()),
            ("--backend", NEIGHBOUR_BACKEND.to_owned()),
            ("--mode", mode.name().to_owned()),
            ("--requests", (RATE * seconds).to_string()),
            ("--rate", RATE.to_string()),
            ("--connections", connections.to_string()),
            ("--timeout", TIMEOUT.to_owned()),
            ("--tag", format!("{:06x}", run * 16 + u32::try_from(number)?)),
        ];
        let mut command = Command::new(bench);
        command.arg("load").args(flags.iter().flat_map(|(name, value)| [*name, value.as_str()]));
        let name = format!("{}-{run}", mode.name());
        Ok(Client { process: Process::spawn(&name, dir, &mut command)?, mode })
    };
    kinds.iter().enumerate().map(launch).collect()
}

impl Client {
    /// Whether it still sends or waits.
    pub(super) fn is_running(&mut self) -> Result<bool> {
        Ok(self.process.ended()?.is_none())
    }

    /// Waits for its end and reads what it found.
    pub(super) fn report(mut self) -> Result<Report> {
        let status = self.process.wait()?;
        match status.code() {
            // 1 says that the report has losses in it.
            Some(0 | 1) => serde_json::from_str(&self.process.output())
                .with_context(|| format!("the report of the {} client", self.mode.name())),
            _ => bail!("the {} client failed ({status}): {}", self.mode.name(), self.process.complaints()),
        }
    }
}
