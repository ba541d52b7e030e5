//! `cargo xtask bench guard`: instructions per request against the budgets of `bench/bars.toml`.
//!
//! Instructions repeat where times do not: the exchange runs over a scripted wire, without sockets, under
//! valgrind, which counts what the program executes.

mod budgets;
mod counter;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use crate::bars::FILE;
use crate::cargo::workspace;
use crate::needs::{self, VALGRIND};
use crate::table;
use budgets::{Budgets, Row, Verdict};
use counter::Counter;

/// Flags of `bench guard`.
#[derive(clap::Args)]
pub struct Args {
    /// Rows whose name contains this; all by default.
    #[arg(long, default_value = "")]
    only: String,
    /// Requests of the shorter of two runs; the longer one has twice as many, and their difference is
    /// counted.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    requests: u64,
    /// Writes the counts and 1 % more into bench/bars.toml, as the new budgets of these rows.
    #[arg(long)]
    write: bool,
}

/// Requests that `exchange::script_tests::guard::count` knows by these names.
const ROWS: &[&str] = &["keep-alive", "access-log", "upload", "cut", "not-found", "redirect"];

const HEADERS: [&str; 5] = ["", "instructions/request", "budget", "count ÷ budget", ""];

/// Counts every row that was asked for and prints it; fails if one is over its budget or has none.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(cfg!(target_arch = "x86_64"), "the budgets in {FILE} are instructions of x86-64 processors");
    let path = workspace().join(FILE);
    let text = fs::read_to_string(&path).context(FILE)?;
    let mut budgets = Budgets::parse(&text, ROWS).context(FILE)?;
    let chosen: Vec<&str> = ROWS.iter().copied().filter(|row| row.contains(&args.only)).collect();
    ensure!(!chosen.is_empty(), "--only {}: no row's name contains it; rows: {}", args.only, ROWS.join(", "));
    needs::ensure(&[VALGRIND])?;
    let counter = Counter::build()?;
    let mut rows = Vec::new();
    for name in chosen {
        let count = counter.per_request(name, args.requests).with_context(|| name.to_owned())?;
        rows.push(Row { name, count, budget: budgets.of(name) });
    }
    println!("{}", table::render(HEADERS, &[0, HEADERS.len() - 1], rows.iter().map(Row::cells)));
    if args.write {
        rows.iter().for_each(|row| budgets.set(row.name, row.count));
        fs::write(&path, budgets.to_string()).context(FILE)?;
        println!("\nwritten: {FILE}; the commit names each budget that rose, the figures and the reason");
        return Ok(ExitCode::SUCCESS);
    }
    let advice: Vec<String> = rows.iter().filter_map(Row::advice).collect();
    if !advice.is_empty() {
        println!("\n{}", advice.join("\n"));
    }
    let is_held = rows.iter().all(|row| matches!(row.verdict(), Verdict::Within | Verdict::Low));
    Ok(if is_held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_known_to_the_program_and_has_a_budget() {
        let read = |path| fs::read_to_string(workspace().join(path)).unwrap();
        let program = read("gateway-user/proxy/src/exchange/script_tests/guard.rs");
        let budgets = Budgets::parse(&read(FILE), ROWS).unwrap();
        for row in ROWS {
            assert!(program.contains(&format!("\"{row}\"")), "no request is called {row}");
            assert!(budgets.of(row).is_some(), "{row} has no budget");
        }
    }
}
