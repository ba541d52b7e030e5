//! The program whose instructions are counted, and the counting of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use gateway_testkit::scratch::Scratch;
use serde_json::Value;

use crate::cargo::{cargo, workspace};

/// The package whose unit tests have the scripted driver.
const PACKAGE: &str = "gateway-proxy";
/// Its test that makes the requests of a row; by itself it serves each row a few times.
const TEST: &str = "exchange::script_tests::guard::count";
/// Which requests it makes.
const ROW_VARIABLE: &str = "SLUICE_GUARD_ROW";
/// How many.
const REQUESTS_VARIABLE: &str = "SLUICE_GUARD_REQUESTS";
/// Optimised, but each crate by itself.
const PROFILE: &str = "guard";

/// Counts instructions of the unit tests of the data plane.
pub(super) struct Counter {
    program: PathBuf,
    scratch: Scratch,
}

impl Counter {
    /// Builds the tests, showing cargo's progress and the time it took.
    ///
    /// # Errors
    /// They cannot be built.
    pub(super) fn build() -> Result<Self> {
        eprintln!("building the tests of {PACKAGE} with the profile {PROFILE}");
        let began = Instant::now();
        let mut command = cargo(&["test", "--package", PACKAGE, "--lib", "--profile", PROFILE, "--no-run"]);
        command.args(["--message-format", "json-render-diagnostics"]).stderr(Stdio::inherit());
        let output = command.output().context("starting cargo")?;
        ensure!(output.status.success(), "the tests of {PACKAGE} cannot be built");
        let text = String::from_utf8_lossy(&output.stdout);
        let program = text.lines().find_map(|line| test_program(&serde_json::from_str(line).ok()?));
        eprintln!("built in {:.1} s", began.elapsed().as_secs_f64());
        Ok(Self {
            program: program.with_context(|| format!("cargo built no tests of {PACKAGE}"))?,
            scratch: Scratch::new("guard")?,
        })
    }

    /// Instructions that one request of a row takes: those of `2 * requests` without those of `requests`,
    /// so that the start of the program and of the row is not in it.
    ///
    /// # Errors
    /// The program cannot be run or fails, or valgrind's figures cannot be read.
    pub(super) fn per_request(&self, row: &str, requests: u64) -> Result<u64> {
        per_request(self.total(row, requests)?, self.total(row, 2 * requests)?, requests)
    }

    /// Instructions of the whole program for so many requests.
    fn total(&self, row: &str, requests: u64) -> Result<u64> {
        let figures = self.scratch.join("figures");
        let output = self.command(row, requests, &figures).output().context("starting valgrind")?;
        ensure_passed(&output)?;
        let text = fs::read_to_string(&figures).context("valgrind wrote no figures")?;
        instructions(&text)
    }

    fn command(&self, row: &str, requests: u64, figures: &Path) -> Command {
        let mut command = Command::new("valgrind");
        command.args(["--tool=cachegrind", "--cache-sim=no", "--branch-sim=no"]);
        command.arg(format!("--cachegrind-out-file={}", figures.display()));
        command.arg(&self.program).args([TEST, "--exact", "--test-threads=1"]);
        // No setting of the caller's is in the count: of the allocator, libtest, valgrind, or logs.
        command.env_clear().env(ROW_VARIABLE, row).env(REQUESTS_VARIABLE, requests.to_string());
        // As cargo does.
        command.current_dir(workspace().join("gateway-user/proxy")).stdin(Stdio::null());
        command
    }
}

/// The program of the unit tests, if cargo's message is about it.
fn test_program(message: &Value) -> Option<PathBuf> {
    let is_test = message["profile"]["test"].as_bool()? && message["target"]["kind"][0] == "lib";
    let path = PathBuf::from(message["executable"].as_str()?);
    is_test.then_some(path)
}

/// One test ran and passed. libtest calls it a success, too, if there is no test of this name.
fn ensure_passed(output: &Output) -> Result<()> {
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && text.lines().any(|line| line.starts_with("test result: ok. 1 passed;")) {
        return Ok(());
    }
    bail!(
        "{TEST} did not run or failed ({}):\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Instructions by cachegrind's file: its only event is `Ir`, and its summary has the total (Valgrind User
/// Manual, "Cachegrind output file format").
fn instructions(figures: &str) -> Result<u64> {
    let field =
        |name: &str| figures.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
    ensure!(field("events:") == Some("Ir"), "valgrind counted no instructions");
    let total = field("summary:").context("valgrind wrote no summary: the program did not end by itself")?;
    total.parse().with_context(|| format!("valgrind's summary {total:?}"))
}

/// From the totals of `requests` and of twice as many requests, to the nearest instruction.
fn per_request(once: u64, twice: u64, requests: u64) -> Result<u64> {
    match twice.checked_sub(once) {
        Some(more) if more > requests => Ok((more + requests / 2) / requests),
        _ => bail!(
            "{requests} requests took {once} instructions and twice as many took {twice}: nothing was done"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn a_request_is_what_twice_as_many_take_more() {
        assert_eq!(per_request(1_000_000, 1_500_000, 100).unwrap(), 5_000);
        assert_eq!(per_request(0, 14_998, 3).unwrap(), 4_999);
        assert_eq!(per_request(0, 14_999, 3).unwrap(), 5_000);
        for twice in [1_000_000, 999_999, 1_000_100] {
            let error = per_request(1_000_000, twice, 100).unwrap_err().to_string();
            assert!(error.contains("nothing was done"), "{error}");
        }
    }

    #[test]
    fn cachegrinds_total_is_read() {
        let file = |events: &str, end: &str| {
            format!(
                "desc: D1 cache: 32768 B\ncmd: ./t summary: 1\nevents: {events}\nfl=a.c\nfn=main\n1 6004\n{end}"
            )
        };
        assert_eq!(instructions(&file("Ir", "summary: 129205 \n")).unwrap(), 129_205);
        assert_eq!(instructions(&file("Ir I1mr ILmr", "summary: 129205 7 7\n")).unwrap(), 129_205);
        for (text, part) in [
            (file("Bc Bcm", "summary: 129205 3\n"), "no instructions"),
            (file("Ir", ""), "no summary"),
            (file("Ir", "summary: many\n"), "summary \"many\""),
            (String::new(), "no instructions"),
        ] {
            let error = instructions(&text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_test_that_did_not_run_has_not_passed() {
        let output = |code: i32, text: &str| Output {
            status: ExitStatus::from_raw(code << 8),
            stdout: text.as_bytes().to_vec(),
            stderr: b"valgrind's".to_vec(),
        };
        let passed = "\nrunning 1 test\n.\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out\n";
        ensure_passed(&output(0, passed)).unwrap();
        let none = "\nrunning 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 8 filtered out\n";
        for output in [output(0, none), output(101, passed), output(0, "")] {
            let error = ensure_passed(&output).unwrap_err().to_string();
            assert!(error.contains("did not run or failed") && error.contains("valgrind's"), "{error}");
        }
    }

    #[test]
    fn the_program_is_found_in_what_cargo_prints() {
        let message = |test: bool, kind: &str, executable: Value| {
            serde_json::json!({
                "reason": "compiler-artifact", "profile": {"test": test}, "target": {"kind": [kind]},
                "executable": executable,
            })
        };
        let program = || Value::from("/t/guard/deps/gateway_proxy-1");
        assert_eq!(
            test_program(&message(true, "lib", program())),
            Some("/t/guard/deps/gateway_proxy-1".into())
        );
        assert_eq!(test_program(&message(false, "lib", Value::Null)), None);
        assert_eq!(test_program(&message(true, "test", program())), None);
        assert_eq!(test_program(&serde_json::json!({"reason": "build-finished", "success": true})), None);
    }
}
