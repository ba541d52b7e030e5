//! Programs written in Go, out of the modules in `conformance/`: built once for each state of their
//! sources, and kept.

mod build;
mod key;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::cache;
use crate::cargo::workspace;

/// A program of one of our modules.
pub struct Program<'a> {
    /// The folder of the module.
    pub module: &'a Path,
    /// The package to build: `.`, a folder, or the path of a dependency.
    pub package: &'a str,
    /// Its file name once built.
    pub name: &'a str,
    /// True for the package's tests instead of its command.
    pub tests: bool,
    /// Flags of the linker; what stands there is part of the key.
    pub ldflags: &'a str,
}

/// A module of `conformance/` by its folder.
pub fn module(name: &str) -> PathBuf {
    workspace().join("conformance").join(name)
}

/// The module files are never changed, and nothing of the checkout's history gets into a program: git refuses
/// to tell of a checkout that another user owns, and go would fail with it.
const FLAGS: &str = "-mod=readonly -buildvcs=false";

/// Variables of `go env` that name the compiler and the machine that it builds for.
const TOOLCHAIN: [&str; 7] =
    ["GOVERSION", "GOOS", "GOARCH", "GOAMD64", "GOARM64", "GOEXPERIMENT", "GOFIPS140"];

/// A call of `go` in a module. A module that asks for a newer Go gets it through Go itself.
pub fn go(module: &Path) -> Command {
    let mut command = Command::new("go");
    command.current_dir(module).env("GOTOOLCHAIN", "auto").env("GOFLAGS", FLAGS).env("GOWORK", "off");
    command.env("CGO_ENABLED", "0");
    command
}

/// From 1.21 on Go fetches the release that a module asks for.
const NEEDED: &str = "starting go: Go 1.21 or newer is needed on PATH (Debian 12's own package is too old; see \
                      go.dev/doc/install)";

/// Output of a call of `go`.
///
/// # Errors
/// Go is missing or too old, or the call fails; the message has its standard error.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.output().context(NEEDED)?;
    let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
    ensure!(
        output.status.success(),
        "`go {}` failed: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The version that a module takes of one of its dependencies.
///
/// # Errors
/// Those of [`output`].
pub fn version(module: &Path, dependency: &str) -> Result<String> {
    output(go(module).args(["list", "-m", "-f", "{{.Version}}", dependency]))
}

/// The folder of a module's dependency, which is fetched and unpacked first.
///
/// # Errors
/// Those of [`output`].
pub fn unpacked(module: &Path, dependency: &str) -> Result<PathBuf> {
    output(go(module).args(["mod", "download", dependency]))?;
    match output(go(module).args(["list", "-m", "-f", "{{.Dir}}", dependency]))? {
        dir if dir.is_empty() => bail!("go has not unpacked {dependency}"),
        dir => Ok(dir.into()),
    }
}

impl Program<'_> {
    /// The built program; builds it, showing how far that is, if its sources have changed since.
    ///
    /// # Errors
    /// The build fails, or Go is missing.
    pub fn build(&self) -> Result<PathBuf> {
        self.build_with("")
    }

    /// As [`Self::build`] with build tags, separated by commas.
    ///
    /// # Errors
    /// Those of [`Self::build`].
    pub fn build_with(&self, tags: &str) -> Result<PathBuf> {
        let toolchain = output(go(self.module).args(["env"]).args(TOOLCHAIN))?;
        let key = key::of(self, tags, &toolchain)?;
        let dir = cache::dir()?.join("go").join(format!("{}-{key}", self.name));
        build::once(self, tags, &dir)
    }
}
