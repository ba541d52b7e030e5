//! `cargo xtask cluster`, `conformance`, `chart` and `files`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sluice_cluster::{chart, command, conformance, files};
use sluice_tooling::cargo;

/// Starts clusters, and tests the gateway on them.
#[derive(Parser)]
#[command(name = "cargo xtask", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts and ends a real Kubernetes node on this machine, for the gateway to run in.
    Cluster(command::Args),
    /// Runs the official suite of the Gateway API against the gateway on a cluster of its own.
    Conformance(conformance::Args),
    /// Judges the Helm charts of deploy/, and writes what is made from them.
    Chart(chart::Args),
    /// Has a real API server and `sluice check` check files as people write them, and compares.
    Files(files::Args),
}

fn main() -> ExitCode {
    cargo::exit(match Cli::parse().command {
        Command::Cluster(args) => command::run(&args),
        Command::Conformance(args) => conformance::run(&args),
        Command::Chart(args) => chart::run(&args),
        Command::Files(args) => files::run(&args),
    })
}
