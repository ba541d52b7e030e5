//! The gateway's own account of requests that failed: its access log tells a backend's pause from one of its own.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use sluice_bench::report::{Report, Sample};
use sluice_cluster::deploy::release::{Release, Role};

/// Failures of each client that are looked up.
pub(super) const SHOWN: usize = 3;
/// Fields of a line that say where the time went.
const FIELDS: [&str; 5] = ["start_time", "response_code", "reason", "duration_ms", "upstream_ms"];

/// The lines about failed requests of these clients in the logs of nodes' pods that are there, of so much time; a line for
/// people each. Messages of conversations have none.
///
/// # Errors
/// kubectl fails.
pub(super) fn lines(release: &Release, clients: &[Report], time: Duration) -> Result<Vec<String>> {
    let failed: Vec<_> = clients.iter().flat_map(|client| client.samples.iter().take(SHOWN)).collect();
    if failed.is_empty() {
        return Ok(Vec::new());
    }
    let mut lines = Vec::new();
    for pod in release.pods(Role::Nodes)? {
        let mut log = release.log(Role::Nodes, &pod, "node", time)?;
        // Pods of another version may have none.
        log.push_str(&release.log(Role::Nodes, &pod, "spare", time).unwrap_or_default());
        lines.extend(log.lines().filter_map(|line| describe(&pod, line, &failed)));
    }
    Ok(lines)
}

fn describe(pod: &str, line: &str, failed: &[&Sample]) -> Option<String> {
    let sample = failed.iter().find(|sample| line.contains(&format!("id={}", sample.id)))?;
    let line: Value = serde_json::from_str(line).ok()?;
    let fields: Vec<_> = FIELDS.iter().map(|field| format!("{field} {}", line[field])).collect();
    Some(format!("{pod} of {}: {}", sample.id, fields.join(", ")))
}

#[cfg(test)]
mod tests {
    use sluice_bench::report::FailureKind;

    use super::*;

    #[test]
    fn a_line_says_whose_the_time_was() {
        let sample = |id: &str| Sample {
            id: id.to_owned(),
            at_ms: 1,
            kind: FailureKind::Timeout,
            detail: String::new(),
        };
        let line =
            r#"{"path":"/download/1?id=00000a","response_code":200,"duration_ms":9000,"upstream_ms":8990}"#;
        let said = describe("node-1", line, &[&sample("00000b"), &sample("00000a")]).unwrap();
        assert_eq!(
            said,
            "node-1 of 00000a: start_time null, response_code 200, reason null, duration_ms 9000, upstream_ms 8990"
        );
        assert_eq!(describe("node-1", line, &[&sample("00000b")]), None);
        assert_eq!(describe("node-1", "00000a is no line of JSON", &[&sample("00000a")]), None);
    }
}
