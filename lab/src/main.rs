//! `cargo xtask bench`, `upgrade-test`, `crash-test`, `overload-test`, `http2-test`, `websocket-test`, `grpc-test` and `clients`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sluice_cluster::command as cluster;
use sluice_lab::{
    bench, clients, crash_test, grpc_test, http2_compare, http2_test, overload_test, upgrade_test,
    websocket_test,
};
use sluice_tooling::cargo;

/// Measures and tests the gateway beside its peers.
#[derive(Parser)]
#[command(name = "cargo xtask", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures what a request and a handshake cost, beside peers and a bare relay.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Replaces the gateway under load again and again and counts lost requests; beside it,
    /// nginx and HAProxy.
    UpgradeTest(upgrade_test::Args),
    /// Kills the gateway under load again and again; prints what was lost, and how long until
    /// traffic flowed again.
    CrashTest(crash_test::Args),
    /// Has one tenant overload the gateway in every known way; prints a neighbour's latency, and the limits
    /// that stopped it.
    OverloadTest(overload_test::Args),
    /// Has h2spec judge HTTP/2, and attacks it in every known way; holds what each attack cost to its bounds.
    Http2Test(http2_test::Args),
    /// Has Autobahn's suite judge WebSocket through the gateway beside the same server direct.
    WebsocketTest(websocket_test::Args),
    /// Has gRPC's own interop client make its calls direct and through the gateway; prints which passed.
    GrpcTest(grpc_test::Args),
    /// Has servers of others read peculiar heads and frames over HTTP/2; lists where they differ from Sluice, and why they may.
    Http2Compare(http2_compare::Args),
    /// Has real clients make the requests that people's tools make, and counts the responses that
    /// they did not see.
    Clients(clients::Args),
    /// The first process of a cluster, which the program that starts the cluster is itself.
    #[command(hide = true)]
    Cluster(cluster::Args),
}

fn main() -> ExitCode {
    cargo::exit(match Cli::parse().command {
        Command::Bench(command) => bench::run(&command),
        Command::UpgradeTest(args) => upgrade_test::run(&args),
        Command::CrashTest(args) => crash_test::run(&args),
        Command::OverloadTest(args) => overload_test::run(&args),
        Command::Http2Test(args) => http2_test::run(&args),
        Command::WebsocketTest(args) => websocket_test::run(&args),
        Command::GrpcTest(args) => grpc_test::run(&args),
        Command::Http2Compare(args) => http2_compare::run(&args),
        Command::Clients(args) => clients::run(&args),
        Command::Cluster(args) => cluster::run(&args),
    })
}
