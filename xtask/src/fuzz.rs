//! `cargo xtask fuzz`: the targets of `fuzz/`, for a bounded time each.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::cargo::{must_succeed, target_dir, workspace};

/// Flags of `fuzz`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Targets whose name contains this; all by default.
    #[arg(default_value = "")]
    only: String,
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Adds what reached new code to the corpus that is committed, in its smallest form.
    #[arg(long)]
    keep: bool,
}

/// The version whose command line this calls.
const CARGO_FUZZ: &str = "0.13.2";

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    ensure_installed()?;
    let dir = workspace().join("fuzz");
    let targets: Vec<String> = targets(&dir)?.into_iter().filter(|name| name.contains(&args.only)).collect();
    if targets.is_empty() {
        bail!("no target's name contains {:?}; they are in fuzz/fuzz_targets", args.only);
    }
    let found = target_dir()?.join("fuzz-corpus");
    for name in &targets {
        println!("\nfuzz {name} for {} s", args.seconds);
        // New inputs go beside the caches: the committed corpus grows with --keep only.
        let (seeds, found) = (dir.join("corpus").join(name), found.join(name));
        fs::create_dir_all(&seeds)?;
        fs::create_dir_all(&found)?;
        let mut command = cargo_fuzz(&["run", name])?;
        command.arg(&found).arg(&seeds).arg("--");
        command.arg(format!("-max_total_time={}", args.seconds)).args(["-timeout=10", "-verbosity=0"]);
        must_succeed(&mut command).with_context(|| {
            format!("{name} failed; `cargo fuzz run -s none {name} FILE` in the workspace plays what is in fuzz/artifacts/{name}")
        })?;
        if args.keep {
            let mut command = cargo_fuzz(&["run", name])?;
            command.arg(&seeds).arg(&found).args(["--", "-merge=1"]);
            must_succeed(&mut command)?;
        }
    }
    println!("\n{} targets, {} s each: nothing found", targets.len(), args.seconds);
    Ok(ExitCode::SUCCESS)
}

/// cargo-fuzz without a sanitizer, which a stable toolchain lacks: our code forbids unsafe code where bytes
/// are parsed, so that what is looked for are panics and broken promises.
fn cargo_fuzz(args: &[&str]) -> Result<Command> {
    let (verb, rest) = args.split_first().context("a verb")?;
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace()).arg("fuzz").arg(verb).args(["--sanitizer", "none"]);
    command.env("CARGO_TARGET_DIR", target_dir()?.join("fuzz")).args(rest);
    Ok(command)
}

fn ensure_installed() -> Result<()> {
    let cargo = || Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let there = cargo().args(["fuzz", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if there.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    println!("installing cargo-fuzz {CARGO_FUZZ}");
    must_succeed(cargo().args(["install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ]))
}

/// Names of the targets, in order.
fn targets(dir: &Path) -> Result<Vec<String>> {
    let dir = dir.join("fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("{}", dir.display()))? {
        let path = entry?.path();
        names.extend(path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_declared_and_has_seeds() {
        let dir = workspace().join("fuzz");
        let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap();
        let targets = targets(&dir).unwrap();
        assert!(!targets.is_empty());
        for name in targets {
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in fuzz/Cargo.toml");
            let seeds = dir.join("corpus").join(&name);
            assert!(
                fs::read_dir(&seeds).is_ok_and(|mut seeds| seeds.next().is_some()),
                "{name} has no seeds"
            );
        }
    }
}
