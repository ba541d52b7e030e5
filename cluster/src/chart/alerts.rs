//! Alerts of the chart, judged by Prometheus' own tool.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::chart;
use crate::go::{self, Program};

/// Without what finds targets in clouds, which makes up most of it.
const TAGS: &str = "remove_all_sd";

/// Checks rules, and runs their tests.
pub(super) fn check() -> Result<()> {
    let module = go::module("promtool");
    let package = "github.com/prometheus/prometheus/cmd/promtool";
    let program = Program { module: &module, package, name: "promtool", tests: false, ldflags: "-s -w" };
    let program = program.build_with(TAGS)?;
    let rules = ["nodes.rules.yaml", "controllers.rules.yaml"];
    let tests = ["nodes.test.yaml", "controllers.test.yaml"];
    for (words, files) in [(["check", "rules"], rules), (["test", "rules"], tests)] {
        let mut command = Command::new(&program);
        command.current_dir(chart().join("files")).args(words).args(files);
        let output = command.output().context("starting promtool")?;
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "promtool {}: {}", words.join(" "), said.trim());
    }
    println!("promtool: rules and their tests passed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use serde_json::Value;

    use super::*;
    use crate::cargo::workspace;

    fn read(file: &str) -> String {
        fs::read_to_string(chart().join("files").join(file)).unwrap()
    }

    fn alerts(role: &str) -> Vec<Value> {
        let rules: Value = serde_saphyr::from_str(&read(&format!("{role}.rules.yaml"))).unwrap();
        rules["groups"][0]["rules"].as_array().unwrap().clone()
    }

    /// Names of metrics in an expression; labels stand in braces or after `by`.
    fn metrics(expression: &str) -> BTreeSet<String> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let words = expression.split(|c: char| !is_part(c));
        let names =
            words.filter(|word| word.starts_with("sluice_") || word.starts_with("http_server_request_d"));
        let labels = ["sluice_route", "sluice_listener"];
        names.filter(|name| !labels.contains(name)).map(str::to_owned).collect()
    }

    /// A test of an alert that nothing can raise would pass all the same.
    #[test]
    fn every_metric_of_an_alert_exists() {
        let page = fs::read_to_string(workspace().join("docs/observability.md")).unwrap();
        for alert in ["nodes", "controllers"].into_iter().flat_map(alerts) {
            let names = metrics(alert["expr"].as_str().unwrap());
            assert!(!names.is_empty(), "{alert}");
            for name in names {
                let name = name.trim_end_matches("_count");
                assert!(page.contains(&format!("`{name}`")), "docs/observability.md has no {name}");
            }
        }
    }

    #[test]
    fn every_alert_is_tested_and_documented() {
        let page = fs::read_to_string(workspace().join("docs/observability.md")).unwrap();
        for role in ["nodes", "controllers"] {
            let tests = read(&format!("{role}.test.yaml"));
            for alert in alerts(role) {
                let name = alert["alert"].as_str().unwrap();
                assert!(tests.contains(&format!("alertname: {name}\n")), "{name} is never raised in a test");
                assert!(page.contains(&format!("`{name}`")), "docs/observability.md has no {name}");
            }
        }
    }
}
