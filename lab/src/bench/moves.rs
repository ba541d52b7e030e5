//! Time until an address of the pool is served by another node, in each way in which its owner can be lost.
//!
//! The nodes, their network and their losses are those of the test, which says how long each took and judges none.

use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, ensure};

use crate::bars::Bars;
use crate::cargo::{QUICK, cargo};

/// The words before a time in the test's output, and those behind it.
const BEFORE: &str = "moved after ";
const BEHIND: &str = " s";

/// Runs the test and holds its times against the bar.
///
/// # Errors
/// It fails, or says no time.
pub(super) fn run() -> Result<ExitCode> {
    let bar = Bars::read()?.moves.seconds;
    let test = ["test", "--profile", QUICK, "--package", "sluice", "--test", "address_moves"];
    let flags = ["--", "--nocapture", "--test-threads", "1"];
    let output =
        cargo(&[&test[..], &flags].concat()).stderr(Stdio::inherit()).output().context("starting cargo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "the test failed:\n{text}");
    let times = times(&text);
    ensure!(!times.is_empty(), "the test says no time:\n{text}");
    let longest = times.iter().copied().fold(0.0, f64::max);
    println!("{} addresses moved, each after {times:?} s", times.len());
    if longest > bar.figure() {
        eprintln!("error: the longest took {longest} s, more than {bar}");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn times(text: &str) -> Vec<f64> {
    let time = |line: &str| line.split_once(BEFORE)?.1.strip_suffix(BEHIND)?.parse().ok();
    text.lines().filter_map(time).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_out_of_the_tests_output() {
        assert_eq!(
            times("test a ... moved after 2.61 s\nmoved after x s\nmoved after 8 s\nok\n"),
            [2.61, 8.0]
        );
    }
}
