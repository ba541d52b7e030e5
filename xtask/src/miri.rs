//! `cargo xtask miri`: the model of a stream's two pumps under Miri, which knows Rust's rules for references.

use std::process::{Command, ExitCode, Stdio};

use anyhow::Result;

use crate::cargo::{must_succeed, target_dir, workspace};

/// Miri comes with nightly toolchains.
const TOOLCHAIN: &str = "nightly";

/// Runs it where it is installed. Elsewhere says that it was not run, which is no failure and no pass.
pub(crate) fn run() -> Result<ExitCode> {
    let there = miri(&["--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        println!("miri: not run; `rustup component add miri rust-src --toolchain {TOOLCHAIN}` installs it");
        return Ok(ExitCode::SUCCESS);
    }
    let mut command = miri(&["test", "--package", "gateway-io", "--lib", "model"]);
    must_succeed(command.env("CARGO_TARGET_DIR", target_dir()?.join("miri")))?;
    println!("miri: the model of the pumps holds Rust's rules");
    Ok(ExitCode::SUCCESS)
}

/// By rustup, which overrides the toolchain that runs this.
fn miri(args: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command.current_dir(workspace()).args(["run", TOOLCHAIN, "cargo", "miri"]).args(args);
    // Set by the cargo that runs this, for its own toolchain.
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(name);
    }
    command
}
