//! Tests of one release of the suite that another release has not, or has otherwise.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::go;
use crate::version::Suite;

/// The module that both releases of the suite have their tests in.
const MODULE: &str = "sigs.k8s.io/gateway-api/conformance";

/// Short names of the tests of `suite` whose source, or a manifest of theirs, is not the same in `other`, in the order of
/// their files. Packages that tests share are left out: they change with each release, and by them every test would differ.
///
/// # Errors
/// A suite's module cannot be had.
pub(super) fn names(suite: Suite, other: Suite) -> Result<Vec<String>> {
    let folder = |suite: Suite| Ok::<_, anyhow::Error>(go::unpacked(&suite.module()?, MODULE)?.join("tests"));
    in_folders(&folder(suite)?, &folder(other)?)
}

fn in_folders(of: &Path, other: &Path) -> Result<Vec<String>> {
    let mut sources: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(of).with_context(|| format!("reading {}", of.display()))? {
        sources.push(entry?.path());
    }
    sources.retain(|path| path.extension().is_some_and(|extension| extension == "go"));
    sources.sort();
    let (mut all, mut differing) = (0, Vec::new());
    for source in sources {
        let text = fs::read_to_string(&source).with_context(|| format!("reading {}", source.display()))?;
        let names = quoted(&text, "ShortName:", |_| true);
        all += names.len();
        let name = source.file_name().map(PathBuf::from).unwrap_or_default();
        let manifests = quoted(&text, "Manifests:", |value| value.ends_with(".yaml"));
        let files =
            manifests.iter().filter_map(|manifest| manifest.strip_prefix("tests/")).map(PathBuf::from);
        if [name].into_iter().chain(files).any(|file| !same(&of.join(&file), &other.join(&file))) {
            differing.extend(names);
        }
    }
    ensure!(all > 0, "{} has no test of the suite", of.display());
    Ok(differing)
}

/// The values in quotes on lines that have `field`.
fn quoted(text: &str, field: &str, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let lines = text.lines().filter(|line| line.trim_start().starts_with(field));
    let values = lines.flat_map(|line| line.split('"').skip(1).step_by(2));
    values.filter(|value| wanted(value)).map(str::to_owned).collect()
}

/// True if both files are there and have the same bytes.
fn same(one: &Path, other: &Path) -> bool {
    matches!((fs::read(one), fs::read(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use gateway_testkit::scratch::Scratch;

    use super::*;

    #[test]
    fn a_test_differs_by_its_source_and_by_each_of_its_manifests() {
        let dir = Scratch::new("differing").unwrap();
        for (path, text) in [
            (
                "a/same.go",
                "\tShortName:   \"Same\",\n\tManifests: []string{\"tests/same.yaml\", \"tests/base.yaml\"},\n",
            ),
            ("a/source.go", "\tShortName: \"Source\",\n"),
            (
                "a/manifest.go",
                "\tShortName: \"Manifest\",\n\tManifests: []string{\"tests/manifest.yaml\"},\n",
            ),
            ("a/only.go", "\tShortName: \"Only\",\n"),
            ("a/main.go", "no test\n"),
            ("a/same.yaml", "1\n"),
            ("a/base.yaml", "1\n"),
            ("a/manifest.yaml", "1\n"),
        ] {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            let other = dir.join("b").join(path.file_name().unwrap());
            fs::create_dir_all(other.parent().unwrap()).unwrap();
            fs::write(other, text).unwrap();
        }
        fs::write(dir.join("b/source.go"), "\tShortName: \"Source\",\n// more\n").unwrap();
        fs::write(dir.join("b/manifest.yaml"), "2\n").unwrap();
        fs::remove_file(dir.join("b/only.go")).unwrap();
        assert_eq!(in_folders(&dir.join("a"), &dir.join("b")).unwrap(), ["Manifest", "Only", "Source"]);
    }

    #[test]
    fn a_folder_without_tests_is_an_error() {
        let dir = Scratch::new("differing-none").unwrap();
        assert!(in_folders(&dir.join(""), &dir.join("")).is_err(), "a run of no test would hold to nothing");
    }
}
