//! The bars of `bench/bars.toml`, each a figure that a change must not miss.
//!
//! A row that no field here has, and a field without a row, are errors that name it; a field that nothing reads does not
//! compile. The table `[guard]` is [`crate::bench`]'s, which also writes it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};

use crate::cargo::workspace;

/// Path in the checkout.
pub(crate) const FILE: &str = "bench/bars.toml";

/// All of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Bars {
    /// Of instructions, read by `bench guard`.
    #[serde(rename = "guard")]
    _guard: IgnoredAny,
    /// Read by `conformance`, which is another crate's.
    #[serde(rename = "succession")]
    _succession: IgnoredAny,
    /// By scenario and what Sluice is held against: its CPU per request as a multiple of that one's.
    pub(crate) smoke: BTreeMap<String, BTreeMap<Against, Bar>>,
    pub(crate) idle: Idle,
    pub(crate) scale: Scale,
    pub(crate) edits: Edits,
    pub(crate) nodes: Nodes,
    pub(crate) moves: Moves,
    pub(crate) attacks: Attacks,
    pub(crate) memory: Memory,
    pub(crate) overload: Overload,
}

/// The other side of a ratio; of several the cheapest.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Against {
    Nginx,
    Haproxy,
    NginxAndHaproxy,
    /// nginx and HAProxy, with splice(2) and without.
    Streams,
    Peers,
    Floor,
    OneRoute,
}

/// `bench smoke --only idle`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Idle {
    #[serde(rename = "tls-1-3-bytes")]
    pub(crate) tls_1_3_bytes: Bar,
    #[serde(rename = "tls-1-2-bytes")]
    pub(crate) tls_1_2_bytes: Bar,
}

/// `bench scale`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Scale {
    pub(crate) run_kib_per_route: Bar,
    pub(crate) node_kib_per_route: Bar,
    pub(crate) controller_kib_per_route: Bar,
}

/// `bench edits`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Edits {
    pub(crate) route_ms: Bar,
    pub(crate) listener_removal_ms: Bar,
}

/// `bench nodes`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Nodes {
    pub(crate) spread_ms: Bar,
    pub(crate) growth: Bar,
}

/// `bench moves`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Moves {
    pub(crate) seconds: Bar,
}

/// `http2-test --only attacks`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Attacks {
    pub(crate) frames: Bar,
    pub(crate) cpu_ms: Bar,
    pub(crate) cpu_us_per_honest_frame: Bar,
    pub(crate) unoptimised_cpu: Bar,
    pub(crate) growth_mib: Bar,
    pub(crate) neighbours: Bar,
}

/// `http2-test --only memory`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Memory {
    pub(crate) idle_clear_text_bytes: Bar,
    pub(crate) idle_tls_bytes: Bar,
    pub(crate) stalled_response_bytes: Bar,
    pub(crate) left_mib: Bar,
}

/// `overload-test`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Overload {
    pub(crate) regex_p99: Bar,
    pub(crate) handshakes_p99: Bar,
    pub(crate) backend_handshakes_p99: Bar,
}

/// A figure above 0.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) struct Bar(f64);

impl Bar {
    pub(crate) fn figure(self) -> f64 {
        self.0
    }

    /// Of a row of whole things.
    pub(crate) fn count(self) -> u64 {
        self.0 as u64
    }

    /// Of a row in milliseconds.
    pub(crate) fn milliseconds(self) -> Duration {
        Duration::from_secs_f64(self.0 / 1e3)
    }

    /// Of a row in microseconds.
    pub(crate) fn microseconds(self) -> Duration {
        Duration::from_secs_f64(self.0 / 1e6)
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Bar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let figure = f64::deserialize(deserializer)?;
        if !figure.is_finite() || figure <= 0.0 {
            return Err(D::Error::custom(format!("{figure}: a bar is a number above 0")));
        }
        Ok(Self(figure))
    }
}

impl Bars {
    /// Reads the file of this checkout.
    ///
    /// # Errors
    /// It cannot be read, a row is missing, unknown, or no number above 0.
    pub(crate) fn read() -> Result<Self> {
        let text = fs::read_to_string(workspace().join(FILE)).context(FILE)?;
        Self::parse(&text).context(FILE)
    }

    fn parse(text: &str) -> Result<Self> {
        Ok(toml_edit::de::from_str(text)?)
    }

    /// Those of one scenario.
    ///
    /// # Errors
    /// It has none.
    pub(crate) fn of_scenario(&self, name: &str) -> Result<&BTreeMap<Against, Bar>> {
        self.smoke.get(name).with_context(|| format!("{FILE}: there is no table [smoke.{name}]: add it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        fs::read_to_string(workspace().join(FILE)).unwrap()
    }

    fn error(text: &str) -> String {
        format!("{:#}", Bars::parse(text).unwrap_err())
    }

    #[test]
    fn the_file_has_every_row_and_no_other() {
        Bars::read().unwrap();
        let with = |more: &str| error(&text().replace("[nodes]\n", &format!("[nodes]\n{more}\n")));
        assert!(with("spraed-ms = 5").contains("unknown field `spraed-ms`"), "{}", with("spraed-ms = 5"));
        assert!(error(&format!("{}\n[nodse]\nspread-ms = 5\n", text())).contains("nodse"));
        assert!(error(&text().replace("nginx-and-haproxy", "nginx-or-haproxy")).contains("nginx-or-haproxy"));
    }

    #[test]
    fn a_row_that_is_missing_or_no_number_is_named() {
        for (row, table) in [("spread-ms", "nodes"), ("idle-tls-bytes", "memory"), ("cpu-ms", "attacks")] {
            let is_row = |line: &&str| line.starts_with(&format!("{row} ="));
            assert_eq!(text().lines().filter(is_row).count(), 1, "{row}");
            let without: Vec<_> = text().lines().filter(|line| !is_row(line)).map(str::to_owned).collect();
            let error_without = error(&without.join("\n"));
            assert!(error_without.contains(row) && error_without.contains(table), "{error_without}");
            for figure in ["0", "-1", "\"5\"", "nan"] {
                let changed: Vec<_> = text()
                    .lines()
                    .map(|line| if is_row(&line) { format!("{row} = {figure}") } else { line.to_owned() })
                    .collect();
                assert!(error(&changed.join("\n")).contains(row), "{figure}");
            }
        }
    }

    #[test]
    fn every_row_names_its_command() {
        let text = text();
        let mut commands = Vec::new();
        for line in text.lines() {
            match line.chars().next() {
                Some('#') => commands.push(line.contains("cargo xtask ")),
                Some('[') => assert!(commands.drain(..).any(|named| named), "{line}: by which command?"),
                _ => {}
            }
        }
    }
}
