//! The load of a scenario, and the figures of the program that makes it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sluice_bench::timed::TimedReport;

use super::scenario::{Load, Scenario};
use crate::h2load::{H2loadReport, H2loadSpec};
use crate::peers;
use crate::peers::Pass;
use crate::peers::file_server;
use crate::peers::resources::{HOST, HOSTS, PATHS, SERVER_NAME};
use crate::testbed::LISTEN_ADDRESS;
use crate::wrk::{self, WrkReport};

/// Counts and times of a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct LoadReport {
    /// Requests with a whole response, or messages with their echo.
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) per_second: f64,
    /// Median and 99th percentile of the latency in microseconds, where the program tells them.
    pub(super) p50_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
}

/// The program that makes the load, and how its figures are read.
pub(super) struct Loader {
    pub(super) command: Command,
    /// The line that it prints once its connections or sessions are there, if it says so: what they cost does not count.
    pub(super) opened: Option<&'static str>,
    parse: fn(&str) -> Result<LoadReport>,
}

impl Loader {
    /// A call for a turn; `bench` is our own program, and `dir` has the files that the load takes.
    pub(super) fn new(scenario: &Scenario, bench: &Path, dir: &Path, time: Duration, cpu: usize) -> Self {
        let Scenario { load, connections, traffic, .. } = scenario;
        let (request_path, tls) = (scenario.request_path.to_owned(), traffic.is_secured());
        let by_wrk = |close: bool, script: Option<&str>| {
            let script = script.map(|name| dir.join(name));
            let request_path = scenario.request_path.to_owned();
            let spec = wrk::LoadSpec { connections: *connections, request_path, close, script, tls };
            let to = match traffic.pass {
                Some(Pass::Sni) => LISTEN_ADDRESS.replace("127.0.0.1", SERVER_NAME),
                _ => LISTEN_ADDRESS.to_owned(),
            };
            Self { command: spec.command(&to, time, cpu), opened: None, parse: of_wrk }
        };
        match *load {
            Load::Http1 { close, many } => by_wrk(close, many.then_some(MANY)),
            Load::Uploads => by_wrk(false, Some(UPLOAD)),
            Load::Http2 { streams, grpc } => {
                let message = grpc.then(|| dir.join(file_server::GRPC_MESSAGE));
                let spec = H2loadSpec { connections: *connections, streams, request_path, tls, message };
                Self { command: spec.command(LISTEN_ADDRESS, time, cpu), opened: None, parse: of_h2load }
            }
            Load::Handshakes { resumed } => {
                let mut command = peers::program(bench, Some(cpu));
                command.args(["handshakes", "--to", LISTEN_ADDRESS, "--host", HOST]);
                command.args(["--target", &request_path, "--connections", &connections.to_string()]);
                command.args(["--seconds", &time.as_secs().max(1).to_string()]);
                command.arg("--trust").arg(dir.join("tls.crt"));
                command.args(resumed.then_some("--resumed"));
                Self { command, opened: Some(OPEN), parse: of_bench }
            }
            Load::Datagrams { window } => {
                let mut command = peers::program(bench, Some(cpu));
                command.args(["datagrams", "--to", LISTEN_ADDRESS, "--flows", &connections.to_string()]);
                command.args(["--window", &window.to_string()]);
                command.args(["--seconds", &time.as_secs().max(1).to_string()]);
                Self { command, opened: Some(OPEN), parse: of_bench }
            }
            Load::Messages { conversation, streams } => {
                let mut command = peers::program(bench, Some(cpu));
                command.args(["messages", "--protocol", conversation.name()]);
                command.args(["--to", LISTEN_ADDRESS, "--host", HOST, "--target", &request_path]);
                command.args(["--connections", &connections.to_string(), "--streams", &streams.to_string()]);
                command.args(["--seconds", &time.as_secs().max(1).to_string()]);
                Self { command, opened: Some(OPEN), parse: of_bench }
            }
        }
    }

    /// Reads what the program printed.
    pub(super) fn report(&self, output: &str) -> Result<LoadReport> {
        (self.parse)(output)
    }
}

/// Printed by `sluice-bench messages`, `handshakes` and `datagrams` before what counts.
const OPEN: &str = "open\n";

/// The script that chooses among many hosts and paths, in a testbed's directory.
const MANY: &str = "many.lua";

/// The script that sends bodies.
const UPLOAD: &str = "upload.lua";

/// Writes the script of a load, if it has one.
pub(super) fn write_script(dir: &Path, load: Load) -> Result<()> {
    match load {
        Load::Http1 { many: true, .. } => wrk::write_many(&dir.join(MANY), HOSTS, PATHS),
        Load::Uploads => wrk::write_upload(&dir.join(UPLOAD), 1 << 20),
        _ => Ok(()),
    }
}

fn of_wrk(output: &str) -> Result<LoadReport> {
    let report = WrkReport::parse(output)?;
    Ok(LoadReport {
        requests: report.requests,
        failed: report.failed(),
        per_second: report.per_second,
        p50_us: Some(report.p50.as_secs_f64() * 1e6),
        p99_us: Some(report.p99.as_secs_f64() * 1e6),
    })
}

fn of_h2load(output: &str) -> Result<LoadReport> {
    let H2loadReport { done, failed, per_second } = H2loadReport::parse(output)?;
    Ok(LoadReport { requests: done, failed, per_second, p50_us: None, p99_us: None })
}

fn of_bench(output: &str) -> Result<LoadReport> {
    let report: TimedReport = serde_json::from_str(output.strip_prefix(OPEN).unwrap_or(output))
        .with_context(|| format!("sluice-bench says: {output}"))?;
    if let Some(failure) = &report.failure {
        eprintln!("  {} failed: {failure}", report.failed);
    }
    Ok(LoadReport {
        requests: report.done,
        failed: report.failed,
        per_second: report.done as f64 / report.seconds,
        p50_us: Some(report.p50_us as f64),
        p99_us: Some(report.p99_us as f64),
    })
}
