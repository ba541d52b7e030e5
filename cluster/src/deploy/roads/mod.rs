//! `cargo xtask cluster roads`: every way by which clients' packets come to the nodes, as docs/exposing.md has it. The client's address
//! must arrive by each.

mod arrival;
mod balancer;
mod fault;
mod files;
mod load;
mod load_balancer;
mod loss;
mod pool;
mod removal;
mod run;
mod statistics;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use nix::unistd::geteuid;
use sluice_tooling::needs::{self, CURL};

use super::steps::Steps;
use crate::cargo::{QUICK, build_binary, build_sluice};
use crate::chart::helm::Helm;
use crate::handle::Cluster;
use crate::launch::Lifetime;
use crate::logs::Logs;
use crate::machines::Nodes;
use crate::process;
use crate::version::Suite;
use files::{LOAD_BALANCER, POOL, PROXY_PROTOCOL, VALUES};
use run::Run;

/// Nodes of the cluster, as the example's configuration of HAProxy has them.
const NODES: u8 = 3;

/// Flags of `roads`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Goes by these ways alone, in the order in which they are listed here.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WAY", default_values_t = Road::ALL)]
    only: Vec<Road>,
    /// Builds the gateway with the profile `release` in place of `quick`.
    #[arg(long)]
    release: bool,
    /// Deploys this binary instead of building one.
    #[arg(long, value_name = "FILE", conflicts_with = "release")]
    binary: Option<PathBuf>,
}

/// One way by which clients' packets come to the nodes, or what happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Road {
    /// Each node's own addresses.
    Nodes,
    /// A Service of type LoadBalancer with externalTrafficPolicy Local.
    LoadBalancer,
    /// HAProxy, which sends PROXY headers.
    Haproxy,
    /// Two nodes leave HAProxy's and come back, under load.
    Removal,
    /// Addresses of a pool, whose node is lost and comes back.
    Pool,
}

impl Road {
    const ALL: [Self; 5] = [Self::Nodes, Self::LoadBalancer, Self::Haproxy, Self::Removal, Self::Pool];

    /// Files of values, the last of which wins.
    fn values(self) -> Vec<PathBuf> {
        let own = match self {
            Self::Nodes => None,
            Self::LoadBalancer => Some(LOAD_BALANCER),
            Self::Haproxy | Self::Removal => Some(PROXY_PROTOCOL),
            Self::Pool => Some(POOL),
        };
        [Some(VALUES), own].into_iter().flatten().map(files::file).collect()
    }
}

/// Goes by these roads on a cluster of this name.
///
/// # Errors
/// This is not root, something cannot be built, started or installed, or a road does not lead where it should.
pub(crate) fn run(args: &Args, name: Option<&str>) -> Result<ExitCode> {
    ensure!(geteuid().is_root(), "cluster roads makes namespaces and control groups: run it as root");
    process::stop_on_ctrl_c()?;
    needs::ensure(&[CURL])?;
    let steps = Steps::begin();
    let profile = if args.release { "release" } else { QUICK };
    let sluice = match &args.binary {
        Some(binary) => fs::canonicalize(binary).with_context(|| format!("--binary {}", binary.display()))?,
        None => build_sluice(profile)?,
    };
    let bench = build_binary("sluice-bench", profile)?;
    let helm = Helm::build()?;
    let cluster = Cluster::of(&name.map_or_else(|| format!("roads-{}", std::process::id()), str::to_owned))?;
    let logs = Logs::make("deploy")?;
    let went = cluster.start(Suite::REFERENCE, Nodes::Apart(NODES), Lifetime::Bound).and_then(|()| {
        super::give_image(&sluice, &cluster, logs.dir())?;
        Run::new(&helm, &cluster, logs.dir(), steps).go(&args.only, &bench)
    });
    if went.is_err() && cluster.alive()? {
        super::keep_logs(&cluster, logs.dir())?;
    }
    cluster.end()?;
    went.with_context(|| format!("logs are in {}", logs.dir().display()))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_has_the_values_of_all_and_its_own() {
        let names = |road: Road| {
            let values = road.values();
            values.iter().map(|path| path.file_name().unwrap().display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(Road::Nodes), [VALUES]);
        assert_eq!(names(Road::Removal), names(Road::Haproxy));
        assert_eq!(names(Road::Pool), [VALUES, POOL]);
    }
}
