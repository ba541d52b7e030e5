//! `cargo xtask conformance`: the official suite of the Gateway API judges the gateway on a real cluster.
//!
//! The suite learns from the GatewayClass what the gateway claims, and is told to skip nothing.

pub(crate) mod gateway;
pub(crate) mod install;
mod outcome;
mod passing;
mod report;
mod steering;
mod suite;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use nix::unistd::geteuid;
use serde_json::Value;

use crate::cache;
use crate::cargo::build_sluice;
use crate::cluster::place::Place;
use crate::cluster::version::Suite;
use crate::cluster::{self, Life};
use crate::process::{self, until};
use gateway::{Cost, Gateway};
use install::GATEWAY_CLASS;
use outcome::Verdict;
use passing::Passing;
use report::Report;
use steering::Counted;
use suite::{REPORT, Run};

/// Flags of `conformance`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The suite's release.
    #[arg(long, value_enum, default_value_t = Suite::REFERENCE)]
    suite: Suite,
    /// Profiles whose core features are judged whether the gateway claims them or not.
    #[arg(long, value_delimiter = ',', default_value = "GATEWAY-HTTP")]
    profiles: Vec<String>,
    /// Runs these tests only.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    run_test: Vec<String>,
    /// Writes the suite's report there.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Adds tests that passed to those that must.
    #[arg(long)]
    update: bool,
    /// Fails only if a test that must pass did not; others may fail.
    #[arg(long)]
    regressions: bool,
    /// Shortens the suite's time limits, so that a run with many failures ends soon.
    #[arg(long)]
    hurry: bool,
    /// Leaves the cluster up, with what the suite left in it and without the gateway.
    #[arg(long)]
    keep: bool,
    /// Builds the gateway without optimisation.
    #[arg(long)]
    debug: bool,
    /// Judges this binary instead of building one.
    #[arg(long, value_name = "FILE", conflicts_with = "debug")]
    binary: Option<PathBuf>,
}

/// Runs whose logs are kept.
const KEPT: usize = 10;

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(geteuid().is_root(), "conformance makes namespaces and control groups: run it as root");
    let sluice = match &args.binary {
        Some(binary) => fs::canonicalize(binary).with_context(|| format!("--binary {}", binary.display()))?,
        None => build_sluice(if args.debug { "dev" } else { "release" })?,
    };
    let program = args.suite.tests()?;
    let dir = directory()?;
    process::stop_on_ctrl_c()?;
    let place = Place::of(&format!("conformance-{}", std::process::id()))?;
    let life = if args.keep { Life::Detached } else { Life::Ours };
    let judged = cluster::start(&place, args.suite, true, life)
        .and_then(|()| judge(args, &sluice, &program, &place, &dir));
    if args.keep {
        println!("kept: cargo xtask cluster --name {} kubectl …, and down", place.name());
    } else {
        cluster::end(&place)?;
    }
    let (run, complaints) = judged.with_context(|| format!("logs are in {}", dir.display()))?;
    print_failures(&run);
    println!("logs: {}", dir.display());
    for complaint in &complaints {
        eprintln!("error: {complaint}");
    }
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs gateway and suite in a cluster that is up; gives what happened and what is wrong with it.
fn judge(
    args: &Args,
    sluice: &Path,
    program: &Path,
    place: &Place,
    dir: &Path,
) -> Result<(Run, Vec<String>)> {
    install::install(place)?;
    let mut gateway = Gateway::start(sluice, place, dir)?;
    println!("sluice is ready; waiting until it accepts the GatewayClass");
    wait_until_accepted(place, &mut gateway)?;
    println!("running suite {} with {}", args.suite, args.profiles.join(", "));
    let run = suite::run(args, program, place, dir, &mut gateway)?;
    let (counted, cost) = (gateway.counted()?, gateway.cost()?);
    let stopped = gateway.stop();
    let report = Report::read(&dir.join(REPORT))?;
    if let Some(to) = &args.report {
        report::hand_on(args.suite, &dir.join(REPORT), to)?;
    }
    print_summary(args, &run, &report, counted, &cost);
    let mut complaints = verdict(args, &run)?;
    complaints.extend(counted.judge(args.run_test.is_empty()).err().map(|e| e.to_string()));
    complaints.extend(stopped.err().map(|e| format!("{e:#}")));
    Ok((run, complaints))
}

fn wait_until_accepted(place: &Place, gateway: &mut Gateway<'_>) -> Result<()> {
    until("sluice accepts the GatewayClass", || {
        gateway.must_run()?;
        let output =
            cluster::kubectl(place)?.args(["get", "gatewayclass", GATEWAY_CLASS, "-o", "json"]).output()?;
        let class: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let conditions = class["status"]["conditions"].as_array();
        let accepted = conditions
            .is_some_and(|all| all.iter().any(|c| c["type"] == "Accepted" && c["status"] == "True"));
        Ok(accepted.then_some(()))
    })
}

/// What is wrong with the run, by the list of tests that must pass and by the suite itself.
fn verdict(args: &Args, run: &Run) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    let mut passing = Passing::of(args.suite)?;
    let missing = passing.missing(&run.tests, &args.run_test);
    if !missing.is_empty() {
        complaints.push(format!("{} tests that must pass did not: {}", missing.len(), missing.join(", ")));
    }
    if !run.well && !args.regressions {
        complaints.push("the suite failed".to_owned());
    }
    if args.update {
        let new = passing.add(&run.tests)?;
        println!("{new} tests more must pass from now on, {} in all", passing.len());
    }
    Ok(complaints)
}

fn print_summary(args: &Args, run: &Run, report: &Report, counted: Counted, cost: &Cost) {
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
    println!("connections: {} accepted, {} steered by the kernel", counted.accepted, counted.steered);
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
        for said in run.complaints.of(&test.name) {
            println!("    {said}");
        }
    }
}

/// A directory for the logs of this run; old ones go.
fn directory() -> Result<PathBuf> {
    let all = cache::dir()?.join("conformance");
    fs::create_dir_all(&all)?;
    let mut old: Vec<_> = fs::read_dir(&all)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    old.sort();
    for path in old.iter().take((old.len() + 1).saturating_sub(KEPT)) {
        fs::remove_dir_all(path).with_context(|| format!("removing {}", path.display()))?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let dir = all.join(format!("{now}-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    Ok(dir)
}
