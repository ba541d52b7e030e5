//! A short name for all that a built program depends on.

use anyhow::Result;

use super::Program;
use super::build::FLAGS;
use crate::cache::Key;

/// A key that changes with anything that changes the program: the toolchain and what it builds for, the
/// flags, and every file of the module. `go.sum` among these stands for the content of each dependency.
pub(super) fn of(program: &Program<'_>, tags: &str, toolchain: &str) -> Result<String> {
    let mut key = Key::default();
    let tests = if program.tests { "tests" } else { "command" };
    for part in [toolchain, program.package, program.ldflags, tests, super::FLAGS] {
        key.add(part.as_bytes());
    }
    FLAGS.iter().for_each(|flag| key.add(flag.as_bytes()));
    // Absent where there are none, so that programs without keep the names that they have.
    if !tags.is_empty() {
        key.add(tags.as_bytes());
    }
    key.add_files(program.module)?;
    Ok(key.name())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use gateway_testkit::scratch::Scratch;

    use super::*;

    fn key(module: &Path, change: impl FnOnce(&mut Program<'_>), toolchain: &str) -> String {
        let mut program = Program { module, package: ".", name: "p", tests: false, ldflags: "" };
        change(&mut program);
        of(&program, "", toolchain).unwrap()
    }

    #[test]
    fn a_key_changes_with_tags() {
        let dir = Scratch::new("tags").unwrap();
        let program = Program { module: dir.path(), package: ".", name: "p", tests: false, ldflags: "" };
        let keys = ["", "a", "b"].map(|tags| of(&program, tags, "go1.26").unwrap());
        assert!(keys[0] != keys[1] && keys[1] != keys[2], "{keys:?}");
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
