//! `cargo xtask overload-test`: a neighbour's latency and lost requests while another tenant
//! overloads the gateway.
//!
//! Each case runs in a network namespace of its own: a gateway with two tenants, the neighbour's verifying
//! clients alone first, then the same beside abusers that misbehave in one way.

mod case;
mod cases;
mod expressions;
mod metrics_reader;
mod monitor;
mod neighbour;
mod outcome;
mod rounds;
mod run;
mod table;
mod testbed;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use gateway_testkit::netns;
use nix::unistd::geteuid;
use serde::Serialize;

use crate::cargo::{build_binary, build_sluice};
use crate::needs::{self, IP, PRLIMIT};
use crate::process;
use crate::testbed::raise_open_files;
use case::Case;
use outcome::Outcome;
use run::Run;

/// Flags of `overload-test`.
#[derive(clap::Args)]
pub struct Args {
    /// Cases to run, by name; all by default.
    #[arg(long, value_delimiter = ',', value_name = "CASE")]
    only: Vec<String>,
    /// Seconds that the neighbour is measured, in each case once alone and once beside the abusers.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(4..=60))]
    seconds: u32,
    /// The cargo profile to build with.
    #[arg(long, default_value = "release")]
    profile: String,
    /// The binary to test, instead of building one.
    #[arg(long, value_name = "FILE")]
    sluice: Option<PathBuf>,
    /// Writes what was found there as JSON, every figure of every client.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Result of one case.
#[derive(Serialize)]
struct CaseResult {
    case: &'static str,
    /// Absent if the run itself failed.
    outcome: Option<Outcome>,
    error: Option<String>,
}

/// For 15,000 abusers in one process, and the gateway that holds their connections.
const OPEN_FILES: u64 = 18_000;

/// Runs each case in turn and prints one table; fails if a neighbour's request failed or a case did
/// not come about.
///
/// # Errors
/// This process is not root, an argument is wrong, or a program cannot be built or started.
pub fn run(args: &Args) -> Result<ExitCode> {
    ensure!(geteuid().is_root(), "overload-test makes network namespaces: run it as root");
    let cases = case::chosen(&args.only)?;
    needs::ensure(&[IP, PRLIMIT])?;
    raise_open_files(OPEN_FILES)?;
    let run = Run {
        sluice: match &args.sluice {
            Some(program) => program.clone(),
            None => build_sluice(&args.profile)?,
        },
        bench: build_binary("sluice-bench", &args.profile)?,
        seconds: args.seconds,
    };
    process::stop_on_ctrl_c()?;
    let mut results = Vec::new();
    for case in cases {
        println!("{}: {}", case.name, case.flags.join(" "));
        results.push(run_case(&run, case));
        process::check_interrupt()?;
    }
    table::print(&results);
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&results)? + "\n";
        fs::write(path, json).with_context(|| format!("--json {}", path.display()))?;
    }
    let failures: Vec<String> = results.iter().filter_map(CaseResult::failure).collect();
    failures.iter().for_each(|failure| eprintln!("error: {failure}"));
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_case(run: &Run, case: Case) -> CaseResult {
    let run = run.clone();
    match netns::run("overload", move |inside| run.run(&case, inside)) {
        Ok(outcome) => CaseResult { case: case.name, outcome: Some(outcome), error: None },
        Err(error) => CaseResult { case: case.name, outcome: None, error: Some(format!("{error:#}")) },
    }
}

impl CaseResult {
    /// Why this case fails the run: nothing may happen to a neighbour, and no case may pass because it
    /// did not happen.
    fn failure(&self) -> Option<String> {
        let case = self.case;
        let Some(outcome) = &self.outcome else {
            return Some(format!("{case}: did not come to its end"));
        };
        let turns = outcome.neighbours.iter().flat_map(|client| &client.turns);
        for round in turns {
            for (when, report) in [("alone", &round.before), ("beside the abusers", &round.during)] {
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
        outcome.neighbours.iter().find_map(|client| {
            let [_, _, ratio] = client.compare(|latency| latency.p99_us);
            (ratio >= below).then(|| {
                let mode = client.mode();
                format!("{case}: the neighbour's {mode} p99 is {ratio:.2} times what it is without, not below {below}")
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use sluice_bench::report::{Connections, Conversations, Failures, Latency, Report};

    use super::outcome::{ClientLatency, Memory, Probes, ProofCount};
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
            conversations: Conversations::default(),
            latency: Latency::default(),
            longest_gap_us: 0,
            seconds: 1.0,
            samples: Vec::new(),
        }
    }

    fn result(before: Report, during: Report, count: f64) -> CaseResult {
        let stopped = vec![ProofCount { what: "overload_pending", count, least: 10.0 }];
        let neighbours = ClientLatency::by_client(vec![[vec![before], vec![during]]]);
        let (probes, memory) = (Probes::default(), Memory::default());
        let outcome = Outcome { neighbours, below: Some(2.0), notes: Vec::new(), probes, memory, stopped };
        CaseResult { case: "pending", outcome: Some(outcome), error: None }
    }

    #[test]
    fn neighbours_may_lose_nothing_and_every_case_must_come_about() {
        assert_eq!(result(report(5, 0), report(5, 0), 10.0).failure(), None);
        let lost = result(report(5, 0), report(5, 1), 10.0).failure().unwrap();
        assert_eq!(lost, "pending: the neighbour lost 1 keep-alive requests beside the abusers");
        assert!(result(report(5, 1), report(5, 0), 10.0).failure().is_some());
        assert!(result(report(5, 0), report(0, 0), 10.0).failure().is_some(), "nothing was measured");
        let missed = result(report(5, 0), report(5, 0), 9.0).failure().unwrap();
        assert_eq!(missed, "pending: overload_pending is 9, below 10");
        let at = |p99_us| Report { latency: Latency { p99_us, ..Latency::default() }, ..report(5, 0) };
        assert_eq!(result(at(10), at(19), 10.0).failure(), None);
        let late = result(at(10), at(20), 10.0).failure().unwrap();
        assert_eq!(
            late,
            "pending: the neighbour's keep-alive p99 is 2.00 times what it is without, not below 2"
        );
        let failed = CaseResult { outcome: None, ..result(report(5, 0), report(5, 0), 10.0) };
        assert!(failed.failure().is_some());
    }
}
