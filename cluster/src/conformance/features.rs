//! The features that a suite knows and the tests that need them: the measure of `--all`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use super::outcome::{EndedTest, Verdict};
use crate::cargo::{must_succeed, workspace};
use crate::version::Suite;

/// A feature of gateways; those of meshes, and tests that need one, are not among them.
#[derive(Debug, Deserialize)]
struct Feature {
    name: String,
    tests: Vec<String>,
}

/// All features of a suite.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Features(Vec<Feature>);

impl Features {
    /// Asks the suite's program, and keeps what it says in the project, for the table in docs/conformance.md.
    pub(super) fn ask(suite: Suite, program: &Path) -> Result<Self> {
        let file = workspace().join(format!("conformance/features-{suite}.json"));
        let mut command = Command::new(program);
        command.arg("-test.run=^TestFeatures$").arg(format!("-features-output={}", file.display()));
        must_succeed(&mut command)?;
        Self::read(&file)
    }

    fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| file.display().to_string())
    }

    /// Tests that did not pass, and features that `class`, the GatewayClass, does not claim.
    pub(super) fn failures(&self, tests: &[EndedTest], class: &Value) -> Vec<String> {
        let claimed = class.pointer("/status/supportedFeatures").and_then(Value::as_array);
        let claimed: BTreeSet<_> =
            claimed.into_iter().flatten().filter_map(|feature| feature["name"].as_str()).collect();
        let unclaimed: Vec<_> = self
            .0
            .iter()
            .map(|feature| feature.name.as_str())
            .filter(|name| !claimed.contains(name))
            .collect();
        let is_passed =
            |name: &str| tests.iter().any(|test| test.name == name && test.verdict == Verdict::Passed);
        let wanted: BTreeSet<_> =
            self.0.iter().flat_map(|feature| &feature.tests).map(String::as_str).collect();
        let missing: Vec<_> = wanted.into_iter().filter(|name| !is_passed(name)).collect();
        let lists = [("tests did not pass", missing), ("features are not claimed", unclaimed)];
        let wrong = lists.into_iter().filter(|(_, names)| !names.is_empty());
        wrong.map(|(fault, names)| format!("--all: {} {fault}: {}", names.len(), names.join(", "))).collect()
    }
}

/// The place of a suite's report with `--all`.
pub(super) fn report_path(suite: Suite) -> PathBuf {
    workspace().join(format!("conformance/reports/{suite}.yaml"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_test_that_is_skipped_and_a_feature_that_is_not_claimed_are_told() {
        let features = r#"[{"name": "A", "tests": ["One", "Two"]}, {"name": "B", "tests": ["Two", "Three"]}, {"name": "C", "tests": []}]"#;
        let features: Features = serde_json::from_str(features).unwrap();
        let test = |name: &str, verdict| EndedTest { name: name.to_owned(), verdict, seconds: 0.0 };
        let class = json!({"status": {"supportedFeatures": [{"name": "A"}, {"name": "B"}]}});
        let tests = [test("One", Verdict::Passed), test("Two", Verdict::Skipped)];
        assert_eq!(
            features.failures(&tests, &class),
            ["--all: 2 tests did not pass: Three, Two", "--all: 1 features are not claimed: C"]
        );
        let class = json!({"status": {"supportedFeatures": [{"name": "A"}, {"name": "B"}, {"name": "C"}]}});
        let tests = ["One", "Two", "Three"].map(|name| test(name, Verdict::Passed));
        assert_eq!(features.failures(&tests, &class), [""; 0]);
    }

    #[test]
    fn the_committed_features_are_read() {
        for suite in [Suite::V1_6_3, Suite::V1_7_0] {
            let file = workspace().join(format!("conformance/features-{suite}.json"));
            let features = Features::read(&file).unwrap();
            assert!(features.0.iter().any(|feature| feature.name == "HTTPRoute" && feature.tests.len() > 50));
            assert!(features.0.iter().all(|feature| !feature.name.starts_with("Mesh")));
        }
    }
}
