//! Calling cargo, and where it puts things.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::LazyLock;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// The profile of what is tried and tested: built quickly, with debug assertions. The alias `cargo xtask`
/// builds `xtask` with it too, so that all of them share what they depend on (decision 235).
pub const QUICK: &str = "quick";

/// The top of the checkout that cargo runs this program for; that it was built for otherwise. The two differ
/// where clones share a target directory: cargo takes a program of the one for a fresh one of the other.
pub fn workspace() -> &'static Path {
    static TOP: LazyLock<PathBuf> = LazyLock::new(|| {
        let run_for = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let top = run_for.iter().flat_map(|package| package.ancestors()).find(|dir| is_top(dir));
        let built_for = || Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
        top.unwrap_or_else(built_for).to_owned()
    });
    &TOP
}

/// True for the directory of a workspace: cargo keeps its lock file there.
fn is_top(dir: &Path) -> bool {
    dir.join("Cargo.lock").is_file()
}

/// A cargo call in the workspace, by the cargo that runs this.
pub fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace()).args(args);
    command
}

/// Runs `command` with its output on our terminal.
///
/// # Errors
/// The program cannot be started, or its exit code is not 0.
pub fn must_succeed(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_owned();
    let status = command.status().with_context(|| format!("starting {}", program.display()))?;
    if !status.success() {
        let args: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
        bail!("`{} {}` failed ({status})", program.display(), args.join(" "));
    }
    Ok(())
}

/// The exit code of a command; an error is printed with its causes.
pub fn exit(done: Result<ExitCode>) -> ExitCode {
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// The directory that cargo puts this build in: this program lies in `<target>/<profile>`, so no guess about
/// settings is needed.
///
/// # Errors
/// This program does not lie in a target directory.
pub fn target_dir() -> Result<PathBuf> {
    let own = env::current_exe()?;
    let target = own.parent().and_then(Path::parent).context("this program lies in no target directory")?;
    Ok(target.to_owned())
}

/// Builds the `sluice` binary, showing cargo's progress, and gives its path.
///
/// # Errors
/// Those of [`build_binary`].
pub fn build_sluice(profile: &str) -> Result<PathBuf> {
    build_binary("sluice", profile)
}

/// Builds the binary of the package that has its name, showing cargo's progress and the time it took, and
/// gives its path.
///
/// # Errors
/// The build fails.
pub fn build_binary(name: &str, profile: &str) -> Result<PathBuf> {
    eprintln!("building {name} with the profile {profile}");
    let began = Instant::now();
    must_succeed(&mut cargo(&["build", "--package", name, "--profile", profile]))?;
    eprintln!("built {name} in {:.1} s", began.elapsed().as_secs_f64());
    let dir = if profile == "dev" { "debug" } else { profile };
    let path = target_dir()?.join(dir).join(name);
    if !path.is_file() {
        bail!("cargo built no {}", path.display());
    }
    Ok(path)
}
