//! h2load: a closed-loop load over HTTP/2, many streams on each connection.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::peers::program;

/// The requests of a run.
#[derive(Clone, Debug)]
pub(crate) struct H2loadSpec {
    pub(crate) connections: u32,
    /// Streams at a time on each of them.
    pub(crate) streams: u32,
    pub(crate) request_path: String,
    pub(crate) tls: bool,
    /// A file with a message of gRPC that each request sends.
    pub(crate) message: Option<PathBuf>,
}

/// Figures that h2load prints.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct H2loadReport {
    /// Requests with a whole response.
    pub(crate) done: u64,
    /// Requests with a status that is not 2xx, or that were reset, or whose connection broke.
    pub(crate) failed: u64,
    pub(crate) per_second: f64,
}

impl H2loadSpec {
    /// The call, on one CPU.
    pub(crate) fn command(&self, to: &str, time: Duration, cpu: usize) -> Command {
        let mut command = program("h2load", Some(cpu));
        command.args(["--threads", "1", "--clients", &self.connections.to_string()]);
        command.args(["--max-concurrent-streams", &self.streams.to_string()]);
        command.args(["--duration", &time.as_secs().max(1).to_string()]);
        if let Some(message) = &self.message {
            command.arg("--data").arg(message);
            command.args(["--header", "content-type: application/grpc", "--header", "te: trailers"]);
        }
        let scheme = if self.tls { "https" } else { "http" };
        command.arg(format!("{scheme}://{to}{}", self.request_path));
        command
    }
}

impl H2loadReport {
    /// Reads h2load's output.
    ///
    /// # Errors
    /// It spoke HTTP/1.1, had no response at all, or a figure cannot be read.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let line = |begin: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(begin))
                .with_context(|| format!("h2load says:\n{text}"))
        };
        let protocol = line("Application protocol: ")?.trim();
        ensure!(matches!(protocol, "h2" | "h2c"), "h2load spoke {protocol}");
        let requests = line("requests: ")?;
        let statuses = line("status codes: ")?;
        let done = count(requests, "done")?;
        let redirects = count(statuses, "3xx")?;
        let rate = line("finished in ")?.split(", ").nth(1).and_then(|rate| rate.strip_suffix(" req/s"));
        let per_second =
            rate.and_then(|rate| rate.parse().ok()).with_context(|| format!("h2load says:\n{text}"))?;
        ensure!(done > 0, "h2load had no response:\n{text}");
        // Redirects succeed by its count; 4xx, 5xx and broken connections do not.
        let failed = count(requests, "failed")? + redirects;
        Ok(Self { done, failed, per_second })
    }
}

/// Of `24690 total, 24690 done`, the number before a word.
fn count(line: &str, word: &str) -> Result<u64> {
    let part = line.split(',').find_map(|part| part.trim().strip_suffix(word));
    part.and_then(|number| number.trim().parse().ok())
        .with_context(|| format!("no {word:?} in h2load's {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "Application protocol: h2c

finished in 134.39ms, 14881.95 req/s, 1.12MB/s
requests: 2000 total, 2000 started, 1990 done, 1982 succeeded, 8 failed, 3 errored, 0 timeout
status codes: 1986 2xx, 2 3xx, 1 4xx, 3 5xx
traffic: 154.43KB (158132) total, 95.70KB (98000) headers (space savings 50.51%), 23.44KB (24000) data
";

    #[test]
    fn its_figures_are_understood() {
        let report = H2loadReport::parse(OUTPUT).unwrap();
        assert_eq!(report, H2loadReport { done: 1990, failed: 10, per_second: 14881.95 });
        assert!(H2loadReport::parse(&OUTPUT.replace("h2c", "http/1.1")).is_err());
        assert!(H2loadReport::parse(&OUTPUT.replace("1990 done", "0 done")).is_err());
        assert!(H2loadReport::parse("failed to connect").is_err());
    }
}
