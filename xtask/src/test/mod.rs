//! `cargo xtask test`: every test of the workspace, counted; those of the whole gateway on every pair of
//! steering and I/O.

mod binaries;
mod count;
mod pairs;
mod queue;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::needs::{self, CURL, DIG, IP, IPERF, POSTGRES, REDIS, REDIS_CLI, SYSTEMD, WRK};
use binaries::Binary;
use count::Count;
use pairs::Pair;
use queue::Job;

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
    needs::ensure(&[IP, CURL, DIG, SYSTEMD, WRK, POSTGRES, REDIS, REDIS_CLI, IPERF])?;
    let filter = args.filter.as_deref();
    let binaries = binaries::build()?;
    let on_every_pair: Vec<_> = binaries.iter().filter(|one| is_on_every_pair(one)).collect();
    let mut jobs = Vec::new();
    let pairs = match args.pair {
        Some(pair) => vec![pair],
        None => {
            jobs.extend(binaries.iter().map(|binary| Job { binary, pair: Pair::DEFAULT, again: false }));
            Pair::OTHERS.to_vec()
        }
    };
    let again = |pair: Pair| on_every_pair.iter().map(move |binary| Job { binary, pair, again: true });
    jobs.extend(pairs.into_iter().flat_map(again));
    // Documentation has no examples to run: a test of the words in it sees to that.
    let counts = queue::run(jobs, filter)?;
    let mut all = Count::default();
    println!();
    for (pair, count) in &counts {
        match pair {
            None => println!("every test once, the whole gateway over {}: {count}", Pair::DEFAULT.name()),
            Some(pair) => println!("the whole gateway over {}: {count}", pair.name()),
        }
        all.merge(*count);
    }
    println!("on every pair: {}; all else runs once", pairs::EVERY_PAIR.join(", "));
    println!("\n{all}");
    if all == Count::default() {
        bail!("no test ran");
    }
    Ok(if all.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is_on_every_pair(binary: &Binary) -> bool {
    binary.is_of_gateway() && pairs::EVERY_PAIR.contains(&binary.name.as_str())
}
