//! wrk as the load: closed loop, as many requests as the proxy takes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// What is asked for, and how.
#[derive(Clone, Debug)]
pub(super) struct LoadSpec {
    pub(super) connections: u32,
    pub(super) request_path: String,
    /// Each request on a connection of its own.
    pub(super) close: bool,
    /// A Lua script that chooses Host and target.
    pub(super) script: Option<PathBuf>,
}

/// What wrk says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct WrkReport {
    pub(super) requests: u64,
    pub(super) per_second: f64,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    /// Requests that failed, time-outs included.
    pub(super) failed: u64,
}

impl LoadSpec {
    /// The call, on one CPU.
    pub(super) fn command(&self, to: &str, time: Duration, cpu: usize) -> Command {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &cpu.to_string(), "wrk", "--threads", "1", "--latency"]);
        command.args(["--connections", &self.connections.to_string()]);
        command.args(["--timeout", "10s", "--duration", &format!("{}s", time.as_secs().max(1))]);
        if self.close {
            command.args(["--header", "Connection: close"]);
        }
        if let Some(script) = &self.script {
            command.arg("--script").arg(script);
        }
        command.arg(format!("http://{to}{}", self.request_path));
        command
    }
}

/// Reads wrk's figures; an error if one that is needed is missing.
pub(super) fn parse(text: &str) -> Result<WrkReport> {
    let mut response = WrkReport::default();
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("50%") {
            response.p50 = time(rest)?;
        } else if let Some(rest) = line.strip_prefix("99%") {
            response.p99 = time(rest)?;
        } else if let Some(errors) = line.strip_prefix("Socket errors:") {
            let counts =
                errors.split(',').filter_map(|part| part.trim().rsplit_once(' ')?.1.parse::<u64>().ok());
            response.failed += counts.sum::<u64>();
        } else if let Some(count) = line.strip_prefix("Non-2xx or 3xx responses:") {
            response.failed += count.trim().parse::<u64>()?;
        } else if let Some(rate) = line.strip_prefix("Requests/sec:") {
            response.per_second = rate.trim().parse()?;
        } else if let Some((count, _)) = line.split_once(" requests in ") {
            response.requests = count.trim().parse()?;
        }
    }
    ensure!(response.requests > 0 && response.per_second > 0.0, "wrk says:\n{text}");
    Ok(response)
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

/// Writes a script that asks for `hosts` names with `targets` paths each, all of them in turn.
pub(super) fn many(dir: &Path, hosts: usize, targets: usize) -> Result<PathBuf> {
    let path = dir.join("many.lua");
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
    std::fs::write(&path, script)?;
    Ok(path)
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
            failed: 15,
        };
        assert_eq!(parse(text).unwrap(), expected);
        assert!(parse("unable to connect").is_err());
    }
}
