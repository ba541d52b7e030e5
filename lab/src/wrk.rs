//! wrk: a closed-loop load, as many requests as the proxy takes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde::Serialize;

use crate::peers::program;
use crate::process::Process;

/// The requests of a run.
#[derive(Clone, Debug)]
pub(crate) struct LoadSpec {
    pub(crate) connections: u32,
    pub(crate) request_path: String,
    /// Each request on a connection of its own.
    pub(crate) close: bool,
    /// A Lua script that chooses Host and target.
    pub(crate) script: Option<PathBuf>,
    pub(crate) tls: bool,
}

/// Figures that wrk prints. It opens a new connection for one that fails and sends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WrkReport {
    pub(crate) requests: u64,
    pub(crate) connect_errors: u64,
    pub(crate) read_errors: u64,
    pub(crate) write_errors: u64,
    pub(crate) timeouts: u64,
    pub(crate) other_statuses: u64,
    #[serde(skip)]
    pub(crate) per_second: f64,
    /// Median latency; zero without `--latency`.
    #[serde(skip)]
    pub(crate) p50: Duration,
    /// 99th percentile of the latency; zero without `--latency`.
    #[serde(skip)]
    pub(crate) p99: Duration,
}

impl LoadSpec {
    /// The call, on one CPU.
    pub(crate) fn command(&self, to: &str, time: Duration, cpu: usize) -> Command {
        let mut command = program("wrk", Some(cpu));
        command.args(["--threads", "1", "--latency"]);
        command.args(["--connections", &self.connections.to_string()]);
        command.args(["--timeout", "10s", "--duration", &format!("{}s", time.as_secs().max(1))]);
        if self.close {
            command.args(["--header", "Connection: close"]);
        }
        if let Some(script) = &self.script {
            command.arg("--script").arg(script);
        }
        let scheme = if self.tls { "https" } else { "http" };
        command.arg(format!("{scheme}://{to}{}", self.request_path));
        command
    }
}

/// wrk beside other clients, to keep a proxy busy: it runs until [`finish`], or for `most`.
pub(crate) fn start(to: SocketAddr, dir: &Path, connections: u32, most: Duration) -> Result<Process> {
    let mut command = Command::new("wrk");
    command.args(["--threads", "1", "--connections", &connections.to_string()]);
    command.args(["--duration", &format!("{}s", most.as_secs().max(1))]);
    command.arg(format!("http://{to}/download/128"));
    Process::spawn("wrk", dir, &mut command)
}

/// Ends it as Ctrl-C would, which makes it print its figures.
pub(crate) fn finish(mut wrk: Process) -> Result<WrkReport> {
    wrk.signal(Signal::SIGINT)?;
    wrk.wait_for_success()?;
    WrkReport::parse(&wrk.output())
}

impl WrkReport {
    /// Reads wrk's output.
    ///
    /// # Errors
    /// It has no requests in it, or a figure that cannot be read.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut report = Self::default();
        for line in text.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("50%") {
                report.p50 = time(rest)?;
            } else if let Some(rest) = line.strip_prefix("99%") {
                report.p99 = time(rest)?;
            } else if let Some(errors) = line.strip_prefix("Socket errors:") {
                report.add_errors(errors)?;
            } else if let Some(count) = line.strip_prefix("Non-2xx or 3xx responses:") {
                report.other_statuses = count.trim().parse()?;
            } else if let Some(rate) = line.strip_prefix("Requests/sec:") {
                report.per_second = rate.trim().parse()?;
            } else if let Some((count, _)) = line.split_once(" requests in ") {
                report.requests = count.trim().parse()?;
            }
        }
        ensure!(report.requests > 0 && report.per_second > 0.0, "wrk says:\n{text}");
        Ok(report)
    }

    /// `connect 1, read 2, write 3, timeout 4`.
    fn add_errors(&mut self, text: &str) -> Result<()> {
        for (name, count) in text.split(',').filter_map(|part| part.trim().split_once(' ')) {
            *match name {
                "connect" => &mut self.connect_errors,
                "read" => &mut self.read_errors,
                "write" => &mut self.write_errors,
                "timeout" => &mut self.timeouts,
                _ => continue,
            } = count.trim().parse()?;
        }
        Ok(())
    }

    /// Requests that failed but for time-outs: these are responses later than `--timeout`, which wrk goes
    /// on waiting for.
    pub(crate) fn lost(&self) -> u64 {
        self.connect_errors + self.read_errors + self.write_errors + self.other_statuses
    }

    /// Requests that failed, time-outs included.
    pub(crate) fn failed(&self) -> u64 {
        self.lost() + self.timeouts
    }
}

/// `1.23ms`, `45.00us`, `1.02s`, `1.10m`.
fn time(text: &str) -> Result<Duration> {
    let text = text.trim();
    let unit =
        text.find(|c: char| c.is_ascii_alphabetic()).with_context(|| format!("wrk's time {text:?}"))?;
    let (number, unit) = text.split_at(unit);
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => anyhow::bail!("wrk's time {text:?}"),
    };
    Ok(Duration::from_secs_f64(number.parse::<f64>()? * scale))
}

/// Writes a script that sends a body of so many bytes with each request.
pub(crate) fn write_upload(path: &Path, bytes: usize) -> Result<()> {
    let script = format!("wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", {bytes})\n");
    std::fs::write(path, script).with_context(|| format!("writing {}", path.display()))
}

/// Writes a script that asks for `hosts` names with `targets` paths each, all of them in turn.
pub(crate) fn write_many(path: &Path, hosts: usize, targets: usize) -> Result<()> {
    // A prime step visits every pair, and neighbours are not next to each other in any table.
    let script = format!(
        "local at, all = 0, {all}
request = function()
   at = (at + 7919) % all
   local host, target = at % {hosts}, math.floor(at / {hosts})
   return \"GET /app/\" .. target .. \"/100 HTTP/1.1\\r\\nHost: h\" .. host .. \".example\\r\\n\\r\\n\"
end
",
        all = hosts * targets
    );
    std::fs::write(path, script).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_figures_are_understood() {
        let text = "Running 2s test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.04ms  512.00us   9.00ms   91.00%
  Latency Distribution
     50%    0.98ms
     75%    1.10ms
     90%    1.35ms
     99%    1.02s
  123456 requests in 2.00s, 25.00MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 5
Requests/sec:  61728.10
";
        let expected = WrkReport {
            requests: 123_456,
            per_second: 61_728.10,
            p50: Duration::from_micros(980),
            p99: Duration::from_millis(1020),
            connect_errors: 1,
            read_errors: 2,
            write_errors: 3,
            timeouts: 4,
            other_statuses: 5,
        };
        let report = WrkReport::parse(text).unwrap();
        assert_eq!(report, expected);
        assert_eq!((report.lost(), report.failed()), (11, 15));
        assert!(WrkReport::parse("unable to connect").is_err());
    }
}
