//! `cargo xtask test`: every test of the workspace, counted; those of the whole gateway on every pair of
//! steering and I/O.

mod count;
mod pairs;

use std::io::{BufRead, BufReader, Write};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo::{QUICK, cargo};
use crate::needs::{self, CURL, IP, SYSTEMD, WRK};
use count::Count;
use pairs::Pair;

/// Flags of `test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Runs only tests whose name contains this.
    filter: Option<String>,
    /// Runs only the tests of the whole gateway that hold for every pair, on this one.
    #[arg(long)]
    pair: Option<Pair>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    needs::ensure(&[IP, CURL, SYSTEMD, WRK])?;
    let filter = args.filter.as_deref();
    let mut counts = Vec::new();
    let pairs = match args.pair {
        Some(pair) => vec![pair],
        None => {
            let what = format!("every test once, the whole gateway over {}", Pair::DEFAULT.name());
            counts.push((what, every_test_once(filter)?));
            Pair::OTHERS.to_vec()
        }
    };
    for (pair, count) in pairs::run(&pairs, filter)? {
        counts.push((format!("the whole gateway over {}", pair.name()), count));
    }
    let mut all = Count::default();
    println!();
    for (what, count) in &counts {
        println!("{what}: {count}");
        all.merge(*count);
    }
    println!("on every pair: {}; all else runs once", pairs::EVERY_PAIR.join(", "));
    println!("\n{all}");
    if all == Count::default() {
        bail!("no test ran");
    }
    Ok(if all.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All tests by cargo, which shows them as they run.
fn every_test_once(filter: Option<&str>) -> Result<Count> {
    let mut command = cargo(&["test", "--profile", QUICK, "--workspace", "--exclude", "gateway-ebpf"]);
    command.arg("--no-fail-fast");
    if let Some(filter) = filter {
        command.args(["--", filter]);
    }
    command.env(pairs::VARIABLE, Pair::DEFAULT.name());
    let mut child = command.stdout(Stdio::piped()).spawn().context("starting cargo")?;
    let output = child.stdout.take().context("cargo has no standard output")?;
    let mut count = Count::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        count.add(&line);
        writeln!(std::io::stdout(), "{line}")?;
    }
    let status = child.wait()?;
    if !status.success() && count.failed == 0 {
        bail!("cargo test ended with {status}");
    }
    Ok(count)
}
