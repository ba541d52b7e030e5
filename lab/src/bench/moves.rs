//! Time until an address of the pool is served by another node, in each way in which its owner can be lost.
//!
//! The nodes, their network and their losses are those of the test, which says how long each took and judges none.

use std::env::temp_dir;
use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use crate::bars::Bars;
use crate::cargo::{QUICK, cargo, must_succeed};

/// The variable with the file that the test appends its times to.
const VARIABLE: &str = "SLUICE_MOVES";

/// Runs the test and holds its times against the bar.
///
/// # Errors
/// It fails, or says no time.
pub(super) fn run() -> Result<ExitCode> {
    let bar = Bars::read()?.moves.seconds;
    let file = temp_dir().join(format!("sluice-moves-{}", std::process::id()));
    let test = ["test", "--profile", QUICK, "--package", "sluice", "--test", "address_moves"];
    let tested = must_succeed(cargo(&test).args(["--", "--test-threads", "1"]).env(VARIABLE, &file));
    let text = fs::read_to_string(&file).unwrap_or_default();
    let _ = fs::remove_file(&file);
    tested?;
    let times = times(&text)?;
    println!("{} addresses moved, each after {times:?} s", times.len());
    let longest = times.iter().copied().fold(0.0, f64::max);
    if longest > bar.figure() {
        eprintln!("error: the longest took {longest} s, more than {bar}");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn times(text: &str) -> Result<Vec<f64>> {
    let times: Result<Vec<f64>, _> = text.lines().map(str::parse).collect();
    let times = times.context("a time of the test is no number")?;
    ensure!(!times.is_empty(), "the test says no time");
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_time() {
        assert_eq!(times("2.61\n8\n").unwrap(), [2.61, 8.0]);
        assert!(times("").is_err() && times("x\n").is_err());
    }
}
