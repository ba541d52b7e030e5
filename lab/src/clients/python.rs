//! Python, and the packages of our clients in an environment of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::programs;
use crate::cache::{self, Key};
use crate::cargo::must_succeed;
use crate::needs::PYTHON;

/// The packages of which the environment is made.
const IMPORTS: &str = "import aiohttp, h2, httpx, requests, websockets";

/// The interpreter itself: what is on PATH may be a script that looks for it.
pub(super) fn system() -> Option<PathBuf> {
    let printed =
        Command::new(PYTHON.program()).args(["-c", "import sys; print(sys.executable)"]).output().ok()?;
    let path = String::from_utf8(printed.stdout).ok()?;
    printed.status.success().then(|| path.trim().into())
}

/// An interpreter with the pinned packages; made in the cache for the first call.
pub(super) fn with_packages() -> Option<PathBuf> {
    let made = environment(&system()?);
    made.inspect_err(|error| eprintln!("Python's packages cannot be installed: {error:#}")).ok()
}

fn environment(python: &Path) -> Result<PathBuf> {
    let requirements = programs::folder().join("python/requirements.txt");
    let version = Command::new(python).arg("-VV").output()?.stdout;
    let mut key = Key::default();
    for part in [&version, python.as_os_str().as_encoded_bytes(), &fs::read(&requirements)?] {
        key.add(part);
    }
    let dir = cache::dir()?.join("python").join(format!("clients-{}", key.name()));
    let interpreter = dir.join("bin/python");
    if dir.exists() && !works(&interpreter) {
        // Some caches are restored without what can be run.
        fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    cache::keep(&dir, |partial| {
        println!("installing Python packages (once)");
        must_succeed(Command::new(python).args(["-m", "venv"]).arg(partial))?;
        let mut install = Command::new(partial.join("bin/python"));
        install.args(["-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--require-hashes"]);
        must_succeed(install.arg("--requirement").arg(&requirements))
    })?;
    Ok(interpreter)
}

fn works(python: &Path) -> bool {
    Command::new(python).args(["-c", IMPORTS]).output().is_ok_and(|output| output.status.success())
}

/// A call that prints the version of a client.
pub(super) fn version(python: &Path, client: &str) -> Command {
    let mut command = Command::new(python);
    match client {
        "socket" | "http.client" => command.arg("--version"),
        "httpx-http2" => return version(python, "httpx"),
        package => command.args([
            "-c",
            "import sys, importlib.metadata as m; print(m.version(sys.argv[1]))",
            package,
        ]),
    };
    command
}
