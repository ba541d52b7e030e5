//! `cargo xtask cluster deploy`: Sluice on several nodes, installed as operators install it.

mod backend;
pub mod faults;
pub(crate) mod image;
pub(crate) mod install;
mod page;
pub mod release;
pub(crate) mod roads;
pub(crate) mod scenario;
mod steps;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::unistd::geteuid;

use crate::cargo::{QUICK, build_sluice};
use crate::chart::helm::Helm;
use crate::enter;
use crate::handle::Cluster;
use crate::kubectl::{NAMESPACE, NODE_NAMESPACE};
use crate::launch::Lifetime;
use crate::logs::Logs;
use crate::machines::{MOST, Nodes};
use crate::process;
use crate::version::Suite;
use install::{Addresses, Installation};
use steps::Steps;

/// Flags of `deploy`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Nodes of the cluster, each with a kubelet and a network of its own.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=i64::from(MOST)))]
    nodes: u8,
    /// Builds the gateway with the profile `release` in place of `quick`.
    #[arg(long)]
    release: bool,
    /// Deploys this binary instead of building one.
    #[arg(long, value_name = "FILE", conflicts_with = "release")]
    binary: Option<PathBuf>,
    /// Ends after the scenario: 0 if every response was right, else 1.
    #[arg(long)]
    check: bool,
    /// Leaves the cluster up.
    #[arg(long)]
    keep: bool,
}

const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Deploys on a cluster of this name.
///
/// # Errors
/// This is not root, or something cannot be built, started or installed, or does not serve.
pub(crate) fn run(args: &Args, name: Option<&str>) -> Result<ExitCode> {
    ensure!(geteuid().is_root(), "cluster deploy makes namespaces and control groups: run it as root");
    process::stop_on_ctrl_c()?;
    let mut steps = Steps::begin();
    let sluice = match &args.binary {
        Some(binary) => fs::canonicalize(binary).with_context(|| format!("--binary {}", binary.display()))?,
        None => build_sluice(if args.release { "release" } else { QUICK })?,
    };
    let helm = Helm::build()?;
    steps.done("had sluice and helm built");
    let cluster = Cluster::of(&name.map_or_else(|| format!("deploy-{}", std::process::id()), str::to_owned))?;
    let lifetime = if args.keep { Lifetime::Detached } else { Lifetime::Bound };
    let logs = Logs::make("deploy")?;
    let deployed = cluster
        .start(Suite::REFERENCE, Nodes::Apart(args.nodes), lifetime)
        .and_then(|()| deploy(&sluice, &helm, &cluster, logs.dir(), &mut steps))
        .and_then(|()| if args.check || args.keep { Ok(()) } else { until_interrupt() });
    if args.keep && cluster.alive()? {
        println!("kept: cargo xtask cluster --name {} down", cluster.name());
    } else {
        steps.pause();
        cluster.end()?;
        steps.done("took all of it away");
    }
    deployed.with_context(|| format!("logs are in {}", logs.dir().display()))?;
    Ok(ExitCode::SUCCESS)
}

fn deploy(sluice: &Path, helm: &Helm, cluster: &Cluster, dir: &Path, steps: &mut Steps) -> Result<()> {
    steps.done("started the cluster");
    let served = serve(sluice, helm, cluster, dir, steps);
    if served.is_err() && cluster.alive()? {
        keep_logs(cluster, dir)?;
    }
    served
}

fn serve(sluice: &Path, helm: &Helm, cluster: &Cluster, dir: &Path, steps: &mut Steps) -> Result<()> {
    give_image(sluice, cluster, dir)?;
    steps.done("gave the image to every node");
    let release = Installation { helm, cluster, dir, addresses: Addresses::Nodes, more: Vec::new() };
    page::commands(&Suite::REFERENCE.crds()?)?.iter().try_for_each(|line| release.run(line))?;
    scenario::programmed(cluster)?;
    steps.done("installed Sluice and applied the example");
    let asked = scenario::check(cluster)?;
    scenario::show(cluster)?;
    steps.done(&format!("made {asked} requests"));
    tell(cluster)
}

/// Makes the image and has every node import it.
///
/// # Errors
/// A tool is missing, or a node does not take it.
pub(crate) fn give_image(sluice: &Path, cluster: &Cluster, dir: &Path) -> Result<()> {
    give_image_as(image::NAME, (sluice, &[]), cluster, dir)
}

/// The same by another name, which the image's tag tells apart or which says that it is of another program, with more
/// variables for its containers.
fn give_image_as(
    name: &str,
    (program, environment): (&Path, &[String]),
    cluster: &Cluster,
    dir: &Path,
) -> Result<()> {
    let archive = image::write(name, program, environment, dir)?;
    cluster.import(&archive)?;
    fs::remove_file(&archive).with_context(|| format!("removing {}", archive.display()))
}

/// Keeps the logs of all pods of Sluice, and what Kubernetes says of them, in `dir`.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn keep_logs(cluster: &Cluster, dir: &Path) -> Result<()> {
    let names = [(NAMESPACE, "sluice"), (NODE_NAMESPACE, "sluice-node"), (NAMESPACE, "sluice-controller")];
    let logs = names.map(|(namespace, name)| {
        let selector = format!("--selector=app.kubernetes.io/name={name}");
        let words = ["logs", "--all-containers", "--prefix", "--tail=500", &selector];
        cluster.say_in(namespace, &words).unwrap_or_default()
    });
    let pods = cluster.say(&["describe", "pods", "--all-namespaces"]).unwrap_or_default();
    fs::write(dir.join("pod.log"), logs.concat() + &pods).context("pod.log")
}

/// Says what to type.
fn tell(cluster: &Cluster) -> Result<()> {
    let client = enter::client_network(cluster)?;
    println!("Every node serves the example. Try:\n");
    for node in cluster.nodes()? {
        println!("    nsenter {client} curl -i http://{}/httpbin/get", node.v4);
    }
    println!("    cargo xtask cluster --name {} kubectl get gateways,httproutes -A", cluster.name());
    println!("    export KUBECONFIG={}    # inside the cluster's network", cluster.kubeconfig().display());
    Ok(())
}

fn until_interrupt() -> Result<()> {
    println!("\nCtrl-C takes all of it away.\n");
    while process::check_interrupt().is_ok() {
        thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}
