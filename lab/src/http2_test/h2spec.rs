//! The judge of RFC 9113 that nobody here wrote.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::go;

/// A case that does not hold on a port that serves HTTP/1.1 as well: what does not begin with the preface of HTTP/2 is a
/// request of HTTP/1.1 (RFC 9113 section 3.3), and is told so with 400.
const OF_HTTP_1: &str = "Sends invalid connection preface";

/// The path that responds to every method.
const PATH: &str = "/receive";

/// The judge's result over one transport.
pub(super) struct Score {
    tls: bool,
    pub(super) passed: u32,
    pub(super) total: u32,
    /// Lines about cases that failed.
    details: String,
}

/// Builds the judge.
///
/// # Errors
/// Go is missing, or the build fails.
pub(super) fn build() -> Result<PathBuf> {
    let module = go::module("h2spec");
    let package = "github.com/summerwind/h2spec/cmd/h2spec";
    go::Program { module: &module, package, name: "h2spec", tests: false, ldflags: "" }.build()
}

/// Runs every case, strictly.
///
/// # Errors
/// The judge cannot be started, or says something else than its sum.
pub(super) fn run(judge: &Path, port: u16, tls: bool) -> Result<Score> {
    let mut command = Command::new(judge);
    command.args([
        "--host",
        "localhost",
        "--strict",
        "--timeout",
        "2",
        "--path",
        PATH,
        "--port",
        &port.to_string(),
    ]);
    if tls {
        command.args(["--tls", "--insecure"]);
    }
    let output = command.output().with_context(|| format!("starting {}", judge.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (total, passed) = sum(&text).with_context(|| format!("h2spec has no sum:\n{text}"))?;
    ensure!(total > 0, "h2spec ran no case");
    let details =
        text.split_once("Failures:").map_or(String::new(), |(_, details)| details.trim().to_owned());
    Ok(Score { tls, passed, total, details })
}

/// Out of a line like `146 tests, 145 passed, 0 skipped, 1 failed`.
fn sum(text: &str) -> Option<(u32, u32)> {
    let line = text.lines().rev().find(|line| line.contains(" tests, ") && line.contains(" passed"))?;
    let mut numbers = line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

impl Score {
    /// The cases that failed, but for the one that cannot hold.
    pub(super) fn failures(&self) -> Option<String> {
        let failed = self.total.saturating_sub(self.passed);
        let excused = u32::from(!self.tls && self.details.contains(OF_HTTP_1));
        (failed > excused).then(|| format!("h2spec over {}:\n{}", self.over(), self.details))
    }

    pub(super) fn over(&self) -> &'static str {
        if self.tls { "TLS" } else { "clear text" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_read() {
        let text = "x\n\nFinished in 0.2972 seconds\n146 tests, 145 passed, 0 skipped, 1 failed\n";
        assert_eq!(sum(text), Some((146, 145)));
        assert_eq!(sum("Error: connection refused"), None);
    }

    #[test]
    fn the_one_case_is_excused_where_http_1_is_served_too() {
        let score =
            |tls, passed, details: &str| Score { tls, passed, total: 146, details: details.to_owned() };
        let other = "x 2: Sends a frame";
        assert!(score(false, 146, "").failures().is_none());
        assert!(score(false, 145, OF_HTTP_1).failures().is_none());
        assert!(score(true, 145, OF_HTTP_1).failures().is_some());
        assert!(score(false, 145, other).failures().is_some());
        assert!(score(false, 144, &[OF_HTTP_1, other].concat()).failures().is_some());
    }
}
