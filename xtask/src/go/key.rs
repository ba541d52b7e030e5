//! What a built program depends on, as a short name.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::Program;

/// A key that changes with anything that changes the program: the toolchain, the flags, and every file of the module.
/// `go.sum` among these stands for the content of each dependency.
pub(super) fn of(program: &Program<'_>, toolchain: &str) -> Result<String> {
    let mut hash = Sha256::new();
    for part in [toolchain, program.package, program.ldflags, if program.tests { "tests" } else { "command" }]
    {
        add(&mut hash, part.as_bytes());
    }
    for file in files(program.module).with_context(|| format!("reading {}", program.module.display()))? {
        let name = file.strip_prefix(program.module)?;
        add(&mut hash, name.as_os_str().as_encoded_bytes());
        add(&mut hash, &fs::read(&file)?);
    }
    Ok(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

/// Adds one part with its length, so that two parts never read as one.
fn add(hash: &mut Sha256, part: &[u8]) {
    hash.update((part.len() as u64).to_le_bytes());
    hash.update(part);
}

/// Every file below a folder, in order.
fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(files(&path)?);
        } else {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use gateway_testkit::scratch::Scratch;

    use super::*;

    fn key(module: &Path, change: impl FnOnce(&mut Program<'_>), toolchain: &str) -> String {
        let mut program = Program { module, package: ".", name: "p", tests: false, ldflags: "" };
        change(&mut program);
        of(&program, toolchain).unwrap()
    }

    #[test]
    fn a_key_changes_with_all_that_changes_the_program() {
        let dir = Scratch::new("key").unwrap();
        let module = dir.path();
        fs::create_dir(module.join("sub")).unwrap();
        fs::write(module.join("go.mod"), "module m").unwrap();
        fs::write(module.join("sub/main.go"), "package main").unwrap();
        let first = key(module, |_| {}, "go1.26");
        assert_eq!(first, key(module, |p| p.name = "q", "go1.26"), "its name is no part of it");
        let mut all = vec![
            first,
            key(module, |_| {}, "go1.27"),
            key(module, |p| p.package = "./sub", "go1.26"),
            key(module, |p| p.tests = true, "go1.26"),
            key(module, |p| p.ldflags = "-s", "go1.26"),
        ];
        fs::write(module.join("sub/main.go"), "package main // changed").unwrap();
        all.push(key(module, |_| {}, "go1.26"));
        fs::rename(module.join("sub/main.go"), module.join("sub/other.go")).unwrap();
        all.push(key(module, |_| {}, "go1.26"));
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count, "two of them are alike: {all:?}");
    }
}
