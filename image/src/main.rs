//! `cargo xtask image`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sluice_image::command;
use sluice_tooling::cargo;

/// Makes container images.
#[derive(Parser)]
#[command(name = "cargo xtask", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes the container image of the gateway, without an engine, and its bill of materials.
    Image(command::Args),
}

fn main() -> ExitCode {
    let Cli { command: Command::Image(args) } = Cli::parse();
    cargo::exit(command::run(&args))
}
