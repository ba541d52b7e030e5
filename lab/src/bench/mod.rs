//! `cargo xtask bench`: the cost of a request, beside peers and a bare relay, and in instructions.

mod cost;
mod edits;
mod guard;
mod idle;
mod load;
mod moves;
mod nodes;
mod plot;
mod report;
mod scale;
mod scenario;
mod scenarios;
mod smoke;
mod start;
mod target;
mod testbed;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

/// Measurements.
#[derive(Subcommand)]
pub enum Bench {
    /// CPU per request of Sluice, its peers and a bare relay, in turn and pinned alike.
    Smoke(smoke::Args),
    /// Instructions per request of the exchange under valgrind, against the budgets in
    /// bench/bars.toml.
    Guard(guard::Args),
    /// Many routes on a real API server: cold start, time from a change to its first response,
    /// memory, writes.
    Scale(scale::Args),
    /// Time from the watch event of a change until it is in force, beside thousands of routes.
    Edits(edits::Args),
    /// Many nodes that follow one controller: time between the first and the last that hears of a change, and memory when all
    /// come at once.
    Nodes(nodes::Args),
    /// Time from the loss of a node until another one serves its address of the pool.
    Moves,
}

/// Runs a measurement.
///
/// # Errors
/// It could not be carried out.
pub fn run(bench: &Bench) -> Result<ExitCode> {
    match bench {
        Bench::Smoke(args) => smoke::run(args),
        Bench::Guard(args) => guard::run(args),
        Bench::Scale(args) => scale::run(args),
        Bench::Edits(args) => edits::run(args),
        Bench::Nodes(args) => nodes::run(args),
        Bench::Moves => moves::run(),
    }
}
