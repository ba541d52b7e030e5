//! Running an image's program as a container does: with the image as the root directory, as its user.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use gateway_testkit::scratch::Scratch;
use nix::unistd::geteuid;
use serde_json::Value;
use sluice_tooling::cargo::workspace;
use sluice_tooling::needs::{self, QEMU_ARM64, UNSHARE};

use crate::check::archive;
use crate::gateway::{PROGRAM, USER, VERSION};
use crate::oci::Packed;
use crate::platform::Platform;

/// Resources that the program reads in it.
const EXAMPLE: &str = "examples/shared-gateway";

/// Starts the program in the image, by its name as `exec` of a probe does, and looks for what must not be there.
///
/// # Errors
/// The program does not start or says something else than it should, or there is a shell; or this process is not root.
pub fn judge(packed: &Packed, platform: Platform) -> Result<()> {
    ensure!(geteuid().is_root(), "--check runs the image with it as the root directory: run it as root");
    let root = Scratch::new("image").context("making a root directory")?;
    for layer in packed.layers() {
        let mut archive = archive(layer);
        archive.set_preserve_permissions(true);
        archive.set_preserve_ownerships(true);
        archive.unpack(root.path())?;
    }
    let config = root.join("config");
    copy_example(&config)?;
    let root = root.path();
    let text = said(root, platform, &["version", "--output=json"])?;
    let version: Value =
        serde_json::from_str(&text).with_context(|| format!("`sluice version` says: {text}"))?;
    ensure!(version["version"] == VERSION, "`sluice version` says {version}, not {VERSION}");
    said(root, platform, &["check", "/config"])?;
    if Some(platform) == Platform::of_this_machine() {
        for program in ["/bin/sh", "/bin/bash", "/usr/bin/dpkg", "/usr/bin/perl", "/usr/bin/env"] {
            let output = start(root, program, &["--version"])?;
            ensure!(output.status.code() == Some(127), "{program} is in the image: {}", output.status);
        }
    }
    println!("checked: sluice version and sluice check run in it as {USER}, and no shell does");
    Ok(())
}

/// The files of a checkout may be closed to everybody else.
fn copy_example(to: &Path) -> Result<()> {
    fs::create_dir(to).context("making a folder for resources")?;
    for entry in fs::read_dir(workspace().join(EXAMPLE)).context(EXAMPLE)? {
        let from = entry?.path();
        let name = from.file_name().context("a file has a name")?;
        fs::write(to.join(name), fs::read(&from)?)?;
    }
    Ok(())
}

/// The standard output of the program, which must end well.
fn said(root: &Path, platform: Platform, words: &[&str]) -> Result<String> {
    let output = if Some(platform) == Platform::of_this_machine() {
        let name = PROGRAM.trim_start_matches('/');
        start(root, name, words)?
    } else {
        emulate(root, words)?
    };
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "sluice {} in the image: {}: {errors}", words.join(" "), output.status);
    Ok(text.into_owned())
}

/// Starts a program of the root directory in a mount namespace of its own.
fn start(root: &Path, program: &str, words: &[&str]) -> Result<Output> {
    needs::ensure(&[UNSHARE])?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "chroot"]).arg(format!("--userspec={USER}"));
    command.arg("--groups=").arg(root).arg(program).args(words);
    // The image's own folder first: once the root directory is another, there is no other of these.
    command.env_clear().env("PATH", "/:/usr/sbin:/usr/bin:/sbin:/bin");
    command.output().context("starting unshare")
}

/// Runs it by QEMU, which takes libraries and their loader from the root directory.
fn emulate(root: &Path, words: &[&str]) -> Result<Output> {
    needs::ensure(&[QEMU_ARM64])?;
    let mut command = Command::new(QEMU_ARM64.program());
    command.arg("-L").arg(root).arg(root.join(PROGRAM.trim_start_matches('/')));
    let config = root.join("config").display().to_string();
    command.args(words.iter().map(|word| if *word == "/config" { &config } else { *word }));
    command.output().context("starting QEMU")
}
