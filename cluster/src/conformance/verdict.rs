//! The verdict on a run by the results of its tests.

use super::outcome::{EndedTest, Verdict};
use super::passing::Passing;

/// Requirements on the tests of a run.
pub(super) struct Requirements<'a> {
    /// Tests that were to run; all if empty. A test that is named must pass.
    pub(super) chosen: &'a [String],
    /// The tests that must pass if all were to run.
    pub(super) passing: &'a Passing,
    /// Lets failures of others pass.
    pub(super) regressions: bool,
}

impl Requirements<'_> {
    /// Failures among these tests; `succeeded` is the suite's own verdict.
    pub(super) fn failures(&self, tests: &[EndedTest], succeeded: bool) -> Vec<String> {
        let mut all = if self.chosen.is_empty() { self.missing(tests) } else { self.not_as_chosen(tests) };
        if !succeeded && !self.regressions {
            all.push("the suite failed".to_owned());
        }
        all
    }

    fn missing(&self, tests: &[EndedTest]) -> Vec<String> {
        let missing = self.passing.missing(tests);
        let said = format!("{} tests that must pass did not: {}", missing.len(), missing.join(", "));
        if missing.is_empty() { Vec::new() } else { vec![said] }
    }

    fn not_as_chosen(&self, tests: &[EndedTest]) -> Vec<String> {
        let became = |name: &String| tests.iter().find(|test| test.name == *name).map(|test| test.verdict);
        let of = |what: &[Option<Verdict>]| -> Vec<&str> {
            let names = self.chosen.iter().filter(|name| what.contains(&became(name)));
            names.map(String::as_str).collect()
        };
        let not_tested = ("not tested", of(&[None, Some(Verdict::Skipped)]));
        let failed = ("failed", of(&[Some(Verdict::Failed)]));
        let wrong = [not_tested, failed].into_iter().filter(|(_, names)| !names.is_empty());
        wrong.map(|(what, names)| format!("chosen and {what}: {}", names.join(", "))).collect()
    }
}

#[cfg(test)]
mod tests {
    use gateway_testkit::scratch::Scratch;

    use super::*;

    fn test(name: &str, verdict: Verdict) -> EndedTest {
        EndedTest { name: name.to_owned(), verdict, seconds: 0.0 }
    }

    /// Complaints about a run in which A passed, B failed and C was skipped; A and C must pass.
    fn failures(chosen: &[&str], regressions: bool) -> Vec<String> {
        let dir = Scratch::new("verdict").unwrap();
        std::fs::write(dir.join("passing.txt"), "A\nC\n").unwrap();
        let passing = Passing::read(&dir.join("passing.txt")).unwrap();
        let chosen: Vec<_> = chosen.iter().map(|name| (*name).to_owned()).collect();
        let tests = [test("A", Verdict::Passed), test("B", Verdict::Failed), test("C", Verdict::Skipped)];
        Requirements { chosen: &chosen, passing: &passing, regressions }.failures(&tests, false)
    }

    #[test]
    fn a_whole_run_is_held_to_the_list() {
        let missing = "1 tests that must pass did not: C";
        assert_eq!(failures(&[], true), [missing], "others may fail");
        assert_eq!(failures(&[], false), [missing, "the suite failed"]);
    }

    #[test]
    fn what_was_chosen_must_be_tested_and_pass() {
        assert!(failures(&["A"], true).is_empty(), "nothing else was to run");
        assert_eq!(failures(&["A", "C", "D"], true), ["chosen and not tested: C, D"]);
        assert_eq!(failures(&["B"], true), ["chosen and failed: B"]);
        assert_eq!(failures(&["B"], false), ["chosen and failed: B", "the suite failed"]);
    }
}
