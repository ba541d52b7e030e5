//! Sluice: an edge gateway for Kubernetes.
#![forbid(unsafe_code)]

mod cli;
mod cmd;
mod echo;
mod flags;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    cmd::main(cli::Cli::parse().command)
}
