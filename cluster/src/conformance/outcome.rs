//! The result of each test, read from the output of the suite's test program.

use std::collections::BTreeMap;

/// The name of the test that holds all others.
const TOP_TEST: &str = "TestConformance";

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed,
    Skipped,
}

/// A test of the suite that has ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EndedTest {
    pub(crate) name: String,
    pub(crate) verdict: Verdict,
    /// As the test program measured it; parallel tests wait for each other meanwhile.
    pub(crate) seconds: f64,
}

/// Reads a line such as `    --- FAIL: TestConformance/Name (0.13s)`; parts of tests are none of their own.
pub(super) fn ended_test(line: &str) -> Option<EndedTest> {
    let (verdict, rest) = line.trim_start().strip_prefix("--- ")?.split_once(": ")?;
    let verdict = match verdict {
        "PASS" => Verdict::Passed,
        "FAIL" => Verdict::Failed,
        "SKIP" => Verdict::Skipped,
        _ => return None,
    };
    let (path, time) = rest.split_once(" (")?;
    let name = path.strip_prefix(TOP_TEST)?.strip_prefix('/')?;
    let seconds = time.strip_suffix("s)")?.parse().ok()?;
    (!name.contains('/')).then(|| EndedTest { name: name.to_owned(), verdict, seconds })
}

/// True if the line says that the test that holds all others has ended.
pub(super) fn is_last(line: &str) -> bool {
    let ends = ["--- PASS: ", "--- FAIL: "];
    let rest = ends.iter().find_map(|end| line.strip_prefix(end)?.strip_prefix(TOP_TEST));
    rest.is_some_and(|rest| rest.starts_with(" ("))
}

/// Messages of tests that failed, by test; `""` has what belongs to none, such as a setup that failed.
#[derive(Debug, Default)]
pub(super) struct FailureMessages {
    current: String,
    /// True while the lines that follow belong to a message.
    inside: bool,
    all: BTreeMap<String, Vec<String>>,
}

impl FailureMessages {
    /// Takes the next line of the output.
    pub(super) fn line(&mut self, line: &str) {
        if let Some(path) = line.strip_prefix("=== ").and_then(|rest| rest.split_whitespace().nth(1)) {
            self.current = path.strip_prefix(TOP_TEST).unwrap_or(path).trim_start_matches('/').to_owned();
            self.inside = false;
            return;
        }
        // testify's blocks: `Error Trace:`, `Error:`, `Test:`, `Messages:`, each with lines behind it.
        let text = line.trim();
        if let Some(said) = ["Error:", "Messages:", "panic:"].iter().find_map(|head| text.strip_prefix(head))
        {
            self.inside = true;
            self.add(said.trim());
        } else if text.is_empty() || BLOCK_ENDS.iter().any(|end| text.starts_with(end)) || is_log(text) {
            self.inside = false;
        } else if self.inside {
            self.add(text);
        }
    }

    fn add(&mut self, said: &str) {
        let name = self.current.split('/').next().unwrap_or_default();
        let all = self.all.entry(name.to_owned()).or_default();
        if !said.is_empty() && all.len() < MAX_LINES && !all.iter().any(|s| s == said) {
            all.push(said.to_owned());
        }
    }

    /// The messages of a test.
    pub(super) fn of(&self, name: &str) -> &[String] {
        self.all.get(name).map_or(&[], Vec::as_slice)
    }
}

/// A line of the test's log begins with the place that wrote it: `apply.go:235: …`.
fn is_log(text: &str) -> bool {
    let Some((file, rest)) = text.split_once(".go:") else { return false };
    !file.contains(' ') && rest.starts_with(|c: char| c.is_ascii_digit())
}

/// Beginnings of lines that end a message.
const BLOCK_ENDS: [&str; 3] = ["Test:", "Error Trace:", "--- "];
/// Most lines that are kept of one test.
const MAX_LINES: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_tests_are_counted() {
        let test = ended_test("    --- PASS: TestConformance/HTTPRouteSimpleSameNamespace (0.13s)").unwrap();
        assert_eq!((test.name.as_str(), test.verdict), ("HTTPRouteSimpleSameNamespace", Verdict::Passed));
        assert!((test.seconds - 0.13).abs() < 1e-9);
        assert_eq!(
            ended_test("    --- SKIP: TestConformance/TCPRoute (0.00s)").unwrap().verdict,
            Verdict::Skipped
        );
        assert_eq!(ended_test("    --- FAIL: TestConformance/A (60.10s)").unwrap().verdict, Verdict::Failed);
        for line in [
            "--- FAIL: TestConformance (9.00s)",
            "        --- PASS: TestConformance/A/part (0.01s)",
            "=== RUN   TestConformance/A",
        ] {
            assert_eq!(ended_test(line), None, "{line}");
        }
    }

    #[test]
    fn the_last_line_is_that_of_the_test_that_holds_all() {
        assert!(is_last("--- FAIL: TestConformance (9.00s)") && is_last("--- PASS: TestConformance (9.00s)"));
        assert!(!is_last("    --- PASS: TestConformance/A (0.13s)") && !is_last("=== RUN   TestConformance"));
        assert!(!is_last("--- FAIL: TestConformanceOther (9.00s)"));
    }

    #[test]
    fn a_message_goes_to_the_test_that_printed_it() {
        let mut failures = FailureMessages::default();
        for line in "=== RUN   TestConformance
    suite.go:1: 2026 Test Setup: Applying base manifests
        Error:      \tReceived unexpected error:
                    \tno such class
        Test:       \tTestConformance
=== RUN   TestConformance/A
=== RUN   TestConformance/A/part
    http.go:3:
        Error Trace:\thttp.go:3
        Error:      \tcontext deadline exceeded
        Test:       \tTestConformance/A/part
        Messages:   \tno response
    apply.go:235: Deleting what the test made
--- FAIL: TestConformance/A/part (1.00s)
not a message
=== NAME  TestConformance/B
panic: runtime error"
            .lines()
        {
            failures.line(line);
        }
        assert_eq!(failures.of("A"), ["context deadline exceeded", "no response"]);
        assert_eq!(failures.of("B"), ["runtime error"]);
        assert_eq!(failures.of(""), ["Received unexpected error:", "no such class"]);
        assert!(failures.of("C").is_empty());
    }
}
