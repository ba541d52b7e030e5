//! Developer commands; CI calls only these. `cargo xtask --help` lists them.
//!
//! Small ones are here. The others are programs of `codegen/`, `image/`, `cluster/` and `lab/`, which are built when
//! they are called.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // a command line tool talks to its terminal

mod check;
mod forward;
mod fuzz;
mod miri;
mod run;
mod supply_chain;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sluice_tooling::{cargo, needs};

use forward::Words;

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
    /// Checks lock files, formatting and lints; warnings are errors.
    Check,
    /// Builds the kernel programs from source.
    #[command(disable_help_flag = true)]
    BuildEbpf(Words),
    /// Replaces the gateway under load again and again and counts lost requests; beside it,
    /// nginx and HAProxy.
    #[command(disable_help_flag = true)]
    UpgradeTest(Words),
    /// Feeds random bytes to everything that reads from the network or from files, for a bounded time.
    Fuzz(fuzz::Args),
    /// Runs the model of a stream's two pumps under Miri, where that is installed.
    Miri,
    /// Measures what a request and a handshake cost, beside peers and a bare relay.
    #[command(disable_help_flag = true)]
    Bench(Words),
    /// Kills the gateway under load again and again; prints what was lost, and how long until
    /// traffic flowed again.
    #[command(disable_help_flag = true)]
    CrashTest(Words),
    /// Has one tenant overload the gateway in every known way; prints a neighbour's latency, and the limits
    /// that stopped it.
    #[command(disable_help_flag = true)]
    OverloadTest(Words),
    /// Has h2spec judge HTTP/2, and attacks it in every known way; holds what each attack cost to its bounds.
    #[command(disable_help_flag = true)]
    Http2Test(Words),
    /// Has Autobahn's suite judge WebSocket through the gateway beside the same server direct.
    #[command(disable_help_flag = true)]
    WebsocketTest(Words),
    /// Has gRPC's own interop client make its calls direct and through the gateway; prints which passed.
    #[command(disable_help_flag = true)]
    GrpcTest(Words),
    /// Has servers of others read peculiar heads and frames over HTTP/2; lists where they differ from Sluice, and why they may.
    #[command(disable_help_flag = true)]
    Http2Compare(Words),
    /// Has real clients make the requests that people's tools make, and counts the responses that
    /// they did not see.
    #[command(disable_help_flag = true)]
    Clients(Words),
    /// Makes the container image of the gateway, without an engine, and its bill of materials.
    #[command(disable_help_flag = true)]
    Image(Words),
    /// Starts and ends a real Kubernetes node on this machine, for the gateway to run in.
    #[command(disable_help_flag = true)]
    Cluster(Words),
    /// Runs the official suite of the Gateway API against the gateway on a cluster of its own.
    #[command(disable_help_flag = true)]
    Conformance(Words),
    /// Judges the Helm charts of deploy/ by helm, promtool and a real API server; writes what is made from them.
    #[command(disable_help_flag = true)]
    Chart(Words),
    /// Has a real API server and `sluice check` check files as people write them, and compares.
    #[command(disable_help_flag = true)]
    Files(Words),
    /// Holds licenses, bans, sources and known advisories of all that is built in; writes the
    /// bill of materials.
    SupplyChain(supply_chain::Args),
    /// Regenerates the schemas that files are checked against.
    #[command(disable_help_flag = true)]
    ApiSchemas(Words),
}

fn main() -> ExitCode {
    cargo::exit(match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Check => check::run(),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Miri => miri::run(),
        Command::SupplyChain(args) => supply_chain::run(&args),
        Command::BuildEbpf(_) | Command::ApiSchemas(_) => forward::become_program("sluice-codegen"),
        Command::Image(_) => forward::become_program("sluice-image"),
        Command::Cluster(_) | Command::Conformance(_) | Command::Chart(_) | Command::Files(_) => {
            forward::become_program("sluice-cluster")
        }
        Command::Bench(_)
        | Command::UpgradeTest(_)
        | Command::CrashTest(_)
        | Command::OverloadTest(_)
        | Command::Http2Test(_)
        | Command::WebsocketTest(_)
        | Command::Http2Compare(_)
        | Command::GrpcTest(_)
        | Command::Clients(_) => forward::become_program("sluice-lab"),
    })
}
