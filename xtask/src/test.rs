//! `cargo xtask test`: every test of the workspace, counted.

use std::io::{BufRead, BufReader, Write};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo::cargo;
use crate::needs::{self, CURL, IP, WRK};

/// Flags of `test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Runs only tests whose name contains this.
    filter: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    needs::ensure(&[IP, CURL, WRK])?;
    let mut command = cargo(&["test", "--workspace", "--exclude", "gateway-ebpf", "--no-fail-fast"]);
    if let Some(filter) = &args.filter {
        command.args(["--", filter]);
    }
    let mut child = command.stdout(Stdio::piped()).spawn().context("starting cargo")?;
    let output = child.stdout.take().context("cargo has no standard output")?;
    let mut count = Count::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        count.add(&line);
        writeln!(std::io::stdout(), "{line}")?;
    }
    let status = child.wait()?;
    println!("\n{} passed, {} failed, {} skipped", count.passed, count.failed, count.ignored);
    if count.passed == 0 {
        bail!("no test ran");
    }
    Ok(if status.success() && count.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Default, Debug, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Count {
    /// Adds what libtest says at the end of a test binary: `test result: ok. 3 passed; 0 failed; 0 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for part in counts.split(';') {
            let mut words = part.split_whitespace();
            let (Some(Ok(n)), Some(what)) = (words.next().map(str::parse::<u64>), words.next()) else {
                continue;
            };
            match what {
                "passed" => self.passed += n,
                "failed" => self.failed += n,
                "ignored" => self.ignored += n,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_summed_over_test_binaries() {
        let mut count = Count::default();
        count.add(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s",
        );
        count.add("test result: FAILED. 2 passed; 5 failed; 0 ignored; 0 measured; 0 filtered out");
        count.add("test some::test ... ok");
        assert_eq!(count, Count { passed: 5, failed: 5, ignored: 1 });
    }
}
