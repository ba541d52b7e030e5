//! Counts of libtest.

use std::fmt;

/// Tests by outcome.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) ignored: u64,
}

impl Count {
    /// Adds what libtest says at the end of a test binary: `test result: ok. 3 passed; 0 failed;
    /// 0 ignored; …`.
    pub(super) fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for part in counts.split(';') {
            let mut words = part.split_whitespace();
            let (Some(Ok(n)), Some(what)) = (words.next().map(str::parse::<u64>), words.next()) else {
                continue;
            };
            match what {
                "passed" => self.passed += n,
                "failed" => self.failed += n,
                "ignored" => self.ignored += n,
                _ => {}
            }
        }
    }

    /// Adds another count.
    pub(super) fn merge(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.ignored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_summed_over_test_binaries() {
        let mut count = Count::default();
        count.add(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s",
        );
        count.add("test result: FAILED. 2 passed; 5 failed; 0 ignored; 0 measured; 0 filtered out");
        count.add("test some::test ... ok");
        assert_eq!(count, Count { passed: 5, failed: 5, ignored: 1 });
        count.merge(Count { passed: 1, failed: 0, ignored: 0 });
        assert_eq!(count.to_string(), "6 passed, 5 failed, 1 skipped");
    }
}
