//! `cargo xtask upgrade-test --installed`: are requests lost while what is installed on a cluster is replaced, deleted, killed?

mod event;
mod load;
mod verdict;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use sluice_cluster::deploy::release::{Release, Role};

use super::Args;
use crate::cargo::{QUICK, build_binary, build_sluice};
use crate::{process, table};
use event::Event;
use load::Load;
use verdict::{Bar, HEADERS, Phase, Row, TEXT_COLUMNS};

/// Flags of `upgrade-test` for a cluster.
#[derive(clap::Args)]
pub(super) struct InstalledArgs {
    /// Tests Sluice as it is installed on a cluster, which is started for that: from its image, by its chart, with the roles
    /// apart. Rolling updates of the nodes come after all other events, up to --upgrades and --requests.
    #[arg(long, conflicts_with_all = ["peer", "peers", "steering", "io", "pods", "wrk_connections"])]
    pub(super) installed: bool,
    /// Nodes of the cluster, all of which clients send to.
    #[arg(long, default_value_t = 1, requires = "installed", value_parser = clap::value_parser!(u8).range(1..=16))]
    nodes: u8,
    /// Events, each once.
    #[arg(long, value_enum, value_delimiter = ',', requires = "installed", default_values_t = Event::ALL)]
    event: Vec<Event>,
    /// Time for which there is neither a controller nor an API server, such as 60s or 30m.
    #[arg(long, value_name = "TIME", requires = "installed", value_parser = time)]
    away: Option<Duration>,
}

/// The image of the load's backend, as containerd spells it.
const BACKEND: &str = "docker.io/library/sluice-bench:lab";
/// The image of another version.
const BEFORE: &str = "docker.io/library/sluice:before";
const RESOURCES: &str = include_str!("resources.yaml");

/// Seconds or minutes.
fn time(text: &str) -> Result<Duration, String> {
    let number =
        |digits: &str, unit: u64| Some(Duration::from_secs(digits.parse::<u64>().ok()?.checked_mul(unit)?));
    let read = match (text.strip_suffix('s'), text.strip_suffix('m')) {
        (Some(digits), _) => number(digits, 1),
        (None, Some(digits)) => number(digits, 60),
        (None, None) => None,
    };
    read.filter(|time| !time.is_zero()).ok_or_else(|| "write a time such as 60s or 30m".to_owned())
}

/// The events, and the observations so far.
struct Run<'a> {
    args: &'a Args,
    release: Release,
    load: Load,
    phases: Vec<Phase>,
}

/// Installs it, has everything happen, and judges; fails if an event cost more than it may.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(
        args.broken.is_empty() || args.profile == QUICK || args.sluice.is_some(),
        "--broken with --installed: write --profile {QUICK}, which has faults, or give a --sluice that has them"
    );
    process::stop_on_ctrl_c()?;
    let bench = build_binary("sluice-bench", &args.profile)?;
    let sluice = match &args.sluice {
        Some(sluice) => fs::canonicalize(sluice).with_context(|| format!("--sluice {}", sluice.display()))?,
        None => build_sluice(&args.profile)?,
    };
    let name = format!("upgrade-{}", std::process::id());
    let release = Release::start(&name, args.installed.nodes, &sluice)?;
    let load = serve(&release, &bench, args)?;
    let mut run = Run { args, release, load, phases: Vec::new() };
    let ended = run.all().map_err(|error| run.release.explained(error));
    run.finish(ended)
}

/// Gives the Gateway its backend, and waits until clients are served.
fn serve(release: &Release, bench: &Path, args: &Args) -> Result<Load> {
    release.give(BACKEND, bench)?;
    release.apply(RESOURCES)?;
    release.cluster().wait(&["--namespace=upgrade", "rollout", "status", "deployment/backend"])?;
    let load = Load::new(bench, release, &args.mode, args.rate)?;
    load.served()?;
    println!("Sluice is installed and serves on {} nodes", release.nodes()?.len());
    Ok(load)
}

impl Run<'_> {
    fn all(&mut self) -> Result<()> {
        let args = self.args;
        for event in &args.installed.event {
            self.once(*event)?;
        }
        for how in &args.broken {
            let name = format!("broken version, {}", how.name());
            self.phase(&name, Bar::Nothing, |release| event::roll_broken(release, *how))?;
        }
        if let Some(before) = super::before(args)? {
            self.release.give(BEFORE, &before)?;
            let now = self.release.value("/image/tag");
            for (name, tag) in [("to the version before", json!("before")), ("back from it", now)] {
                self.phase(name, Bar::Nothing, |release| {
                    release.set(&["image", "tag"], tag)?;
                    release.settled(Role::Controllers)?;
                    release.settled(Role::Nodes)
                })?;
            }
        }
        if let Some(time) = args.installed.away {
            let name = format!("no controller, no API server for {} s", time.as_secs());
            self.phase(&name, Bar::Nothing, |release| event::away(release, time))?;
        }
        while self.upgrades() < args.upgrades as usize || self.sent() < args.requests {
            self.once(Event::RollNodes)?;
        }
        Ok(())
    }

    /// Rolling updates of the nodes so far.
    fn upgrades(&self) -> usize {
        self.phases.iter().filter(|phase| phase.event == Event::RollNodes.name()).count()
    }

    /// Short requests so far.
    fn sent(&self) -> u64 {
        self.phases.iter().map(Phase::short).sum()
    }

    fn once(&mut self, event: Event) -> Result<()> {
        let bar = if event == Event::KillNode { Bar::InFlight } else { Bar::Nothing };
        let number = self.phases.len() as u64 + 1;
        self.phase(event.name(), bar, |release| event.happen(release, number))
    }

    /// Has one event happen under load, and says what clients saw.
    fn phase(&mut self, name: &str, bar: Bar, body: impl FnOnce(&mut Release) -> Result<()>) -> Result<()> {
        let dir = self.release.dir().to_owned();
        let release = &mut self.release;
        let (took, clients) = self.load.during(&dir, || body(release)).with_context(|| name.to_owned())?;
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let phase = Phase { event: name.to_owned(), bar, took_ms, clients };
        for row in Row::all(std::slice::from_ref(&phase)) {
            println!(
                "{name}: {:.1} s, {} of {} failed, {} refused, longest gap {:.0} ms",
                took.as_secs_f64(),
                row.lost,
                row.sent,
                row.refused,
                row.gap_us as f64 / 1e3
            );
        }
        for client in &phase.clients {
            for sample in client.samples.iter().take(3) {
                println!("    {}: at {} ms: {}", client.mode, sample.at_ms, sample.detail);
            }
        }
        self.phases.push(phase);
        Ok(())
    }

    /// Prints and writes what there is, also of a run that did not come to its end.
    fn finish(self, ended: Result<()>) -> Result<ExitCode> {
        let rows = Row::all(&self.phases);
        println!("\n{}\n", table::render(HEADERS, &TEXT_COLUMNS, rows.iter().map(Row::cells)));
        println!("{} short requests", self.sent());
        if let Some(path) = &self.args.json {
            let json = serde_json::to_string_pretty(&self.phases)?;
            fs::write(path, json + "\n").with_context(|| format!("--json {}", path.display()))?;
        }
        ended?;
        let failures: Vec<_> = rows.iter().filter_map(Row::failure).collect();
        failures.iter().for_each(|failure| eprintln!("error: {failure}"));
        Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(time("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(time("30m"), Ok(Duration::from_secs(1800)));
        for wrong in ["", "60", "s", "0s", "1h", "-1s", "99999999999999999999m"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pod_runs_the_image_that_nodes_are_given() {
        let short = BACKEND.trim_start_matches("docker.io/library/");
        assert!(RESOURCES.contains(&format!("image: {short}\n")));
    }
}
