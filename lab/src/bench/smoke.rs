//! `cargo xtask bench smoke`: all scenarios, targets in turn.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::unistd::geteuid;
use serde::Serialize;

use super::idle::{IDLE, idle};
use super::plot;
use super::report::{Idle, Section};
use super::scenario::Scenario;
use super::scenarios::SCENARIOS;
use super::target::{Programs, Target, Variant};
use super::testbed::{Measurement, Plan, Testbed};
use crate::bars::{Against, Bar, Bars};
use crate::cargo::{build_binary, build_sluice, workspace};
use crate::needs::{self, H2LOAD, IP, WRK};
use crate::peers::programs::{PeerVersion, Program, Programs as Peers, Source};
use crate::process;
use crate::testbed::raise_open_files;

/// Flags of `bench smoke`.
#[derive(clap::Args)]
pub struct Args {
    /// Turns of each target.
    #[arg(long, default_value_t = 5)]
    turns: u32,
    /// Seconds of load in each turn.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Scenarios whose name contains one of these; all by default.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Idle connections whose memory is measured; 0 leaves that out.
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// CPU of the proxy, and CPU of load and backend.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1])]
    cpus: Vec<usize>,
    /// The cargo profile to build with.
    #[arg(long, default_value = "release")]
    profile: String,
    /// A Sluice to measure instead of building one.
    #[arg(long)]
    sluice: Option<PathBuf>,
    /// A flag for it, such as --sluice-flag=--ring-entries=8192; may be given often.
    #[arg(long, allow_hyphen_values = true)]
    sluice_flag: Vec<String>,
    /// Another Sluice to measure in every scenario beside it: what was before a change.
    #[arg(long)]
    beside: Option<PathBuf>,
    /// A flag for that one; without --beside it is the same program with this flag.
    #[arg(long, allow_hyphen_values = true)]
    beside_flag: Vec<String>,
    /// Contenders whose name contains one of these; all by default.
    #[arg(long, value_delimiter = ',')]
    among: Vec<String>,
    /// Where peers come from.
    #[arg(long, value_enum, default_value_t = Source::Sid)]
    peers: Source,
    /// Directory for smoke.json and smoke.svg; bench/results by default.
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// Exits with 1 if a bar is missed; every bar is a ratio between targets, so all of them must be there.
    #[arg(long, conflicts_with = "among")]
    strict: bool,
}

/// The whole run.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    turns: u32,
    seconds: u64,
    kernel: String,
    peers: Vec<PeerVersion>,
    sections: Vec<Section>,
    idle: Vec<Idle>,
}

const IDLE_TARGETS: [Target; 3] = [Target::Sluice, Target::Nginx, Target::Haproxy];

const WARMUP: Duration = Duration::from_secs(1);

/// Measures everything that was asked for, and prints, writes and plots it.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(geteuid().is_root(), "bench makes network namespaces: run it as root");
    ensure!(args.cpus.len() == 2 && args.turns > 0, "--cpus takes two numbers, and --turns at least one");
    ensure_known(&args.only)?;
    let bars = Bars::read()?;
    needs::ensure(&[IP, WRK, H2LOAD])?;
    let peers = Peers::find(args.peers, &Program::ALL)?;
    // Ten thousand connections need as many descriptors in the client, and twice in a proxy.
    raise_open_files(0)?;
    let sluice = match &args.sluice {
        Some(program) => program.clone(),
        None => build_sluice(&args.profile)?,
    };
    let programs = Programs {
        beside: beside(args, &sluice),
        sluice: Variant { program: sluice, flags: args.sluice_flag.clone() },
        floor: build_binary("sluice-floor", &args.profile)?,
        bench: build_binary("sluice-bench", &args.profile)?,
        peers: peers.clone(),
    };
    process::stop_on_ctrl_c()?;
    let mut results = Results {
        turns: args.turns,
        seconds: args.seconds,
        peers: peers.versions().to_vec(),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        sections: Vec::new(),
        idle: Vec::new(),
    };
    for scenario in SCENARIOS.iter().filter(|scenario| is_wanted(&args.only, scenario.name)) {
        let section = measure(args, &programs, scenario, bars.of_scenario(scenario.name)?)?;
        section.print();
        results.sections.push(section);
    }
    for scenario in IDLE.iter().filter(|one| args.idle > 0 && is_wanted(&args.only, one.name)) {
        let most = scenario.most.map(|most| most(&bars.idle));
        for target in IDLE_TARGETS.into_iter().chain(programs.beside.as_ref().map(|_| Target::SluiceBeside)) {
            if is_selected(args, target) {
                let plan = plan(args, &programs, target, &scenario.scenario);
                results.idle.push(idle(scenario, plan, args.idle, most)?);
            }
        }
    }
    let dir = args.results.clone().unwrap_or_else(|| workspace().join("bench/results"));
    fs::create_dir_all(&dir).with_context(|| format!("--results {}", dir.display()))?;
    fs::write(dir.join("smoke.json"), serde_json::to_string_pretty(&results)? + "\n")?;
    plot::write(&dir.join("smoke.svg"), &results.peers, &results.sections)?;
    println!("\nwritten: smoke.json and smoke.svg in {}", dir.display());
    let missed = results.sections.iter().flat_map(|section| &section.bars).filter(|bar| !bar.met).count()
        + results.idle.iter().filter(|idle| !idle.is_met()).count();
    Ok(if args.strict && missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// All targets of a scenario run all the time; each has the load when it is its turn: A B C D A B C D.
fn measure(
    args: &Args,
    programs: &Programs,
    scenario: &'static Scenario,
    bars: &BTreeMap<Against, Bar>,
) -> Result<Section> {
    let mut testbeds = Vec::new();
    let beside = programs.beside.is_some().then_some(Target::SluiceBeside);
    let there = |target: &Target| match target.peer() {
        Some(peer) => programs.peers.version(peer).is_some(),
        None => true,
    };
    for target in scenario.targets.iter().copied().filter(there).chain(beside) {
        if !is_selected(args, target) {
            continue;
        }
        let plan = plan(args, programs, target, scenario);
        let testbed = Testbed::start(plan).with_context(|| format!("{}: starting", target.name()))?;
        testbeds.push((target, testbed, Vec::<Measurement>::new()));
    }
    for _ in 0..args.turns {
        for (_, testbed, turns) in &mut testbeds {
            process::check_interrupt()?;
            turns.push(testbed.measure(WARMUP, Duration::from_secs(args.seconds))?);
        }
    }
    let turns: Vec<_> = testbeds.into_iter().map(|(target, _, turns)| (target, turns)).collect();
    Ok(Section::new(scenario, bars, &turns))
}

fn beside(args: &Args, sluice: &Path) -> Option<Variant> {
    if args.beside.is_none() && args.beside_flag.is_empty() {
        return None;
    }
    let program = args.beside.clone().unwrap_or_else(|| sluice.to_owned());
    Some(Variant { program, flags: args.beside_flag.clone() })
}

fn is_selected(args: &Args, target: Target) -> bool {
    is_wanted(&args.among, target.name())
}

/// True if `name` contains one of `parts`, or if there are none.
fn is_wanted(parts: &[String], name: &str) -> bool {
    parts.is_empty() || parts.iter().any(|part| name.contains(part.as_str()))
}

/// A part of a name that no scenario has is a mistake, or it would measure nothing and succeed.
fn ensure_known(parts: &[String]) -> Result<()> {
    let names = || SCENARIOS.iter().map(|scenario| scenario.name).chain(IDLE.iter().map(|one| one.name));
    for part in parts {
        let known = names().any(|name| name.contains(part.as_str()));
        ensure!(
            known,
            "--only {part}: no such scenario; there are {}",
            names().collect::<Vec<_>>().join(", ")
        );
    }
    Ok(())
}

fn plan(args: &Args, programs: &Programs, target: Target, scenario: &'static Scenario) -> Plan {
    Plan { target, programs: programs.clone(), cpus: [args.cpus[0], args.cpus[1]], scenario }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_chosen_by_parts_of_their_names() {
        let parts = |only: &[&str]| only.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        let chosen = |only: &[&str]| {
            let only = parts(only);
            ensure_known(&only).unwrap();
            let names = SCENARIOS.iter().map(|scenario| scenario.name);
            names.filter(|name| is_wanted(&only, name)).collect::<Vec<_>>()
        };
        assert_eq!(chosen(&["grpc", "websocket"]), ["grpc-unary", "grpc-streaming", "websocket-echo"]);
        assert_eq!(chosen(&["idle"]), [""; 0]);
        assert_eq!(chosen(&[]).len(), SCENARIOS.len());
        let error = ensure_known(&parts(&["grpc", "spdy"])).unwrap_err().to_string();
        assert!(error.contains("--only spdy") && error.contains("grpc-streaming"), "{error}");
    }

    #[test]
    fn results_keep_the_versions_of_peers() {
        let peers = vec![PeerVersion { peer: "nginx", version: "1.30.6".to_owned() }];
        let results = Results {
            turns: 1,
            seconds: 1,
            kernel: "6.1".to_owned(),
            peers,
            sections: Vec::new(),
            idle: Vec::new(),
        };
        let json = serde_json::to_value(&results).unwrap();
        assert_eq!(json["peers"], serde_json::json!([{"peer": "nginx", "version": "1.30.6"}]));
    }
}
