//! `cargo xtask build-ebpf` and `api-schemas`: they make the files that are generated and committed.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // a command line tool talks to its terminal

mod api_schemas;
mod build_ebpf;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sluice_tooling::{cargo, needs};

/// Makes the files that are generated and committed.
#[derive(Parser)]
#[command(name = "cargo xtask", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds the kernel programs from source.
    BuildEbpf(build_ebpf::Args),
    /// Regenerates the schemas that files are checked against.
    ApiSchemas(api_schemas::Args),
}

fn main() -> ExitCode {
    cargo::exit(match Cli::parse().command {
        Command::BuildEbpf(args) => build_ebpf::run(&args),
        Command::ApiSchemas(args) => api_schemas::run(&args),
    })
}
