//! `cargo xtask bench nodes`: what many nodes cost the controller that they follow, and how soon the last hears of a change.
//!
//! The controller is a process over a directory; the nodes are threads here that take frames and acknowledge, and compile
//! nothing.

mod follower;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gateway_testkit::http;
use gateway_testkit::scratch::Scratch;

use crate::bars::{Bars, Nodes};
use crate::cargo::build_sluice;
use crate::proc;
use crate::process::{self, Process, check_interrupt, until};
use follower::{Commit, follow};

/// Flags of `bench nodes`.
#[derive(clap::Args)]
pub struct Args {
    /// Routes of the controller, each with a host and a path of its own.
    #[arg(long, default_value_t = 40_000)]
    routes: usize,
    /// Nodes that follow.
    #[arg(long, default_value_t = 50)]
    nodes: usize,
    /// Routes that are changed one after another.
    #[arg(long, default_value_t = 50)]
    changes: usize,
    /// The cargo profile to build with.
    #[arg(long, default_value = "release")]
    profile: String,
    /// Measures this gateway instead of building one.
    #[arg(long, value_name = "FILE")]
    sluice: Option<PathBuf>,
}

/// Where the controller is asked.
const HEALTH: &str = "127.0.0.1:15022";
/// Routes of one file.
const PER_FILE: usize = 500;
/// Limit for all nodes to hear of something.
const HEARD: Duration = Duration::from_secs(120);
/// Memory settles after so long.
const SETTLE_TIME: Duration = Duration::from_secs(5);

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let bars = Bars::read()?.nodes;
    ensure!(args.routes > 0 && args.nodes > 0 && args.changes > 0, "nothing to measure with 0 of something");
    let sluice = match &args.sluice {
        Some(file) => fs::canonicalize(file).with_context(|| format!("--sluice {}", file.display()))?,
        None => build_sluice(&args.profile)?,
    };
    process::stop_on_ctrl_c()?;
    let scratch = Scratch::new("nodes")?;
    let config = scratch.join("config");
    fs::create_dir(&config)?;
    write_all(&config, args.routes)?;
    let state = scratch.join("state");
    let mut command = Command::new(&sluice);
    command.arg("controller").arg(&config).arg("--state-dir").arg(&state);
    command.args([
        "--health-address",
        HEALTH,
        "--metrics-address",
        "off",
        "--debounce",
        "10ms",
        "--user",
        "keep",
    ]);
    let controller = Process::spawn("controller", scratch.path(), &mut command)?;
    until("the controller has translated everything", || {
        let ready = http::get(HEALTH.parse()?, "localhost", "/healthz/ready");
        Ok(ready.ok().filter(|response| response.status == 200).map(drop))
    })?;
    std::thread::sleep(SETTLE_TIME);
    let rss_kib = proc::rss_kib(controller.pid())?;
    println!("{} routes: the controller has {:.1} MiB; {} nodes come", args.routes, mib(rss_kib), args.nodes);
    proc::forget_peak(controller.pid())?;
    let (sender, commits) = channel();
    let came = Instant::now();
    for node in 0..args.nodes {
        follow(&state.join("nodes.sock"), node, sender.clone())?;
    }
    let version = all_have(&commits, args.nodes, 0)?.0;
    let took = came.elapsed();
    let peak_kib = proc::peak_kib(controller.pid())?;
    let spreads = changes(args, &config, &commits, version)?;
    Ok(judge(&bars, (rss_kib, peak_kib), took, &spreads))
}

fn judge(bars: &Nodes, (rss_kib, peak_kib): (u64, u64), took: Duration, spreads: &[Duration]) -> ExitCode {
    let growth = peak_kib as f64 / rss_kib as f64;
    let at = |hundredths: usize| {
        spreads.get((spreads.len() * hundredths).div_ceil(100).saturating_sub(1)).copied()
    };
    let (p50, p99) = (at(50).unwrap_or_default(), at(99).unwrap_or_default());
    println!(
        "  all have everything after {} ms; the controller had {:.1} MiB at most: {growth:.2} times",
        took.as_millis(),
        mib(peak_kib)
    );
    println!(
        "  a change: the last hears {:.2} ms after the first (p50), {:.2} ms (p99)",
        p50.as_secs_f64() * 1000.0,
        p99.as_secs_f64() * 1000.0
    );
    let mut ended = ExitCode::SUCCESS;
    if growth > bars.growth.figure() {
        eprintln!("error: more than {} times the controller's memory", bars.growth);
        ended = ExitCode::FAILURE;
    }
    if p99 > bars.spread_ms.milliseconds() {
        eprintln!("error: more than {} ms from the first to the last", bars.spread_ms);
        ended = ExitCode::FAILURE;
    }
    ended
}

/// Changes one route after another; gives the times between the first and the last node that hears, sorted.
fn changes(
    args: &Args,
    config: &Path,
    commits: &Receiver<Commit>,
    mut version: u64,
) -> Result<Vec<Duration>> {
    let mut spreads = Vec::new();
    for change in 0..args.changes {
        check_interrupt()?;
        fs::write(config.join("edited.yaml.new"), route("edited", &format!("/moved-{change}")))?;
        fs::rename(config.join("edited.yaml.new"), config.join("edited.yaml"))?;
        let (now, spread) = all_have(commits, args.nodes, version)?;
        version = now;
        spreads.push(spread);
    }
    spreads.sort_unstable();
    Ok(spreads)
}

/// Waits until all nodes have a version after this one; gives it, and the time between the first and the last.
fn all_have(commits: &Receiver<Commit>, nodes: usize, after: u64) -> Result<(u64, Duration)> {
    let mut times: Vec<Instant> = Vec::new();
    let mut version = 0;
    while times.len() < nodes {
        let commit = commits.recv_timeout(HEARD).context("a node hears nothing")?;
        if commit.version > after {
            version = version.max(commit.version);
            times.push(commit.at);
        }
    }
    let (first, last) = (times.iter().min(), times.iter().max());
    Ok((version, last.zip(first).map_or(Duration::ZERO, |(last, first)| *last - *first)))
}

fn write_all(dir: &Path, routes: usize) -> Result<()> {
    fs::write(dir.join("base.yaml"), BASE)?;
    fs::write(dir.join("edited.yaml"), route("edited", "/first"))?;
    for (file, first) in (0..routes).step_by(PER_FILE).enumerate() {
        let all = first..routes.min(first + PER_FILE);
        let text = all.fold(String::new(), |mut text, n| {
            // Strings grow.
            let _ = writeln!(text, "{}---", route(&format!("r{n}"), &format!("/path-{n}")));
            text
        });
        fs::write(dir.join(format!("routes-{file}.yaml")), text)?;
    }
    Ok(())
}

/// A GatewayClass, a Gateway, and a backend.
const BASE: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: sluice}
spec: {controllerName: sluice.dev/gateway}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: edge}
spec:
  gatewayClassName: sluice
  listeners: [{name: web, port: 80, protocol: HTTP}]
---
apiVersion: v1
kind: Service
metadata: {name: backend, namespace: edge}
spec: {ports: [{port: 80}]}
";

fn route(name: &str, path: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: edge}}\nspec:\n  \
         parentRefs: [{{name: gw}}]\n  hostnames: [{name}.example.com]\n  rules:\n  - matches: [{{path: {{type: PathPrefix, \
         value: {path}}}}}]\n    backendRefs: [{{name: backend, port: 80}}]\n"
    )
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
