//! Building for another architecture than this machine's: by this machine's Rust, if it has a standard library for that, or
//! else by that of Debian sid, which has one as a package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use nix::unistd::geteuid;
use sluice_tooling::cargo::{cargo, must_succeed};
use sluice_tooling::needs::{self, DPKG_DEB, GCC_ARM64, UNSHARE};
use sluice_tooling::sid::Sid;

use crate::debian::{Apt, Lists};
use crate::platform::Platform;

/// Rust, and C for both architectures: build scripts run on this machine's.
const RUST: Sid = Sid {
    packages: &["cargo", "gcc", "libc6-dev", "make", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
    files: &[
        "usr/bin/cargo",
        "usr/bin/aarch64-linux-gnu-gcc",
        "usr/lib/rustlib/aarch64-unknown-linux-gnu/lib",
    ],
};
/// Debian's name for a standard library, which is installed for the architecture that it is of.
const STANDARD_LIBRARY: &str = "libstd-rust-dev";

/// Runs cargo in a root directory (`$1`) with a checkout, cargo's home and a target folder mounted. The namespace takes all
/// mounts with it.
const IN_ROOT: &str = r#"root="$1"; set -e
for at in sluice cargo target; do shift; mount --bind "$1" "$root/build/$at"; done
shift
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
exec chroot "$root" env --chdir=/build/sluice PATH=/usr/bin:/bin HOME=/tmp CARGO_HOME=/build/cargo cargo "$@""#;

/// The places that a build reads and writes.
pub(crate) struct Places<'a> {
    pub(crate) source: &'a Path,
    pub(crate) cargo_home: &'a Path,
    pub(crate) target: &'a Path,
}

/// A cargo call that builds for the platform in these places, without its command.
///
/// # Errors
/// The compilers cannot be had.
pub(crate) fn command(platform: Platform, places: &Places<'_>, words: &[&str]) -> Result<Command> {
    let Platform::Arm64 = platform else { bail!("an image for linux/amd64 is made on such a machine") };
    let mut command = if has_standard_library(platform)? {
        needs::ensure(&[GCC_ARM64])?;
        let mut command = cargo(words);
        command.current_dir(places.source).arg("--target-dir").arg(places.target);
        command
    } else {
        in_debian(platform, places, words)?
    };
    command.args(["--target", platform.target()]);
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", GCC_ARM64.program());
    command.env("CC_aarch64_unknown_linux_gnu", GCC_ARM64.program());
    // Kernels for arm64 have pages of 4, 16 or 64 KiB; built for the largest, jemalloc runs on each.
    command.env("JEMALLOC_SYS_WITH_LG_PAGE", "16");
    Ok(command)
}

fn has_standard_library(platform: Platform) -> Result<bool> {
    let words = ["--print", "target-libdir", "--target", platform.target()];
    let output = Command::new("rustc").args(words).output().context("starting rustc")?;
    Ok(output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

fn in_debian(platform: Platform, places: &Places<'_>, words: &[&str]) -> Result<Command> {
    let target = platform.target();
    if !geteuid().is_root() {
        bail!(
            "rustc has no standard library for {target}: `rustup target add {target}`, or call as root to take Debian's"
        );
    }
    let root = root(platform).with_context(|| {
        format!("rustc has no standard library for {target}, and Debian's cannot be had; `rustup target add {target}` gives one")
    })?;
    // Root directories have no network of their own settings.
    must_succeed(cargo(&["fetch", "--locked", "--target", target]).current_dir(places.source))?;
    needs::ensure(&[UNSHARE])?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", IN_ROOT, "sh"]).arg(root);
    command.args([places.source, places.cargo_home, places.target]);
    command.args(words).args(["--offline", "--target-dir", "/build/target"]);
    Ok(command)
}

/// The root directory with Debian's Rust for both architectures.
fn root(platform: Platform) -> Result<PathBuf> {
    needs::ensure(&[DPKG_DEB])?;
    RUST.root(|partial| {
        let apt = Apt::open("sid", platform, Lists::Current, None)?;
        for package in apt.packages(&[STANDARD_LIBRARY.to_owned()])? {
            must_succeed(Command::new("dpkg-deb").arg("--extract").arg(package.file).arg(partial))?;
        }
        for at in ["sluice", "cargo", "target"] {
            fs::create_dir_all(partial.join("build").join(at))?;
        }
        Ok(())
    })
}
