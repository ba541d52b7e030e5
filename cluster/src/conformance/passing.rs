//! The tests that must pass, kept in the project: the list only grows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::outcome::{EndedTest, Verdict};
use crate::cargo::workspace;
use crate::version::Suite;

/// The names of tests that have passed, one on each line.
pub(super) struct Passing {
    path: PathBuf,
    names: BTreeSet<String>,
}

const HEAD: &str = "# Tests that pass and must go on passing. `cargo xtask conformance --update` adds what passes; nothing takes a line away.\n";

impl Passing {
    /// The list of a suite; empty while there is none.
    pub(super) fn of(suite: Suite) -> Result<Self> {
        Self::read(&workspace().join(format!("conformance/passing-{suite}.txt")))
    }

    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = match path.exists() {
            true => fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?,
            false => String::new(),
        };
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(Self { path: path.to_owned(), names: lines.map(str::to_owned).collect() })
    }

    /// An error if the list names no test: who holds a run to it would hold it to nothing.
    pub(super) fn must_name_tests(&self) -> Result<()> {
        ensure!(
            !self.names.is_empty(),
            "--regressions: {} names no test that must pass; `cargo xtask conformance --update` writes it",
            self.path.display()
        );
        Ok(())
    }

    /// Tests of the list that did not pass.
    pub(super) fn missing(&self, tests: &[EndedTest]) -> Vec<&str> {
        let passed = passed(tests);
        self.names.iter().map(String::as_str).filter(|name| !passed.contains(name)).collect()
    }

    /// Adds every test that passed, and gives how many are new.
    pub(super) fn add(&mut self, tests: &[EndedTest]) -> Result<usize> {
        let before = self.names.len();
        self.names.extend(passed(tests).into_iter().map(str::to_owned));
        let names: Vec<_> = self.names.iter().map(String::as_str).collect();
        fs::write(&self.path, format!("{HEAD}{}\n", names.join("\n")))
            .with_context(|| format!("writing {}", self.path.display()))?;
        Ok(self.names.len() - before)
    }

    pub(super) fn names(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }
}

fn passed(tests: &[EndedTest]) -> BTreeSet<&str> {
    tests.iter().filter(|test| test.verdict == Verdict::Passed).map(|test| test.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use gateway_testkit::scratch::Scratch;

    use super::*;

    fn test(name: &str, verdict: Verdict) -> EndedTest {
        EndedTest { name: name.to_owned(), verdict, seconds: 0.0 }
    }

    #[test]
    fn the_list_only_grows_and_names_what_no_longer_passes() {
        let dir = Scratch::new("passing").unwrap();
        let path = dir.join("passing.txt");
        let mut list = Passing::read(&path).unwrap();
        let all = [test("B", Verdict::Passed), test("A", Verdict::Passed), test("C", Verdict::Failed)];
        assert_eq!(list.add(&all).unwrap(), 2);
        let mut list = Passing::read(&path).unwrap();
        assert_eq!((list.len(), list.missing(&all)), (2, vec![]));
        let worse = [test("A", Verdict::Skipped), test("B", Verdict::Failed), test("C", Verdict::Passed)];
        assert_eq!(list.missing(&worse), ["A", "B"], "a test that is skipped does not pass");
        assert_eq!(list.missing(&[]), ["A", "B"], "nor does one that did not run");
        assert_eq!(list.add(&worse).unwrap(), 1);
        assert_eq!(Passing::read(&path).unwrap().len(), 3, "nothing is taken away");
    }

    #[test]
    fn a_list_that_holds_a_run_to_nothing_is_refused_by_name() {
        let dir = Scratch::new("passing-empty").unwrap();
        let path = dir.join("passing.txt");
        for text in [None, Some("# only a comment\n\n")] {
            text.map_or(Ok(()), |text| fs::write(&path, text)).unwrap();
            let error = Passing::read(&path).unwrap().must_name_tests().unwrap_err().to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
        fs::write(&path, "A\n").unwrap();
        Passing::read(&path).unwrap().must_name_tests().unwrap();
    }
}
