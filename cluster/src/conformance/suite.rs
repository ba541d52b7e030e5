//! The suite's test program, run in the cluster's network, and its output as it comes.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Args;
use super::gateway::{UNUSABLE, USABLE};
use super::install::GATEWAY_CLASS;
use super::outcome::{EndedTest, FailureMessages, Verdict, ended_test, is_last};
use crate::handle::Cluster;
use crate::process::{self, Process};

/// Results of a run of the suite.
#[derive(Default)]
pub(super) struct Run {
    /// Every test that ended, in order.
    pub(super) tests: Vec<EndedTest>,
    /// The program's own verdict over all.
    pub(super) succeeded: bool,
    /// True if the suite came to its end; a panic or the program's time limit cuts it short.
    pub(super) whole: bool,
    pub(super) failures: FailureMessages,
    pub(super) took: Duration,
}

/// The suite's report, as it writes it.
pub(super) const REPORT: &str = "report.yaml";
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Time limits of the suite in seconds, for `--hurry`: far above what a working gateway needs on a machine
/// with nothing else to do. It can only fail more tests than the suite's own.
const SHORT_TIMEOUTS: [(&str, u32); 18] = [
    ("GatewayMustHaveAddress", 20),
    ("GatewayMustHaveCondition", 20),
    ("GatewayStatusMustHaveListeners", 15),
    ("GatewayListenersMustHaveConditions", 15),
    ("ListenerSetMustHaveCondition", 15),
    ("ListenerSetListenersMustHaveConditions", 15),
    ("GWCMustBeAccepted", 15),
    ("HTTPRouteMustNotHaveParents", 15),
    ("HTTPRouteMustHaveCondition", 15),
    ("TLSRouteMustHaveCondition", 15),
    ("TCPRouteMustHaveCondition", 15),
    ("UDPRouteMustHaveCondition", 15),
    ("RouteMustHaveParents", 15),
    ("MaxTimeToConsistency", 15),
    ("NamespacesMustBeReady", 60),
    ("LatestObservedGenerationSet", 15),
    ("DefaultTestTimeout", 20),
    ("RequestTimeout", 5),
];

/// The implementation that the report names. No field may be empty; the project has no address of its own on
/// the Web, so a report that leaves it takes the URL of the repository that it was made in.
const IMPLEMENTATION: [&str; 4] =
    ["-organization=Sluice", "-project=Sluice", "-url=README.md", "-contact=CONTRIBUTING.md"];

/// Runs the suite, which is started by `command`, to its end; prints each test as it ends.
pub(super) fn run(
    args: &Args,
    mut command: Command,
    cluster: &Cluster,
    dir: &Path,
    mut gateway_runs: impl FnMut() -> Result<()>,
) -> Result<Run> {
    command.env("KUBECONFIG", cluster.kubeconfig()).args(flags(args, dir));
    let began = Instant::now();
    let mut process = Process::spawn("suite", dir, &mut command)?;
    let mut output = Output::open(&dir.join("suite.out"))?;
    let mut run = Run::default();
    loop {
        process::check_interrupt()?;
        gateway_runs().context("while the suite ran")?;
        let status = process.exit_status()?;
        for line in output.lines()? {
            run.failures.line(&line);
            run.whole |= is_last(&line);
            if let Some(test) = ended_test(&line) {
                announce(&test);
                run.tests.push(test);
            }
        }
        if let Some(status) = status {
            run.succeeded = status.success();
            // A Go test program that panics ends with another code than one whose tests failed.
            run.whole &= matches!(status.code(), Some(0 | 1));
            break;
        }
        thread::sleep(POLL_INTERVAL);
    }
    run.took = began.elapsed();
    ensure!(!run.tests.is_empty(), "no test ran: {}", nothing(&run, &process.stderr()));
    Ok(run)
}

/// The suite's own flags. None names supported features: the suite asks the GatewayClass.
fn flags(args: &Args, dir: &Path) -> Vec<String> {
    let mut flags = vec![
        "-test.run=^TestConformance$".to_owned(),
        "-test.v".to_owned(),
        format!("-gateway-class={GATEWAY_CLASS}"),
        format!("-conformance-profiles={}", args.profiles.join(",")),
        format!("-usable-address={USABLE}"),
        format!("-unusable-address={UNUSABLE}"),
        format!("-only={}", args.run_test.join(",")),
        format!("-report-output={}", dir.join(REPORT).display()),
        format!("-version={}", env!("CARGO_PKG_VERSION")),
    ];
    flags.extend(IMPLEMENTATION.map(str::to_owned));
    if args.hurry {
        let limits: Vec<_> =
            SHORT_TIMEOUTS.iter().map(|(name, seconds)| format!("{name}:{seconds}")).collect();
        flags.push(format!("-timeout-config-overrides={}", limits.join(";")));
    }
    flags
}

fn announce(test: &EndedTest) {
    let word = match test.verdict {
        Verdict::Passed => "pass",
        Verdict::Failed => "FAIL",
        // Counted at the end; most are of features that are not claimed.
        Verdict::Skipped => return,
    };
    println!("{word} {} ({:.1} s)", test.name, test.seconds);
}

/// Why no test ran, as far as the program said.
fn nothing(run: &Run, standard_error: &str) -> String {
    match run.failures.of("") {
        [] => standard_error.to_owned(),
        said => said.join(" "),
    }
}

/// A file that grows.
struct Output {
    file: File,
    rest: Vec<u8>,
}

impl Output {
    fn open(path: &Path) -> Result<Self> {
        Ok(Self {
            file: File::open(path).with_context(|| format!("reading {}", path.display()))?,
            rest: Vec::new(),
        })
    }

    /// Lines that have come whole since the last call.
    fn lines(&mut self) -> Result<Vec<String>> {
        self.file.read_to_end(&mut self.rest)?;
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return Ok(Vec::new()) };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        Ok(String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use gateway_testkit::scratch::Scratch;

    use super::*;

    #[test]
    fn lines_come_once_and_whole() {
        let dir = Scratch::new("output").unwrap();
        let mut file = File::create(dir.join("out")).unwrap();
        let mut output = Output::open(&dir.join("out")).unwrap();
        file.write_all(b"one\ntw").unwrap();
        assert_eq!(output.lines().unwrap(), ["one"]);
        assert!(output.lines().unwrap().is_empty());
        file.write_all(b"o\nthree\n").unwrap();
        assert_eq!(output.lines().unwrap(), ["two", "three"]);
    }
}
