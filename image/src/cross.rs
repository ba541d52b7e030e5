//! Building for another architecture than this machine's.

use std::process::Command;

use anyhow::{Result, bail, ensure};
use sluice_tooling::needs::{self, GCC_ARM64};

use crate::platform::Platform;

/// Has a cargo call build for the platform, by Debian's cross compiler.
///
/// # Errors
/// The standard library for the platform is not there, or the compiler cannot be installed.
pub(crate) fn configure(command: &mut Command, platform: Platform) -> Result<()> {
    let Platform::Arm64 = platform else { bail!("an image for linux/amd64 is made on such a machine") };
    needs::ensure(&[GCC_ARM64])?;
    ensure_standard_library(platform)?;
    command.args(["--target", platform.target()]);
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", GCC_ARM64.program());
    command.env("CC_aarch64_unknown_linux_gnu", GCC_ARM64.program());
    Ok(())
}

fn ensure_standard_library(platform: Platform) -> Result<()> {
    let target = platform.target();
    let output = Command::new("rustc").args(["--print", "target-libdir", "--target", target]).output()?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    ensure!(
        output.status.success() && std::path::Path::new(&folder).is_dir(),
        "--platform linux/arm64: rustc has no standard library for {target}: `rustup target add {target}`"
    );
    Ok(())
}
