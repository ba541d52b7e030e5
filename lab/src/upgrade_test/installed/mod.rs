//! `cargo xtask upgrade-test --installed`: are requests lost while what is installed on a cluster is replaced, deleted, killed?

mod away;
mod event;
mod evidence;
mod load;
mod run;
mod verdict;
mod versions;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sluice_cluster::deploy::release::Release;

use super::Args;
use super::target::Peer;
use crate::cargo::{QUICK, build_binary, build_sluice};
use crate::process;
use event::Event;
use load::Load;
use run::Run;
use versions::Version;

/// Flags of `upgrade-test` for a cluster.
#[derive(clap::Args)]
pub(super) struct InstalledArgs {
    /// Tests Sluice as it is installed on a cluster, which is started for that: from its image, by its chart, with the roles
    /// apart. Rolling updates of the nodes come after all other events, up to --upgrades and --requests.
    #[arg(long, conflicts_with_all = ["steering", "io", "pods", "wrk_connections"])]
    pub(super) installed: bool,
    /// Nodes of the cluster, all of which clients send to.
    #[arg(long, default_value_t = 1, requires = "installed", value_parser = clap::value_parser!(u8).range(1..=16))]
    nodes: u8,
    /// Events, each once.
    #[arg(long, value_enum, value_delimiter = ',', requires = "installed", default_values_t = Event::ALL)]
    event: Vec<Event>,
    /// Goes to a version whose maps have another layout, and back. It is built with the profile quick, which can pretend that.
    #[arg(long, requires = "installed")]
    other_layout: bool,
    /// Time for which there is neither a controller nor an API server, such as 60s or 30m.
    #[arg(long, value_name = "TIME", requires = "installed", value_parser = time)]
    away: Option<Duration>,
}

const ROUTES: &str = include_str!("routes.yaml");

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

/// Installs it, has everything happen, and judges; fails if an event cost more than it may.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(
        !args.peer.contains(&Peer::Sluice),
        "--peer sluice with --installed: name others to test beside it"
    );
    process::stop_on_ctrl_c()?;
    let bench = build_binary("sluice-bench", &args.profile)?;
    let sluice = match &args.sluice {
        Some(sluice) => fs::canonicalize(sluice).with_context(|| format!("--sluice {}", sluice.display()))?,
        None => build_sluice(&args.profile)?,
    };
    let others = others(args)?;
    // Before the cluster starts, which leaves no CPU alone.
    let beside = super::beside(args)?;
    let name = format!("upgrade-{}", std::process::id());
    let release = Release::start(&name, args.installed.nodes, &sluice)?;
    let prepared = others.iter().try_for_each(|(version, program)| version.give(&release, program));
    let load = prepared.and_then(|()| serve(&release, &bench, args));
    let load = load.map_err(|error| release.explained(error))?;
    Run::new(args, release, load).whole(beside)
}

/// Other versions that the run goes to, and the program of each.
fn others(args: &Args) -> Result<Vec<(Version, PathBuf)>> {
    let mut others = Vec::new();
    if let Some(before) = super::before(args)? {
        others.push((Version::Before, before));
    }
    if !args.broken.is_empty() {
        others.push((Version::Faulty, build_sluice(QUICK)?));
    }
    if args.installed.other_layout {
        others.push((Version::ToCome, build_sluice(QUICK)?));
    }
    Ok(others)
}

/// Polls by means of kubectl or ctr, which take CPU time that the gateway and its clients would have.
fn asked_until<T>(what: &str, ready: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    process::until_every(Duration::from_millis(250), what, ready)
}

/// Gives the Gateway its backend, and waits until clients are served.
fn serve(release: &Release, bench: &Path, args: &Args) -> Result<Load> {
    release.start_backend(bench, ROUTES)?;
    let load = Load::new(bench, release, super::modes(args), args.rate)?;
    load.served()?;
    println!("Sluice is installed and serves on {} nodes", release.nodes()?.len());
    Ok(load)
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
}
