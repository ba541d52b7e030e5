//! `cargo xtask cluster roads`: every way by which clients' packets come to the nodes, as docs/exposing.md has it. The client's address
//! must arrive by each.

mod arrival;
mod balancer;
mod files;
mod load_balancer;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use nix::unistd::geteuid;
use sluice_tooling::needs::{self, CURL};

use super::install::{Addresses, Installation};
use super::scenario;
use super::steps::Steps;
use crate::cargo::{QUICK, build_sluice};
use crate::chart::helm::Helm;
use crate::handle::Cluster;
use crate::launch::Lifetime;
use crate::logs::Logs;
use crate::machines::Nodes;
use crate::network::{CLIENT_V4, CLIENT_V6};
use crate::process;
use crate::version::Suite;
use balancer::{Balancer, CONNECTIONS, REQUESTS};
use files::{LOAD_BALANCER, PROXY_PROTOCOL, VALUES, file};

/// Nodes of the cluster, as the example's configuration of HAProxy has them.
const NODES: u8 = 3;

/// The label of machines that clients come to, as in the example's values.
const LABEL: &str = "node-role.kubernetes.io/ingress";

/// Flags of `roads`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Builds the gateway with the profile `release` in place of `quick`.
    #[arg(long)]
    release: bool,
    /// Deploys this binary instead of building one.
    #[arg(long, value_name = "FILE", conflicts_with = "release")]
    binary: Option<PathBuf>,
}

/// Goes by every road on a cluster of this name.
///
/// # Errors
/// This is not root, something cannot be built, started or installed, or a road does not lead where it should.
pub(crate) fn run(args: &Args, name: Option<&str>) -> Result<ExitCode> {
    ensure!(geteuid().is_root(), "cluster roads makes namespaces and control groups: run it as root");
    process::stop_on_ctrl_c()?;
    needs::ensure(&[CURL])?;
    let mut steps = Steps::begin();
    let sluice = match &args.binary {
        Some(binary) => fs::canonicalize(binary).with_context(|| format!("--binary {}", binary.display()))?,
        None => build_sluice(if args.release { "release" } else { QUICK })?,
    };
    let helm = Helm::build()?;
    let cluster = Cluster::of(&name.map_or_else(|| format!("roads-{}", std::process::id()), str::to_owned))?;
    let logs = Logs::make("deploy")?;
    let went = cluster
        .start(Suite::REFERENCE, Nodes::Apart(NODES), Lifetime::Bound)
        .and_then(|()| serve(&sluice, &helm, &cluster, logs.dir(), &mut steps));
    if went.is_err() && cluster.alive()? {
        super::keep_logs(&cluster, logs.dir())?;
    }
    cluster.end()?;
    went.with_context(|| format!("logs are in {}", logs.dir().display()))?;
    Ok(ExitCode::SUCCESS)
}

fn serve(sluice: &Path, helm: &Helm, cluster: &Cluster, dir: &Path, steps: &mut Steps) -> Result<()> {
    super::give_image(sluice, cluster, dir)?;
    for node in cluster.nodes()? {
        cluster.say(&["label", "node", &node.name, &format!("{LABEL}=")])?;
    }
    let mut release =
        Installation { helm, cluster, dir, addresses: Addresses::Nodes, more: vec![file(VALUES)] };
    release.install()?;
    scenario::apply(cluster)?;
    steps.done("started the cluster and installed Sluice");
    by_nodes(cluster)?;
    steps.done("addresses of the nodes");
    release.more.push(file(LOAD_BALANCER));
    release.upgrade()?;
    load_balancer::check(cluster)?;
    steps.done("a Service of type LoadBalancer");
    release.more.push(file(PROXY_PROTOCOL));
    release.upgrade()?;
    let mut balancer = Balancer::start(cluster, dir)?;
    by_balancer(cluster)?;
    steps.done("HAProxy with the PROXY protocol");
    balancer.ensure_running()?;
    Ok(())
}

/// Each node's own addresses.
fn by_nodes(cluster: &Cluster) -> Result<()> {
    for node in cluster.nodes()? {
        for (base, client) in scenario::bases(&node).into_iter().zip([CLIENT_V4, CLIENT_V6]) {
            scenario::until_served(cluster, &base)?;
            arrival::check(cluster, &base, client)?;
            println!("{base}: client {client}");
        }
    }
    Ok(())
}

fn by_balancer(cluster: &Cluster) -> Result<()> {
    for (address, client) in
        [(balancer::V4.to_owned(), CLIENT_V4), (format!("[{}]", balancer::V6), CLIENT_V6)]
    {
        for port in [CONNECTIONS, REQUESTS] {
            let base = format!("http://{address}:{port}");
            let served = arrival::check(cluster, &base, client)?;
            ensure!(served.len() > 1, "{base}: {served:?} alone served");
            println!("{base}: client {client}, by {} nodes", served.len());
        }
    }
    Ok(())
}
