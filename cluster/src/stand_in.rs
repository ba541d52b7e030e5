//! A stand-in for the module of the newer suite's echo server, which the module proxy does not give out.
//!
//! The release before has the same packages in its own module. They are copied under the other module path,
//! outside the checkout; every report of such a run says so ([`super::version::Suite::disclosure`]).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cache::{self, Key};
use crate::go;

const FROM: &str = "sigs.k8s.io/gateway-api/conformance";
const TO: &str = "sigs.k8s.io/gateway-api-conformance-images";
const PACKAGE: &str = "echo-basic";

/// A copy of `module` with the stand-in in the folder that its `replace` line names; `before` is the
/// older suite's.
pub(super) fn complete(module: &Path, before: &Path) -> Result<PathBuf> {
    let source = go::unpacked(before, FROM)?.join(PACKAGE);
    complete_in(&cache::dir()?.join("go"), module, &source)
}

fn complete_in(all: &Path, module: &Path, source: &Path) -> Result<PathBuf> {
    let name = module.file_name().context("a module has a name")?;
    let mut key = Key::default();
    // This file says what is changed on the way.
    key.add(include_bytes!("stand_in.rs"));
    key.add_files(module)?;
    key.add_files(source)?;
    let to = all.join(format!("{}-module-{}", name.display(), key.name()));
    cache::keep(&to, |partial| {
        copy(module, partial, &|text| text)?;
        let images = partial.join("images");
        copy(source, &images.join(PACKAGE), &renamed)?;
        Ok(fs::write(images.join("go.mod"), format!("module {TO}\n\ngo 1.26.0\n"))?)
    })
    .context("the stand-in of the suite's echo server")?;
    Ok(to)
}

fn renamed(text: String) -> String {
    text.replace(&format!("{FROM}/{PACKAGE}"), &format!("{TO}/{PACKAGE}"))
}

/// Copies a folder, its Go files changed. Generated descriptors hold paths with their lengths before them and
/// stay as they are: a path of another length would make them unreadable.
fn copy(from: &Path, to: &Path, change: &dyn Fn(String) -> String) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        let name = target.display().to_string();
        if path.is_dir() {
            copy(&path, &target, change)?;
        } else if !name.ends_with(".go") || name.ends_with(".pb.go") {
            fs::write(&target, fs::read(&path)?)?;
        } else {
            fs::write(&target, change(fs::read_to_string(&path)?))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use gateway_testkit::scratch::Scratch;

    use super::*;

    #[test]
    fn imports_are_renamed_and_descriptors_are_not() {
        let dir = Scratch::new("stand-in").unwrap();
        let (from, to) = (dir.join("from"), dir.join("to"));
        fs::create_dir_all(from.join("server")).unwrap();
        let import = format!("import _ \"{FROM}/{PACKAGE}/server\"\n");
        for file in ["main.go", "server/echo.pb.go"] {
            fs::write(from.join(file), &import).unwrap();
        }
        copy(&from, &to, &renamed).unwrap();
        assert_eq!(
            fs::read_to_string(to.join("main.go")).unwrap(),
            format!("import _ \"{TO}/{PACKAGE}/server\"\n")
        );
        assert_eq!(fs::read_to_string(to.join("server/echo.pb.go")).unwrap(), import);
    }

    #[test]
    fn a_copy_is_made_afresh_when_anything_of_it_changes() {
        let dir = Scratch::new("stand-in-key").unwrap();
        let (all, module, source) = (dir.join("all"), dir.join("suite-v1.7.0"), dir.join("source"));
        for (folder, file) in [(&module, "go.mod"), (&source, "main.go")] {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join(file), "one").unwrap();
        }
        let first = complete_in(&all, &module, &source).unwrap();
        assert!(first.join("go.mod").is_file() && first.join("images/go.mod").is_file());
        assert_eq!(complete_in(&all, &module, &source).unwrap(), first);
        fs::write(source.join("main.go"), "two").unwrap();
        let second = complete_in(&all, &module, &source).unwrap();
        assert_eq!(fs::read_to_string(second.join("images").join(PACKAGE).join("main.go")).unwrap(), "two");
        fs::write(module.join("other_test.go"), "three").unwrap();
        let third = complete_in(&all, &module, &source).unwrap();
        assert!(third.join("other_test.go").is_file());
        assert!(first != second && second != third);
    }
}
