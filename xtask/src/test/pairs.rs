//! The whole gateway over every pair of steering and I/O.
//!
//! The binaries of [`EVERY_PAIR`] leave both to the environment, and run once per pair; all other tests run
//! once. So what a test says with its place is whether it needs one particular way, and nothing is skipped
//! within a binary.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::{io, thread};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use serde_json::Value;

use super::count::Count;
use crate::cargo::{QUICK, cargo, workspace};

/// Read by `tests/common/pair.rs` of the package `sluice`.
pub(super) const VARIABLE: &str = "SLUICE_TEST_PAIR";

/// Test binaries of the package `sluice` that hold for every pair; the longest first, so that none is left
/// over at the end.
pub(super) const EVERY_PAIR: [&str; 14] = [
    "overload",
    "live_edits",
    "config_fire",
    "lifecycle",
    "traffic",
    "scenario",
    "operators",
    "admin",
    "records",
    "protocols",
    "roles",
    "placement",
    "ports",
    "deaths",
];

/// Binaries that run at the same time. Each test has a network namespace of its own, and most of them wait
/// most of the time.
const BESIDE: usize = 2;

/// Steering and I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Pair {
    #[value(name = "ebpf/uring")]
    EbpfUring,
    #[value(name = "ebpf/epoll")]
    EbpfEpoll,
    #[value(name = "reuseport/uring")]
    ReuseportUring,
    #[value(name = "reuseport/epoll")]
    ReuseportEpoll,
}

impl Pair {
    /// The pair that tests run on by default.
    pub(super) const DEFAULT: Self = Self::EbpfUring;
    /// The others.
    pub(super) const OTHERS: [Self; 3] = [Self::EbpfEpoll, Self::ReuseportUring, Self::ReuseportEpoll];

    /// As the environment and the command line spell it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::EbpfUring => "ebpf/uring",
            Self::EbpfEpoll => "ebpf/epoll",
            Self::ReuseportUring => "reuseport/uring",
            Self::ReuseportEpoll => "reuseport/epoll",
        }
    }
}

/// Runs every binary of [`EVERY_PAIR`] on each of `pairs` and counts by pair. The output of a binary comes in
/// one piece when it has ended.
pub(super) fn run(pairs: &[Pair], filter: Option<&str>) -> Result<BTreeMap<Pair, Count>> {
    let binaries = build()?;
    let jobs = pairs.iter().flat_map(|pair| EVERY_PAIR.iter().map(|name| (*pair, *name)));
    let waiting = Mutex::new(jobs.collect::<VecDeque<_>>());
    let counts = Mutex::new(BTreeMap::new());
    let worker = || -> Result<()> {
        loop {
            let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((pair, name)) = job else { return Ok(()) };
            let binary = binaries.get(name).with_context(|| format!("cargo built no test {name}"))?;
            let count = run_one(pair, name, binary, filter)?;
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            counts.entry(pair).or_insert_with(Count::default).merge(count);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..BESIDE).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(done) => done,
            Err(_) => bail!("a thread that ran tests panicked"),
        })
    })?;
    Ok(counts.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn run_one(pair: Pair, name: &str, binary: &PathBuf, filter: Option<&str>) -> Result<Count> {
    let mut command = Command::new(binary);
    // As cargo does.
    command.current_dir(workspace().join("gateway-user/gateway"));
    command.env(VARIABLE, pair.name()).args(filter).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("starting {}", binary.display()))?;
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let mut count = Count::default();
    text.lines().for_each(|line| count.add(line));
    let mut terminal = io::stdout().lock();
    writeln!(terminal, "\n     Running tests/{name} over {}\n{errors}{text}", pair.name())?;
    if !output.status.success() && count.failed == 0 {
        // It ended without counting: killed, or never began.
        count.failed = 1;
        writeln!(terminal, "tests/{name} over {}: {}", pair.name(), output.status)?;
    }
    Ok(count)
}

/// Builds all tests, as a run of all of them does, so that nothing is built twice; gives those of
/// `sluice` by name.
fn build() -> Result<BTreeMap<String, PathBuf>> {
    let mut command =
        cargo(&["test", "--profile", QUICK, "--workspace", "--exclude", "gateway-ebpf", "--no-run"]);
    command.args(["--message-format", "json-render-diagnostics"]).stderr(Stdio::inherit());
    let output = command.output().context("starting cargo")?;
    if !output.status.success() {
        bail!("the tests cannot be built");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| test_of_sluice(&serde_json::from_str(line).ok()?)).collect())
}

/// Name and executable, if cargo's message is about an integration test of `sluice`.
fn test_of_sluice(message: &Value) -> Option<(String, PathBuf)> {
    let target = &message["target"];
    let is_ours =
        target["kind"][0] == "test" && target["src_path"].as_str()?.contains("/gateway-user/gateway/tests/");
    let name = target["name"].as_str()?.to_owned();
    is_ours.then_some((name, PathBuf::from(message["executable"].as_str()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of a test binary: of its file, or of every file of its folder.
    fn text_of(name: &str) -> String {
        let tests = workspace().join("gateway-user/gateway/tests");
        let folder =
            std::fs::read_dir(tests.join(name)).into_iter().flatten().flatten().map(|entry| entry.path());
        let files: Vec<_> = folder.chain([tests.join(name).with_extension("rs")]).collect();
        files.iter().filter_map(|file| std::fs::read_to_string(file).ok()).collect()
    }

    #[test]
    fn what_runs_on_every_pair_exists_and_asks_for_no_particular_one() {
        for name in EVERY_PAIR {
            let text = text_of(name);
            assert!(text.contains("#[test]"), "there is no test {name}");
            for flag in ["\"--steering\"", "\"--io\""] {
                assert!(
                    !text.contains(flag),
                    "the test {name} gives {flag}: such a test runs once, elsewhere"
                );
            }
        }
    }

    #[test]
    fn pairs_are_spelled_as_on_the_command_line() {
        for pair in Pair::value_variants() {
            assert_eq!(pair.to_possible_value().unwrap().get_name(), pair.name());
        }
    }

    #[test]
    fn tests_are_found_in_what_cargo_says() {
        let message = serde_json::json!({
            "reason": "compiler-artifact", "executable": "/t/debug/deps/traffic-1",
            "target": {"kind": ["test"], "name": "traffic", "src_path": "/s/gateway-user/gateway/tests/traffic.rs"},
        });
        assert_eq!(test_of_sluice(&message), Some(("traffic".into(), "/t/debug/deps/traffic-1".into())));
        let mut other = message.clone();
        other["target"]["src_path"] = "/s/gateway-user/proxy/tests/traffic.rs".into();
        assert_eq!(test_of_sluice(&other), None);
    }
}
