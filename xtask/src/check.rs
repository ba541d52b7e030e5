//! `cargo xtask check`: lock files, formatting and lints.

use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::cargo::{cargo, must_succeed};

/// Workspaces that have a lock file of their own: the fuzz targets lock the same crates once more.
const WORKSPACES: [&str; 2] = ["Cargo.toml", "fuzz/Cargo.toml"];

pub(crate) fn run() -> Result<ExitCode> {
    for manifest in WORKSPACES {
        // Cargo's own answer names the file; the remedy is one command, and is not in it.
        must_succeed(
            cargo(&["metadata", "--locked", "--format-version", "1", "--manifest-path", manifest])
                .stdout(Stdio::null()),
        )
        .with_context(|| {
            format!("the lock file beside {manifest} is not current; `cargo update -w --manifest-path {manifest}` writes it")
        })?;
    }
    must_succeed(&mut cargo(&["fmt", "--all", "--check"]))?;
    // The kernel programs have a target of their own and are linted when they are built.
    let lints =
        ["clippy", "--workspace", "--exclude", "gateway-ebpf", "--all-targets", "--", "-D", "warnings"];
    must_succeed(&mut cargo(&lints))?;
    println!("check: lock files current, formatted, no lint");
    Ok(ExitCode::SUCCESS)
}
