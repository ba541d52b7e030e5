//! One build at a time for each program, with its progress on the terminal.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{NEEDED, Program, go};
use crate::cache;

/// Flags of every build. -v names each package as it is compiled: the only progress that go gives.
pub(super) const FLAGS: [&str; 2] = ["-v", "-trimpath"];
/// How often a build says how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(15);
/// Lines of a failed build that are shown.
const SHOWN_LINES: usize = 40;

/// The program in `dir`; built first if it is not there. A second call meanwhile, of any process, waits
/// for the first.
pub(super) fn once(program: &Program<'_>, tags: &str, dir: &Path) -> Result<PathBuf> {
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    let built = dir.join(program.name);
    let lock = File::create(dir.join("lock"))?;
    lock.lock().with_context(|| format!("waiting for another build in {}", dir.display()))?;
    cache::keep(&built, |partial| build(program, tags, partial))?;
    Ok(built)
}

fn build(program: &Program<'_>, tags: &str, to: &Path) -> Result<()> {
    let began = Instant::now();
    println!("building {} (kept for the next time; minutes if nothing of it was ever built)", program.name);
    let mut command = go(program.module);
    match program.tests {
        true => command.args(["test", "-c"]),
        false => command.arg("build"),
    };
    command.args(FLAGS).args(["-tags", tags, "-ldflags", program.ldflags, "-o"]).arg(to);
    command.arg(program.package);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context(NEEDED)?;
    let output = child.stderr.take().context("go has no standard error")?;
    let errors = watch(program.name, output)?;
    let status = child.wait()?;
    if !status.success() {
        let from = errors.len().saturating_sub(SHOWN_LINES);
        bail!("building {} failed ({status}):\n{}", program.name, errors[from..].join("\n"));
    }
    println!("built {} in {} s", program.name, began.elapsed().as_secs());
    Ok(())
}

/// Reads what go says to its end, prints how far it is, and gives the lines that are neither
/// package nor download.
fn watch(name: &str, output: impl std::io::Read) -> Result<Vec<String>> {
    let (mut packages, mut downloads, mut said) = (0, 0, Instant::now());
    let mut errors = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line?;
        match kind(&line) {
            Kind::Package => packages += 1,
            Kind::Download => downloads += 1,
            Kind::Error => errors.push(line),
        }
        if said.elapsed() >= PROGRESS_INTERVAL {
            said = Instant::now();
            println!("building {name}: {packages} packages compiled, {downloads} modules downloaded");
        }
    }
    Ok(errors)
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Package,
    Download,
    Error,
}

/// A package's path alone on its line is progress; errors name a place or come after `#`.
fn kind(line: &str) -> Kind {
    if line.starts_with("go: downloading ") {
        Kind::Download
    } else if line.is_empty() || line.contains([' ', '\t', ':']) {
        Kind::Error
    } else {
        Kind::Package
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_from_complaints() {
        assert_eq!(kind("k8s.io/api/core/v1"), Kind::Package);
        assert_eq!(kind("go: downloading k8s.io/api v0.37.2"), Kind::Download);
        let failed = "k8s.io/api/core/v1\n# example.com/broken\n./main.go:3:5: undefined: x\ngo: no module\n";
        let errors = watch("p", failed.as_bytes()).unwrap();
        assert_eq!(errors, ["# example.com/broken", "./main.go:3:5: undefined: x", "go: no module"]);
    }
}
