//! `cargo xtask conformance`: the official suite of the Gateway API against the gateway on a real cluster.
//!
//! The suite learns from the GatewayClass what the gateway claims, and is told to skip nothing.

mod account;
mod apart;
mod differing;
mod features;
pub mod gateway;
pub mod install;
mod installed;
mod observed;
mod outcome;
mod passing;
mod pod;
mod processes;
mod report;
mod separation;
mod suite;
mod verdict;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use nix::unistd::geteuid;
use serde_json::Value;

use crate::cargo::{QUICK, build_sluice};
use crate::condition;
use crate::handle::Cluster;
use crate::launch::Lifetime;
use crate::logs::Logs;
use crate::machines::{MOST, Nodes};
use crate::process::{self, until};
use crate::version::Suite;
use features::Features;
use gateway::Roles;
use install::GATEWAY_CLASS;
use observed::Observed;
use outcome::Verdict;
use passing::Passing;
use report::Report;
use suite::{REPORT, Run};
use verdict::Requirements;

/// Flags of `conformance`.
#[derive(Clone, clap::Args)]
pub struct Args {
    /// The suite's release.
    #[arg(long, value_enum, default_value_t = Suite::REFERENCE)]
    suite: Suite,
    /// Profiles whose core features are tested whether the gateway claims them or not.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "GATEWAY-HTTP,GATEWAY-GRPC,GATEWAY-TCP,GATEWAY-TLS,GATEWAY-UDP"
    )]
    profiles: Vec<String>,
    /// Fails unless every test that needs no mesh passed and every feature of gateways is claimed; writes report and
    /// features below conformance/.
    #[arg(long, conflicts_with_all = ["run_test", "regressions", "hurry"])]
    all: bool,
    /// Runs these tests only.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    run_test: Vec<String>,
    /// Writes the suite's report there; of a whole run only.
    #[arg(long, value_name = "FILE", conflicts_with = "run_test")]
    report: Option<PathBuf>,
    /// Adds tests that passed to those that must, if the run is whole and valid but for tests that failed.
    #[arg(long, conflicts_with = "run_test")]
    update: bool,
    /// Fails only if a test that must pass, or one of --run-test, did not; others may fail.
    #[arg(long)]
    regressions: bool,
    /// Of the tests that must pass, runs those that this other release of the suite has not, or has otherwise.
    #[arg(long, value_enum, value_name = "SUITE", requires = "regressions", conflicts_with_all = ["run_test", "report", "update"])]
    differing_from: Option<Suite>,
    /// The processes that the gateway is made of.
    #[arg(long, value_enum, default_value_t)]
    roles: Roles,
    /// Installs the gateway on nodes of their own as `cluster deploy` does, in place of processes on one node.
    #[arg(long, conflicts_with = "roles")]
    installed: bool,
    /// Nodes of the cluster with --installed.
    #[arg(long, default_value_t = 3, requires = "installed", value_parser = clap::value_parser!(u8).range(1..=i64::from(MOST)))]
    nodes: u8,
    /// Shortens the suite's time limits, so that a run with many failures ends soon.
    #[arg(long)]
    hurry: bool,
    /// Leaves the cluster up, with what the suite left in it and without the gateway.
    #[arg(long)]
    keep: bool,
    /// Builds the gateway with the profile `quick`.
    #[arg(long)]
    debug: bool,
    /// Tests this binary instead of building one.
    #[arg(long, value_name = "FILE", conflicts_with = "debug")]
    binary: Option<PathBuf>,
}

/// Judges the gateway; the exit code says whether it passed.
///
/// # Errors
/// The run did not come to its end.
pub fn run(args: &Args) -> Result<ExitCode> {
    ensure!(geteuid().is_root(), "conformance makes namespaces and control groups: run it as root");
    let mut passing = Passing::of(args.suite)?;
    if args.regressions {
        passing.must_name_tests()?;
    }
    let args = &choose(args, &passing)?;
    let sluice = match &args.binary {
        Some(binary) => fs::canonicalize(binary).with_context(|| format!("--binary {}", binary.display()))?,
        None => build_sluice(if args.debug { QUICK } else { "release" })?,
    };
    let program = args.suite.tests()?;
    let features = args.all.then(|| Features::ask(args.suite, &program)).transpose()?;
    let logs = Logs::make("conformance")?;
    let dir = logs.dir();
    process::stop_on_ctrl_c()?;
    let cluster = Cluster::of(&format!("conformance-{}", std::process::id()))?;
    let nodes = if args.installed { Nodes::Apart(args.nodes) } else { Nodes::Shared };
    let lifetime = if args.keep { Lifetime::Detached } else { Lifetime::Bound };
    let judged = cluster
        .start(args.suite, nodes, lifetime)
        .and_then(|()| judge(args, &sluice, &program, &cluster, dir, &mut passing))
        .and_then(|(run, mut failures)| {
            if let Some(features) = &features {
                failures.extend(features.failures(&run.tests, &gateway_class(&cluster)?));
            }
            Ok((run, failures))
        });
    if args.keep && cluster.alive()? {
        println!("kept: cargo xtask cluster --name {} kubectl …, and down", cluster.name());
    } else {
        cluster.end()?;
    }
    let (run, failures) = judged.with_context(|| format!("logs are in {}", dir.display()))?;
    print_failures(&run);
    println!("logs: {}", dir.display());
    for failure in &failures {
        eprintln!("error: {failure}");
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The flags with the tests that `--differing-from` means as those to run.
fn choose(args: &Args, passing: &Passing) -> Result<Args> {
    let mut args = args.clone();
    let Some(other) = args.differing_from else { return Ok(args) };
    args.run_test = differing::names(args.suite, other)?;
    args.run_test.retain(|name| passing.names(name));
    println!("{} of {} tests that must pass differ from suite {other}", args.run_test.len(), passing.len());
    ensure!(
        !args.run_test.is_empty(),
        "--differing-from {other}: no test that must pass differs; leave the run out"
    );
    Ok(args)
}

/// Runs gateway and suite in a cluster that is up; gives what happened and what is wrong with it.
fn judge(
    args: &Args,
    sluice: &Path,
    program: &Path,
    cluster: &Cluster,
    dir: &Path,
    passing: &mut Passing,
) -> Result<(Run, Vec<String>)> {
    let run = if args.installed { installed::run } else { processes::run };
    let mut observed = run(args, sluice, program, cluster, dir)?;
    let report = Report::read(&dir.join(REPORT))?;
    let to = args.report.clone().or_else(|| args.all.then(|| features::report_path(args.suite)));
    if let Some(to) = to {
        report::write_with_disclosure(args.suite, &dir.join(REPORT), &to)?;
    }
    print_summary(args, &observed, &report);
    let invalid = observed.invalid(args.run_test.is_empty());
    let run = observed.run;
    let requirements = Requirements { chosen: &args.run_test, passing, regressions: args.regressions };
    let mut failures = requirements.failures(&run.tests, run.succeeded);
    if args.update {
        update(passing, &run, invalid.is_empty())?;
    }
    failures.extend(invalid.iter().map(|error| format!("{error:#}")));
    Ok((run, failures))
}

fn wait_until_accepted(cluster: &Cluster, mut gateway_runs: impl FnMut() -> Result<()>) -> Result<()> {
    until("sluice accepts the GatewayClass", || {
        gateway_runs()?;
        Ok(condition::holds(&gateway_class(cluster)?["status"], "Accepted").then_some(()))
    })
}

/// The GatewayClass as the API server has it; null while there is none.
fn gateway_class(cluster: &Cluster) -> Result<Value> {
    let output = cluster.kubectl()?.args(["get", "gatewayclass", GATEWAY_CLASS, "-o", "json"]).output()?;
    Ok(serde_json::from_slice(&output.stdout).unwrap_or_default())
}

/// Adds what passed to the list, unless the run is not valid: then its passes say nothing.
fn update(passing: &mut Passing, run: &Run, valid: bool) -> Result<()> {
    if !valid {
        println!("the run is not valid: no test was added to those that must pass");
        return Ok(());
    }
    let new = passing.add(&run.tests)?;
    println!("{new} tests more must pass from now on, {} in all", passing.len());
    Ok(())
}

fn print_summary(args: &Args, observed: &Observed, report: &Report) {
    let Observed { run, counters, cost, .. } = observed;
    let count = |verdict| run.tests.iter().filter(|test| test.verdict == verdict).count();
    println!("\nsuite {}, {}:", args.suite, args.profiles.join(", "));
    if let Some(said) = args.suite.disclosure() {
        println!("{said}");
    }
    println!(
        "{} passed, {} failed, {} skipped in {:.0} s",
        count(Verdict::Passed),
        count(Verdict::Failed),
        count(Verdict::Skipped),
        run.took.as_secs_f64()
    );
    print!("{}", report.table());
    println!("connections: {} accepted, {} steered by the kernel", counters.accepted, counters.steered);
    let Some(cost) = cost else { return };
    println!(
        "sluice: {:.1} MiB resident, {:.1} MiB at most, {:.2} s of CPU",
        cost.rss_kib as f64 / 1024.0,
        cost.peak_rss_kib as f64 / 1024.0,
        cost.cpu.as_secs_f64()
    );
}

fn print_failures(run: &Run) {
    for test in run.tests.iter().filter(|test| test.verdict == Verdict::Failed) {
        println!("\n{} failed after {:.1} s:", test.name, test.seconds);
        for said in run.failures.of(&test.name) {
            println!("    {said}");
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use clap::error::ErrorKind::ArgumentConflict;
    use gateway_testkit::scratch::Scratch;

    use super::outcome::EndedTest;
    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        _args: Args,
    }

    #[test]
    fn reports_and_lists_are_of_whole_runs() {
        let parse = |words: &[&str]| Cli::try_parse_from([&["conformance"], words].concat());
        assert!(parse(&["--report", "r.yaml", "--regressions"]).is_ok());
        for whole in [&["--report", "r.yaml"][..], &["--update"]] {
            let error = parse(&[whole, &["--run-test", "A"]].concat()).err().unwrap();
            assert_eq!(error.kind(), ArgumentConflict);
        }
        let differing = ["--regressions", "--differing-from", "v1.7.0"];
        assert!(parse(&differing).is_ok());
        let error = parse(&[&differing[..], &["--report", "r.yaml"]].concat()).err().unwrap();
        assert_eq!(error.kind(), ArgumentConflict);
    }

    #[test]
    fn only_a_valid_run_adds_to_the_list() {
        let dir = Scratch::new("update").unwrap();
        let path = dir.join("passing.txt");
        let tests = vec![EndedTest { name: "A".to_owned(), verdict: Verdict::Passed, seconds: 0.0 }];
        let run = Run { tests, ..Run::default() };
        update(&mut Passing::read(&path).unwrap(), &run, false).unwrap();
        assert!(!path.exists());
        update(&mut Passing::read(&path).unwrap(), &run, true).unwrap();
        assert_eq!(Passing::read(&path).unwrap().len(), 1);
    }
}
