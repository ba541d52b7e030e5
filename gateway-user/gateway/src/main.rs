//! Sluice: an edge gateway for Kubernetes.
#![forbid(unsafe_code)]

mod admin;
mod capacity;
mod cli;
mod cmd;
mod confinement;
mod controller;
mod echo;
mod fault;
mod flags;
mod handoff;
mod handoff_state;
mod helper;
mod identity;
mod instance;
mod logging;
mod membership;
mod node;
mod notify;
mod plane;
mod pool;
mod privileges;
mod reopen;
mod run;
mod service;
mod signals;
mod source;
mod state_dir;
mod supervisor;
mod wire;
mod workers;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cmd::plugin::{Plugin, is_plugin};

/// Changes leave long-lived objects between what was needed for a moment only. With glibc's allocator half of
/// the memory of a large cluster's objects was such gaps; see decision 126.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Before anything asks rustls for a provider: without one it would panic, or choose by itself.
    gateway_tls::install_provider();
    if is_plugin(std::env::args_os().next().as_deref()) {
        return cmd::plugin(Plugin::parse());
    }
    cmd::main(cli::Cli::parse().command)
}
