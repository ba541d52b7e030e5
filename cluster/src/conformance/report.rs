//! The suite's report: its figures for people, and the file that is handed on.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::version::Suite;

/// The parts that are read of a ConformanceReport (gateway.networking.k8s.io/v1).
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    /// Null where no test of any profile ran.
    #[serde(default)]
    profiles: Option<Vec<Profile>>,
}

#[derive(Debug, Deserialize)]
struct Profile {
    name: String,
    core: Status,
    #[serde(default)]
    extended: Option<Status>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    result: String,
    statistics: Statistics,
    #[serde(default)]
    supported_features: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statistics {
    passed: u32,
    skipped: u32,
    failed: u32,
}

impl Report {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        serde_saphyr::from_str(&text).context("the suite's report")
    }

    /// A line for each profile and level.
    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        for profile in self.profiles.iter().flatten() {
            let levels = [("core", Some(&profile.core)), ("extended", profile.extended.as_ref())];
            for (level, status) in levels.into_iter().filter_map(|(level, status)| Some((level, status?))) {
                let Statistics { passed, failed, skipped } = status.statistics;
                let _ = write!(
                    text,
                    "{} {level}: {passed} passed, {failed} failed, {skipped} skipped: {}",
                    profile.name, status.result
                );
                if level == "extended" {
                    let _ = write!(text, " ({} features claimed)", status.supported_features.len());
                }
                text.push('\n');
            }
        }
        text
    }
}

/// Writes the report where it is wanted, with what must be said beside it on top.
pub(super) fn write_with_disclosure(suite: Suite, from: &Path, to: &Path) -> Result<()> {
    let text = fs::read_to_string(from).with_context(|| format!("reading {}", from.display()))?;
    let told = suite.disclosure().map(|said| format!("# {said}\n")).unwrap_or_default();
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    }
    fs::write(to, told + &text).with_context(|| format!("writing {}", to.display()))
}

#[cfg(test)]
mod tests {
    use gateway_testkit::scratch::Scratch;

    use super::*;

    const REPORT: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: ConformanceReport
profiles:
- core:
    failedTests:
    - HTTPRouteWeight
    result: failure
    statistics:
      Failed: 1
      Passed: 35
      Skipped: 0
  extended:
    result: success
    statistics:
      Failed: 0
      Passed: 2
      Skipped: 0
    supportedFeatures:
    - HTTPRouteMethodMatching
    - HTTPRouteQueryParamMatching
  name: GATEWAY-HTTP
  summary: Core tests failed with 1 test failures.
";

    #[test]
    fn every_level_of_a_profile_has_a_line() {
        let dir = Scratch::new("report").unwrap();
        fs::write(dir.join("report.yaml"), REPORT).unwrap();
        assert_eq!(
            Report::read(&dir.join("report.yaml")).unwrap().table(),
            "GATEWAY-HTTP core: 35 passed, 1 failed, 0 skipped: failure\n\
             GATEWAY-HTTP extended: 2 passed, 0 failed, 0 skipped: success (2 features claimed)\n"
        );
    }

    #[test]
    fn a_report_of_nothing_is_read() {
        let dir = Scratch::new("report-null").unwrap();
        for text in ["mode: default\nprofiles: null\n", "mode: default\n"] {
            fs::write(dir.join("report.yaml"), text).unwrap();
            assert_eq!(Report::read(&dir.join("report.yaml")).unwrap().table(), "");
        }
    }

    #[test]
    fn a_report_says_what_was_not_as_it_should_be() {
        let dir = Scratch::new("hand-on").unwrap();
        let (from, to) = (dir.join("from"), dir.join("to"));
        fs::write(&from, REPORT).unwrap();
        write_with_disclosure(Suite::V1_6_3, &from, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), REPORT);
        write_with_disclosure(Suite::V1_7_0, &from, &to).unwrap();
        let told = fs::read_to_string(&to).unwrap();
        assert!(told.starts_with("# ") && told.lines().next().unwrap().contains("v1.6.3"), "{told}");
        assert!(told.ends_with(REPORT));
    }
}
