//! The program of an image: built so that no path of this machine is in it, and stripped.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use sluice_tooling::cargo::{cargo, must_succeed, workspace};
use sluice_tooling::needs::{self, Need};

use crate::cross::{self, Places};
use crate::platform::Platform;
use crate::source::git;

/// A build in folders of its own.
pub struct Build {
    /// The checkout, or a copy of it.
    pub source: PathBuf,
    /// The folder that cargo puts everything in.
    pub target: PathBuf,
    /// The profile.
    pub profile: String,
    /// The machine that it is for.
    pub platform: Platform,
    /// The commit that `sluice version` names.
    pub revision: String,
}

impl Build {
    /// Builds it, showing cargo's progress; gives the program's path. Paths of this machine are replaced by fixed ones, in
    /// Rust and in C, so that a build elsewhere gives the same bytes.
    ///
    /// # Errors
    /// The build fails, or a compiler for the platform is missing.
    pub fn run(&self) -> Result<PathBuf> {
        fs::create_dir_all(&self.target).with_context(|| format!("making {}", self.target.display()))?;
        let cargo_home = match env::var_os("CARGO_HOME") {
            Some(home) => PathBuf::from(home),
            None => PathBuf::from(env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?)
                .join(".cargo"),
        };
        // The last that fits holds: the target may lie in the checkout.
        let places = [
            (&*self.source, "/build/sluice"),
            (&cargo_home, "/build/cargo"),
            (&self.target, "/build/target"),
        ];
        let rust = places.map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
        // No C lies in the checkout.
        let c = [places[1], places[2]].map(|(from, to)| format!("-ffile-prefix-map={}={to}", from.display()));
        let words = ["build", "--locked", "--package", "sluice", "--profile", &self.profile];
        let mut folder = self.target.clone();
        let mut command = if Some(self.platform) == Platform::of_this_machine() {
            let mut command = cargo(&words);
            command.current_dir(&self.source).arg("--target-dir").arg(&self.target);
            command
        } else {
            folder.push(self.platform.target());
            let places = Places { source: &self.source, cargo_home: &cargo_home, target: &self.target };
            cross::command(self.platform, &places, &words)?
        };
        command.env("CARGO_ENCODED_RUSTFLAGS", rust.join("\u{1f}")).env("CFLAGS", c.join(" "));
        command.env("CARGO_INCREMENTAL", "0").env("SLUICE_COMMIT", &self.revision);
        eprintln!("building sluice in {} with the profile {}", self.source.display(), self.profile);
        must_succeed(&mut command)?;
        let program = folder.join(if self.profile == "dev" { "debug" } else { &self.profile }).join("sluice");
        ensure!(program.is_file(), "cargo built no {}", program.display());
        Ok(program)
    }
}

/// Copies every tracked file of the checkout, as it is now, to a folder.
///
/// # Errors
/// A file cannot be copied.
pub fn copy_checkout(to: &Path) -> Result<()> {
    let names = git(&["ls-files", "-z"])?;
    for name in names.split_terminator('\0') {
        let (from, to) = (workspace().join(name), to.join(name));
        // One that was removed and not committed yet.
        if !from.exists() {
            continue;
        }
        let folder = to.parent().with_context(|| format!("{name} lies in no folder"))?;
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        fs::copy(&from, &to).with_context(|| format!("copying {name}"))?;
    }
    Ok(())
}

/// Writes a program without symbols and debug information.
///
/// # Errors
/// strip(1) for the platform is missing or refuses the program.
pub fn strip(program: &Path, to: &Path, platform: Platform) -> Result<()> {
    let need = strip_of(platform)?;
    needs::ensure(&[need])?;
    let mut strip = Command::new(need.program());
    must_succeed(strip.arg("--strip-all").arg("-o").arg(to).arg(program))
}

fn strip_of(platform: Platform) -> Result<Need> {
    match (Platform::of_this_machine(), platform) {
        (Some(own), wanted) if own == wanted => Ok(needs::STRIP),
        (_, Platform::Arm64) => Ok(needs::STRIP_ARM64),
        (_, Platform::Amd64) => bail!("an image for linux/amd64 is made on such a machine"),
    }
}
