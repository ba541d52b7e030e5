//! Verdicts of Autobahn's suite, of each case and each way to the server.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};

/// The suite's verdict on one case.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub(super) struct Verdict {
    behavior: String,
    #[serde(rename = "behaviorClose")]
    behavior_close: String,
    #[serde(rename = "remoteCloseCode")]
    remote_close_code: Option<u16>,
}

/// Verdicts by agent, then by case.
#[derive(Debug, serde::Deserialize)]
#[serde(transparent)]
pub(super) struct Results(BTreeMap<String, BTreeMap<String, Verdict>>);

impl Results {
    /// Reads the index that the suite writes.
    ///
    /// # Errors
    /// It is not there, or of another form.
    pub(super) fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("index.json");
        let text = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))
    }

    /// How many cases each agent had, and how many of them went well.
    pub(super) fn sums(&self) -> Vec<(&str, usize, usize)> {
        let good = |cases: &BTreeMap<String, Verdict>| cases.values().filter(|one| one.is_good()).count();
        self.0.iter().map(|(agent, cases)| (agent.as_str(), cases.len(), good(cases))).collect()
    }

    /// Each case that went otherwise with an agent than with `direct`, or was not made.
    pub(super) fn differences(&self, direct: &str) -> Vec<String> {
        let Some(expected) = self.0.get(direct) else { return vec![format!("no case was made {direct}")] };
        let mut found = Vec::new();
        for (agent, seen) in self.0.iter().filter(|(agent, _)| *agent != direct) {
            for (case, want) in expected {
                let got = seen.get(case);
                if !got.is_some_and(|got| got.is_same(want)) {
                    found.push(format!("{case} {agent}: {got:?}, {direct}: {want:?}"));
                }
            }
        }
        found
    }
}

impl Verdict {
    /// The same verdict. Where a message is followed by one that breaks the protocol (cases 3.4 and 4.1.5, bit by bit) the
    /// suite allows two behaviours, and which it sees is a matter of time, direct as well: `OK` if the first one was sent
    /// back before the connection failed, else `NON-STRICT`.
    fn is_same(&self, other: &Self) -> bool {
        let either = |word: &str| if word == "NON-STRICT" { "OK".to_owned() } else { word.to_owned() };
        let columns = |verdict: &Self| {
            (either(&verdict.behavior), verdict.behavior_close.clone(), verdict.remote_close_code)
        };
        columns(self) == columns(other)
    }

    /// The protocol was kept, strictly or as far as it must be.
    fn is_good(&self) -> bool {
        [&self.behavior, &self.behavior_close]
            .iter()
            .all(|word| matches!(word.as_str(), "OK" | "NON-STRICT" | "INFORMATIONAL" | "UNIMPLEMENTED"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_that_goes_otherwise_is_found() {
        let verdict = |close: &str| serde_json::json!({"behavior": "OK", "behaviorClose": close, "remoteCloseCode": 1000, "duration": 3});
        let index = serde_json::json!({
            "direct": {"1.1": verdict("OK"), "1.2": verdict("OK"), "1.3": verdict("OK")},
            "gateway": {"1.1": verdict("OK"), "1.2": verdict("FAILED")},
        });
        let results: Results = serde_json::from_value(index).unwrap();
        let found = results.differences("direct");
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("1.2 gateway: ") && found[1].starts_with("1.3 gateway: None"));
        assert_eq!(results.sums(), [("direct", 3, 3), ("gateway", 2, 1)]);
        assert_eq!(results.differences("elsewhere").len(), 1);
        let verdict = |behavior: &str, close| Verdict {
            behavior: behavior.to_owned(),
            behavior_close: "OK".to_owned(),
            remote_close_code: close,
        };
        assert!(verdict("NON-STRICT", None).is_same(&verdict("OK", None)));
        assert!(!verdict("OK", Some(1000)).is_same(&verdict("OK", None)));
        assert!(!verdict("FAILED", None).is_same(&verdict("OK", None)));
    }
}
