//! Autobahn's suite in an environment of its own, kept in the cache. It runs on Python 2.7 alone.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::cache::{self, Key};
use crate::cargo::{must_succeed, workspace};

/// The last release that makes environments for Python 2.7.
const VIRTUALENV: &str = "virtualenv==20.15.1";

/// The suite's program; installed for the first call.
///
/// # Errors
/// No Python 2.7 is there, or the packages cannot be installed.
pub(super) fn wstest() -> Result<PathBuf> {
    let python = interpreter().context(
        "Autobahn's suite needs Python 2.7: have python2.7 on PATH, or install it with `pyenv install 2.7.18`",
    )?;
    let requirements = workspace().join("lab/clients/autobahn/requirements.txt");
    let mut key = Key::default();
    for part in [python.as_os_str().as_encoded_bytes(), VIRTUALENV.as_bytes(), &fs::read(&requirements)?] {
        key.add(part);
    }
    let dir = cache::dir()?.join("python").join(format!("autobahn-{}", key.name()));
    let program = dir.join("env/bin/python");
    if dir.exists() && !works(&program) {
        // Some caches are restored without what can be run.
        fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    cache::keep(&dir, |partial| install(&python, partial, &requirements))?;
    Ok(program)
}

fn install(python: &Path, dir: &Path, requirements: &Path) -> Result<()> {
    println!("installing Autobahn's test suite (once)");
    let tool = dir.join("virtualenv");
    let pip = ["-m", "pip", "--quiet", "--disable-pip-version-check", "install"];
    must_succeed(Command::new(python).args(pip).arg("--target").arg(&tool).arg(VIRTUALENV))?;
    let environment = dir.join("env");
    must_succeed(
        Command::new(python).env("PYTHONPATH", &tool).args(["-m", "virtualenv", "--quiet"]).arg(&environment),
    )?;
    let mut packages = Command::new(environment.join("bin/python"));
    must_succeed(packages.args(pip).args(["--require-hashes", "--requirement"]).arg(requirements))
}

fn works(python: &Path) -> bool {
    Command::new(python).args(["-c", "import autobahntestsuite"]).output().is_ok_and(|o| o.status.success())
}

/// Python 2.7: pyenv's, or the one on PATH; what is on PATH may be a script that finds none.
fn interpreter() -> Option<PathBuf> {
    let root = env::var_os("PYENV_ROOT").map(PathBuf::from);
    let root = root.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".pyenv")))?;
    let versions = fs::read_dir(root.join("versions")).into_iter().flatten().flatten();
    let of_pyenv = versions
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("2.7."))
        .map(|entry| entry.path().join("bin/python2.7"));
    of_pyenv.chain([PathBuf::from("python2.7")]).find(|python| {
        Command::new(python).args(["-c", "import ssl"]).output().is_ok_and(|output| output.status.success())
    })
}
