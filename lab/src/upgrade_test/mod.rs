//! `cargo xtask upgrade-test`: are requests lost while a proxy is replaced?
//!
//! Each proxy runs in a network namespace of its own, between verifying clients and their backend
//! (`sluice-bench`), with wrk beside them, and is replaced again and again the way its operators would.

mod clients;
mod installed;
mod run;
mod table;
mod target;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use gateway_testkit::netns;
use nix::unistd::geteuid;
use serde::Serialize;
use sluice_bench::load::Mode;

use crate::cargo::{QUICK, build_binary, build_sluice};
use crate::needs::{self, IP, WRK};
use crate::peers::programs::{Programs, Source};
use crate::peers::sluice::{Broken, Io, Pods, Steering};
use crate::process;
use crate::testbed::lift_locked_memory;
use run::{Outcome, Run};
use target::{Peer, Target};

/// Flags of `upgrade-test`.
#[derive(clap::Args)]
pub struct Args {
    /// How often each proxy is replaced, evenly over its run.
    #[arg(long, default_value_t = 20)]
    upgrades: u32,
    /// Short requests for each proxy, divided between keep-alive and per-connection clients;
    /// transfers come on top.
    #[arg(long, default_value_t = 200_000)]
    requests: u64,
    /// Short requests per second, all clients together.
    #[arg(long, default_value_t = 2500.0)]
    rate: f64,
    /// Proxies to test, all if none is named; with --installed those that are tested beside it, on this machine and by the same
    /// clients, none if none is named.
    #[arg(long, value_enum, value_delimiter = ',')]
    peer: Vec<Peer>,
    /// Where peers come from.
    #[arg(long, value_enum, default_value_t = Source::Sid)]
    peers: Source,
    /// Clients, all at once; those over HTTP/1.1 if none is named, with --installed all.
    #[arg(long, value_enum, value_delimiter = ',')]
    mode: Vec<Mode>,
    /// Steering to test Sluice with.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Steering::Ebpf, Steering::Reuseport])]
    steering: Vec<Steering>,
    /// I/O to test Sluice with.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Io::Uring, Io::Epoll])]
    io: Vec<Io>,
    /// Pods to test Sluice with: `sluice run` alone, and in turn with it the three roles of the DaemonSet.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Pods::One, Pods::InTurn])]
    pods: Vec<Pods>,
    /// Connections of wrk beside the clients; 0 runs no wrk.
    #[arg(long, default_value_t = 8)]
    wrk_connections: u32,
    /// Program of another version: Sluice starts as it, and is replaced by this one and by that one in turn.
    #[arg(long, value_name = "FILE")]
    before: Option<PathBuf>,
    /// Versions of Sluice that are broken and tried before the upgrades, each once: it must serve on, and no probe call them
    /// ready. They are built with the profile quick, which has faults.
    #[arg(long, value_enum, value_delimiter = ',')]
    broken: Vec<Broken>,
    /// A Sluice to test instead of building one.
    #[arg(long, value_name = "FILE")]
    sluice: Option<PathBuf>,
    /// The cargo profile to build with.
    #[arg(long, default_value = "release")]
    profile: String,
    #[command(flatten)]
    installed: installed::InstalledArgs,
    /// Writes the JSON there instead of printing it.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Result of one proxy.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TargetResult {
    proxy: String,
    variant: String,
    /// Version of a peer.
    version: Option<String>,
    /// Absent if the run itself failed.
    outcome: Option<Outcome>,
    error: Option<String>,
}

/// Judges each proxy in turn; fails if Sluice lost anything, or if a run did not come to its end.
///
/// # Errors
/// This process is not root, an argument is wrong, or a program cannot be built, started or replaced.
pub fn run(args: &Args) -> Result<ExitCode> {
    ensure!(geteuid().is_root(), "upgrade-test makes network namespaces: run it as root");
    ensure!(args.rate.is_finite() && args.rate > 0.0, "--rate {}: write a positive number", args.rate);
    if args.installed.installed {
        return installed::run(args);
    }
    let others = args.peer.is_empty() || args.peer.iter().any(|peer| *peer != Peer::Sluice);
    ensure!(
        args.broken.is_empty() || !others,
        "--broken: write --peer sluice, since no other peer has such versions"
    );
    process::stop_on_ctrl_c()?;
    let targets = target::chosen(&args.peer, (&args.steering, &args.io, &args.pods));
    let results = in_turn(args, targets)?;
    table::print(&results);
    let json = serde_json::to_string_pretty(&results)?;
    match &args.json {
        Some(path) => fs::write(path, json + "\n").with_context(|| format!("--json {}", path.display()))?,
        None => println!("\n{json}"),
    }
    Ok(verdict(&results, steps(args.upgrades, &args.broken)))
}

/// Tests these in turn; peers that are not there are left out.
fn in_turn(args: &Args, mut targets: Vec<Target>) -> Result<Vec<TargetResult>> {
    let ours = targets.iter().any(Target::is_sluice);
    let before = if ours { before(args)? } else { None };
    let broken = if ours { args.broken.clone() } else { Vec::new() };
    if let Some(limit) = lift_locked_memory()? {
        let mib = limit >> 20;
        println!(
            "locked memory: {mib} MiB for all processes of a user, so rings of many that drain may not fit"
        );
    }
    needs::ensure(&[IP, WRK])?;
    let mut wanted: Vec<_> = targets.iter().filter_map(Target::program).collect();
    wanted.dedup();
    let peers = Programs::find(args.peers, &wanted)?;
    targets.retain(|target| {
        let found = target.program().is_none_or(|program| peers.version(program).is_some());
        if !found {
            println!("{target}: not installed, so it is left out");
        }
        found
    });
    let bench = build_binary("sluice-bench", &args.profile)?;
    let sluice = match &args.sluice {
        Some(sluice) => {
            Some(fs::canonicalize(sluice).with_context(|| format!("--sluice {}", sluice.display()))?)
        }
        None if ours => Some(build_sluice(&args.profile)?),
        None => None,
    };
    let steps = steps(args.upgrades, &broken);
    let run = Run {
        bench,
        sluice,
        before,
        peers,
        upgrades: args.upgrades,
        broken: if broken.is_empty() { None } else { Some((build_sluice(QUICK)?, broken)) },
        clients: clients::plan(modes(args), args.requests, args.rate, steps),
        wrk_connections: args.wrk_connections,
    };
    let mut results = Vec::new();
    for target in targets {
        println!("{target}: {steps} upgrades and attempts, about {} s", run.length().as_secs());
        results.push(run_target(&run, target));
        process::check_interrupt()?;
    }
    Ok(results)
}

/// Tests the peers of `--peer` for what is installed on a cluster to be held against.
fn beside(args: &Args) -> Result<Vec<TargetResult>> {
    if args.peer.is_empty() {
        return Ok(Vec::new());
    }
    in_turn(args, target::chosen(&args.peer, (&[], &[], &[])))
}

/// The clients that there are.
fn modes(args: &Args) -> &[Mode] {
    match (args.mode.as_slice(), args.installed.installed) {
        ([], true) => &Mode::ALL,
        ([], false) => &Mode::HTTP1,
        (named, _) => named,
    }
}

/// Upgrades and attempts at one.
fn steps(upgrades: u32, broken: &[Broken]) -> u32 {
    upgrades + u32::try_from(broken.len()).unwrap_or(u32::MAX)
}

/// The program of another version, by its whole path.
fn before(args: &Args) -> Result<Option<PathBuf>> {
    let Some(path) = &args.before else { return Ok(None) };
    ensure!(
        args.upgrades >= 2 || args.installed.installed,
        "--before: write --upgrades 2 at least: the first goes to this version, the second back"
    );
    path.canonicalize().map(Some).with_context(|| format!("--before {}", path.display()))
}

fn run_target(run: &Run, target: Target) -> TargetResult {
    let run = run.clone();
    let (proxy, mut variant) = (target.name().to_owned(), target.variant());
    if target.is_sluice() && run.before.is_some() {
        variant.push_str(" old/new");
    }
    let version = target.program().and_then(|program| run.peers.version(program)).map(str::to_owned);
    let outcome = netns::run("upgrade", move |inside| run.run(target, inside));
    match outcome {
        Ok(outcome) => TargetResult { proxy, variant, version, outcome: Some(outcome), error: None },
        Err(error) => {
            eprintln!("{target}: {error:#}");
            TargetResult { proxy, variant, version, outcome: None, error: Some(format!("{error:#}")) }
        }
    }
}

fn verdict(results: &[TargetResult], upgrades: u32) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for result in results {
        if let Some(failure) = result.failure(upgrades) {
            eprintln!("error: {} {}: {failure}", result.proxy, result.variant);
            code = ExitCode::FAILURE;
        }
    }
    code
}

impl TargetResult {
    /// Peers may lose requests: that is their finding. Sluice may not, and nobody may fail to run.
    fn failure(&self, upgrades: u32) -> Option<String> {
        let Some(outcome) = &self.outcome else {
            return Some("did not come to the end of its run".to_owned());
        };
        if outcome.under_load < upgrades {
            return Some(format!("{} of {upgrades} upgrades were under load", outcome.under_load));
        }
        match outcome.lost() {
            lost if lost > 0 && self.proxy == target::SLUICE => Some(format!("lost {lost} requests")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wrk::WrkReport;

    fn result(proxy: &str, read_errors: u64) -> TargetResult {
        let wrk = Some(WrkReport { read_errors, ..WrkReport::default() });
        let outcome = Outcome { upgrades: Vec::new(), under_load: 2, clients: Vec::new(), wrk };
        let (proxy, variant) = (proxy.to_owned(), String::new());
        TargetResult { proxy, variant, version: None, outcome: Some(outcome), error: None }
    }

    #[test]
    fn sluice_may_lose_nothing_and_nobody_may_fail_to_run() {
        assert_eq!(result("sluice", 0).failure(2), None);
        assert!(result("sluice", 1).failure(2).is_some());
        assert_eq!(result("nginx", 1).failure(2), None);
        for proxy in ["sluice", "nginx"] {
            assert!(result(proxy, 0).failure(3).is_some(), "an upgrade came after the load");
            assert!(TargetResult { outcome: None, ..result(proxy, 0) }.failure(2).is_some());
        }
    }
}
