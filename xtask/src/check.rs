//! `cargo xtask check`: formatting and lints.

use std::process::ExitCode;

use anyhow::Result;

use crate::cargo::{cargo, must_succeed};

pub(crate) fn run() -> Result<ExitCode> {
    must_succeed(&mut cargo(&["fmt", "--all", "--check"]))?;
    // The kernel programs have a target of their own and are linted when they are built.
    let lints =
        ["clippy", "--workspace", "--exclude", "gateway-ebpf", "--all-targets", "--", "-D", "warnings"];
    must_succeed(&mut cargo(&lints))?;
    println!("check: formatted, no lint");
    Ok(ExitCode::SUCCESS)
}
