//! Shared parts of the developer commands: building with cargo, installing programs, running child processes,
//! reading the kernel's figures of them, Debian's mirrors, the cache directory, and the requests of the scenario.
//!
//! Its dependencies are few, so that `cargo xtask run` in a fresh checkout builds little.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // commands talk to their terminal

pub mod bill;
pub mod cache;
pub mod cargo;
pub mod cargo_tool;
pub mod debian;
pub mod metrics;
pub mod needs;
pub mod proc;
pub mod process;
pub mod scenario;
pub mod sid;
