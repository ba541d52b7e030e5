//! Developer commands; CI calls only these. `cargo xtask --help` lists them.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // a command line tool talks to its terminal

mod api_schemas;
mod build_ebpf;
mod check;
mod fuzz;
mod miri;
mod run;
mod supply_chain;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sluice_cluster::{command as cluster, conformance, files};
use sluice_lab::{bench, clients, crash_test, overload_test, upgrade_test};
use sluice_tooling::{cache, cargo, needs};

/// Builds, runs and tests Sluice.
#[derive(Parser)]
#[command(name = "cargo xtask", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds the gateway and starts it on examples/shared-gateway with the bundled backend.
    Run(run::Args),
    /// Runs every test, those of the whole gateway over each steering and I/O, and closes with a count.
    Test(test::Args),
    /// Checks formatting and lints; warnings are errors.
    Check,
    /// Builds the kernel programs from source.
    BuildEbpf(build_ebpf::Args),
    /// Replaces the gateway under load again and again and counts lost requests; beside it, nginx and HAProxy.
    UpgradeTest(upgrade_test::Args),
    /// Feeds random octets to whatever reads them from the network or from files, for a bounded time.
    Fuzz(fuzz::Args),
    /// Runs the model of a stream's two pumps under Miri, where that is installed.
    Miri,
    /// Measures what a request costs, beside peers and the floor.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Kills the gateway under load again and again; prints what was lost, and how long until traffic flowed again.
    CrashTest(crash_test::Args),
    /// Has one tenant overload the gateway in every way we know; prints what a neighbour felt, and what stopped it.
    OverloadTest(overload_test::Args),
    /// Has real clients make the requests that people's tools make, and counts the responses that they did not see.
    Clients(clients::Args),
    /// Starts and ends a real Kubernetes node on this machine, for the gateway to run in.
    Cluster(cluster::Args),
    /// Has the official suite of the Gateway API judge the gateway on a cluster of its own.
    Conformance(conformance::Args),
    /// Has a real API server and `sluice check` judge files as people write them, and compares.
    Files(files::Args),
    /// Holds licenses, bans, sources and known advisories of all that is built in; writes the bill of materials.
    SupplyChain(supply_chain::Args),
    /// Regenerates the schemas that files are checked against.
    ApiSchemas(api_schemas::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Check => check::run(),
        Command::BuildEbpf(args) => build_ebpf::run(&args),
        Command::UpgradeTest(args) => upgrade_test::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Miri => miri::run(),
        Command::Bench(command) => bench::run(&command),
        Command::CrashTest(args) => crash_test::run(&args),
        Command::OverloadTest(args) => overload_test::run(&args),
        Command::Clients(args) => clients::run(&args),
        Command::Cluster(args) => cluster::run(&args),
        Command::Conformance(args) => conformance::run(&args),
        Command::Files(args) => files::run(&args),
        Command::SupplyChain(args) => supply_chain::run(&args),
        Command::ApiSchemas(args) => api_schemas::run(&args),
    };
    match done {
        Ok(code) => code,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
