//! wrk beside the clients: it keeps the proxy busy, and its own errors are noted.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;
use serde::Serialize;

use super::proxy::Setup;
use crate::process::Process;

/// What wrk says of itself. It opens a new connection for one that fails and sends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WrkReport {
    pub(super) requests: u64,
    pub(super) connect_errors: u64,
    pub(super) read_errors: u64,
    pub(super) write_errors: u64,
    pub(super) timeouts: u64,
    pub(super) other_statuses: u64,
}

/// Runs until [`finish`], or for `most`.
pub(super) fn start(setup: &Setup, connections: u32, most: Duration) -> Result<Process> {
    let mut command = Command::new("wrk");
    command.args(["--threads", "1", "--connections", &connections.to_string()]);
    command.args(["--duration", &format!("{}s", most.as_secs().max(1))]);
    command.arg(format!("http://{}/download/128", setup.listen));
    Process::spawn("wrk", &setup.dir, &mut command)
}

/// Ends it as Ctrl-C would, which makes it print its figures.
pub(super) fn finish(mut wrk: Process) -> Result<WrkReport> {
    wrk.signal(Signal::SIGINT)?;
    wrk.wait_for_success()?;
    Ok(WrkReport::parse(&wrk.output()))
}

impl WrkReport {
    fn parse(text: &str) -> Self {
        let number = |text: &str| text.trim().parse().unwrap_or(0);
        let mut report = Self::default();
        for line in text.lines().map(str::trim) {
            if let Some(errors) = line.strip_prefix("Socket errors:") {
                for (name, value) in errors.split(',').filter_map(|part| part.trim().split_once(' ')) {
                    match name {
                        "connect" => report.connect_errors = number(value),
                        "read" => report.read_errors = number(value),
                        "write" => report.write_errors = number(value),
                        "timeout" => report.timeouts = number(value),
                        _ => {}
                    }
                }
            } else if let Some(value) = line.strip_prefix("Non-2xx or 3xx responses:") {
                report.other_statuses = number(value);
            } else if let Some((value, _)) = line.split_once(" requests in ") {
                report.requests = number(value);
            }
        }
        report
    }

    /// Its errors but for time-outs: these are answers later than two seconds, which it goes on waiting for.
    pub(super) fn lost(&self) -> u64 {
        self.connect_errors + self.read_errors + self.write_errors + self.other_statuses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_figures_are_understood() {
        let text = "Running 2s test @ http://127.0.0.1:8080/
  1 threads and 8 connections
  4242 requests in 2.00s, 1.00MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 5
Requests/sec:   2121.00
";
        let report = WrkReport::parse(text);
        let expected = WrkReport {
            requests: 4242,
            connect_errors: 1,
            read_errors: 2,
            write_errors: 3,
            timeouts: 4,
            other_statuses: 5,
        };
        assert_eq!(report, expected);
        assert_eq!(report.lost(), 11);
    }
}
