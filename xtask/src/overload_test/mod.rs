//! `cargo xtask overload-test`: what does a neighbour feel while another tenant does its worst?
//!
//! Each case runs in a network namespace of its own: a gateway with two tenants, the neighbour's verifying clients alone
//! first, then the same beside a crowd that misbehaves in one way.

mod case;
mod cases;
mod course;
mod expressions;
mod neighbour;
mod numbers;
mod outcome;
mod stand;
mod table;
mod turns;
mod watch;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use gateway_testkit::netns;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::geteuid;
use serde::Serialize;

use crate::cargo::{build_binary, build_sluice};
use crate::needs::{self, IP, PRLIMIT};
use crate::process;
use case::Case;
use course::Course;
use outcome::Outcome;

/// Flags of `overload-test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Cases to run, by name; all by default.
    #[arg(long, value_delimiter = ',', value_name = "CASE")]
    only: Vec<String>,
    /// Seconds that the neighbour is judged, in each case once alone and once beside the crowd.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(4..=60))]
    seconds: u32,
    /// The cargo profile to build with.
    #[arg(long, default_value = "release")]
    profile: String,
    /// The binary to judge, instead of building one.
    #[arg(long, value_name = "FILE")]
    sluice: Option<PathBuf>,
    /// Writes what was found there as JSON, every figure of every client.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What became of one case.
#[derive(Serialize)]
struct Finding {
    case: &'static str,
    /// Absent if the run itself failed.
    outcome: Option<Outcome>,
    error: Option<String>,
}

/// A crowd of 15,000 in one process, and the gateway that holds it.
const OPEN_FILES: u64 = 18_000;

/// Runs each case in turn and prints one table; fails if a neighbour's request failed or a case did not come about.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(geteuid().is_root(), "overload-test makes network namespaces: run it as root");
    let cases = case::chosen(&args.only)?;
    needs::ensure(&[IP, PRLIMIT])?;
    raise_the_limit_of_open_files()?;
    let course = Course {
        sluice: match &args.sluice {
            Some(program) => program.clone(),
            None => build_sluice(&args.profile)?,
        },
        bench: build_binary("sluice-bench", &args.profile)?,
        seconds: args.seconds,
    };
    process::stop_on_ctrl_c()?;
    let mut findings = Vec::new();
    for case in cases {
        println!("{}: {}", case.name, case.flags.join(" "));
        findings.push(judge(&course, case));
        process::check_interrupt()?;
    }
    table::print(&findings);
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&findings)? + "\n";
        fs::write(path, json).with_context(|| format!("--json {}", path.display()))?;
    }
    let complaints: Vec<String> = findings.iter().filter_map(Finding::complaint).collect();
    complaints.iter().for_each(|complaint| eprintln!("error: {complaint}"));
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Children inherit the limit.
fn raise_the_limit_of_open_files() -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    ensure!(hard >= OPEN_FILES, "the hard limit of open files is {hard}: raise it to {OPEN_FILES}");
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(())
}

fn judge(course: &Course, case: Case) -> Finding {
    let course = course.clone();
    match netns::run("overload", move |inside| course.run(&case, inside)) {
        Ok(outcome) => Finding { case: case.name, outcome: Some(outcome), error: None },
        Err(error) => Finding { case: case.name, outcome: None, error: Some(format!("{error:#}")) },
    }
}

impl Finding {
    /// Why this case fails the run: nothing may happen to a neighbour, and no case may pass because it did not happen.
    fn complaint(&self) -> Option<String> {
        let case = self.case;
        let Some(outcome) = &self.outcome else {
            return Some(format!("{case}: did not come to its end"));
        };
        let turns = outcome.neighbours.iter().flat_map(|felt| &felt.turns);
        for turn in turns {
            for (when, report) in [("alone", &turn.before), ("beside the crowd", &turn.during)] {
                if report.lost() > 0 {
                    return Some(format!(
                        "{case}: the neighbour lost {} {} requests {when}",
                        report.lost(),
                        report.mode
                    ));
                }
                if report.ok == 0 {
                    return Some(format!("{case}: the neighbour sent nothing {when}"));
                }
            }
        }
        if let Some(missed) = outcome.stopped.iter().find(|stopped| stopped.count < stopped.least) {
            return Some(format!("{case}: {} is {}, below {}", missed.what, missed.count, missed.least));
        }
        let below = outcome.below?;
        outcome.neighbours.iter().find_map(|felt| {
            let [_, _, ratio] = felt.compare(|latency| latency.p99_us);
            (ratio >= below).then(|| {
                let mode = felt.mode();
                format!("{case}: the neighbour's {mode} p99 is {ratio:.2} times what it is without, not below {below}")
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use sluice_bench::report::{Connections, Failures, Latency, Report};

    use super::outcome::{Felt, Memory, Probes, Stopped};
    use super::*;

    fn report(ok: u64, reset: u64) -> Report {
        Report {
            mode: "keep-alive".to_owned(),
            planned: ok + reset,
            sent: ok + reset,
            ok,
            failed: Failures { reset, ..Failures::default() },
            missing: 0,
            witness: None,
            connections: Connections::default(),
            latency: Latency::default(),
            seconds: 1.0,
            samples: Vec::new(),
        }
    }

    fn finding(before: Report, during: Report, count: f64) -> Finding {
        let stopped = vec![Stopped { what: "overload_pending", count, least: 10.0 }];
        let neighbours = Felt::by_client(vec![[vec![before], vec![during]]]);
        let (probes, memory) = (Probes::default(), Memory::default());
        let outcome = Outcome { neighbours, below: Some(2.0), notes: Vec::new(), probes, memory, stopped };
        Finding { case: "pending", outcome: Some(outcome), error: None }
    }

    #[test]
    fn neighbours_may_lose_nothing_and_every_case_must_come_about() {
        assert_eq!(finding(report(5, 0), report(5, 0), 10.0).complaint(), None);
        let lost = finding(report(5, 0), report(5, 1), 10.0).complaint().unwrap();
        assert_eq!(lost, "pending: the neighbour lost 1 keep-alive requests beside the crowd");
        assert!(finding(report(5, 1), report(5, 0), 10.0).complaint().is_some());
        assert!(finding(report(5, 0), report(0, 0), 10.0).complaint().is_some(), "nobody was judged");
        let missed = finding(report(5, 0), report(5, 0), 9.0).complaint().unwrap();
        assert_eq!(missed, "pending: overload_pending is 9, below 10");
        let at = |p99_us| Report { latency: Latency { p99_us, ..Latency::default() }, ..report(5, 0) };
        assert_eq!(finding(at(10), at(19), 10.0).complaint(), None);
        let late = finding(at(10), at(20), 10.0).complaint().unwrap();
        assert_eq!(
            late,
            "pending: the neighbour's keep-alive p99 is 2.00 times what it is without, not below 2"
        );
        let failed = Finding { outcome: None, ..finding(report(5, 0), report(5, 0), 10.0) };
        assert!(failed.complaint().is_some());
    }
}
