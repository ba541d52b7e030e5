//! `cargo xtask cluster`: starts and ends clusters, and runs programs in them.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use nix::unistd::geteuid;
use sluice_tooling::process;

use crate::handle::{self, Cluster};
use crate::launch::Lifetime;
use crate::machines::{MOST, Nodes};
use crate::version::Suite;
use crate::{deploy, enter, machine, start, supervise};

/// Flags of `cluster`.
#[derive(clap::Args)]
pub struct Args {
    /// Which cluster: each name is one of its own [default: default; with deploy and roads one of this process].
    #[arg(long, global = true, env = "SLUICE_CLUSTER")]
    name: Option<String>,
    #[command(subcommand)]
    command: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Builds what a cluster needs, and starts none.
    Build(BuildArgs),
    /// Builds what is missing and starts the cluster; it runs until `down`.
    Up(UpArgs),
    /// Ends the cluster and removes all that is left of it, after a crash as well.
    Down,
    /// Lists the clusters of this machine.
    Status,
    /// Runs kubectl as an administrator of the cluster.
    Kubectl(Words),
    /// Runs a program inside the cluster, with its network, mounts and processes.
    Exec(Words),
    /// Starts a cluster of several nodes, deploys Sluice on it as an operator would, and serves examples/shared-gateway.
    Deploy(deploy::Args),
    /// Sends clients by every way to the nodes of such a cluster, and looks whose address arrives.
    Roads(deploy::roads::Args),
    /// The first process of a cluster: set when this program calls itself.
    #[command(hide = true)]
    Supervise { dir: PathBuf },
    /// The first process of a node with a network of its own: set when this program calls itself.
    #[command(hide = true)]
    Machine { dir: PathBuf, node: String },
}

#[derive(clap::Args)]
struct BuildArgs {
    /// With the images and the test program of this suite.
    #[arg(long, value_enum, default_value_t = Suite::REFERENCE)]
    suite: Suite,
}

#[derive(clap::Args)]
struct UpArgs {
    /// Installs the CRDs and images of this suite.
    #[arg(long, value_enum, default_value_t = Suite::REFERENCE)]
    suite: Suite,
    /// Starts etcd, the API server, the controllers and the scheduler alone: there is no node, no pod runs.
    #[arg(long)]
    control_plane: bool,
    /// Starts so many nodes with a network of their own each, in place of one in the network of the control plane.
    #[arg(long, conflicts_with = "control_plane", value_parser = clap::value_parser!(u8).range(1..=i64::from(MOST)))]
    nodes: Option<u8>,
}

#[derive(clap::Args)]
struct Words {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    words: Vec<String>,
}

/// Runs the subcommand.
///
/// # Errors
/// This is not root, or the cluster cannot be started, found or ended.
pub fn run(args: &Args) -> Result<ExitCode> {
    if let Action::Build(BuildArgs { suite }) = &args.command {
        start::kubernetes()?;
        start::images(*suite)?;
        suite.tests()?;
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(geteuid().is_root(), "cluster makes namespaces and control groups: run it as root");
    if let Action::Deploy(deploy) = &args.command {
        return deploy::run(deploy, args.name.as_deref());
    }
    if let Action::Roads(roads) = &args.command {
        return deploy::roads::run(roads, args.name.as_deref());
    }
    let cluster = Cluster::of(args.name.as_deref().unwrap_or("default"))?;
    match &args.command {
        Action::Up(up) => {
            process::stop_on_ctrl_c()?;
            let nodes = match up.nodes {
                _ if up.control_plane => Nodes::None,
                Some(count) => Nodes::Apart(count),
                None => Nodes::Shared,
            };
            cluster.start(up.suite, nodes, Lifetime::Detached)?;
            println!("\nexport KUBECONFIG={}", cluster.kubeconfig().display());
            println!("cargo xtask cluster --name {} kubectl get nodes", cluster.name());
        }
        Action::Down => {
            cluster.end()?;
            handle::sweep()?;
        }
        Action::Status => return status(),
        Action::Kubectl(Words { words }) => {
            return cluster.kubectl()?.args(words).status().map(code).context("kubectl");
        }
        Action::Exec(Words { words }) => {
            let mut command = enter::whole(&cluster, &words[0])?;
            command.env("KUBECONFIG", cluster.kubeconfig());
            return command.args(&words[1..]).status().map(code).context("starting nsenter");
        }
        Action::Build(_) | Action::Deploy(_) | Action::Roads(_) => {}
        Action::Supervise { dir } => supervise::run(dir)?,
        Action::Machine { dir, node } => machine::run(dir, node)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn status() -> Result<ExitCode> {
    for cluster in Cluster::list()? {
        match cluster.alive()? {
            true => println!(
                "{}: up, first process {}, {}",
                cluster.name(),
                cluster.first()?,
                cluster.kubeconfig().display()
            ),
            false => println!("{}: dead; `cargo xtask cluster down` removes what it left", cluster.name()),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn code(status: std::process::ExitStatus) -> ExitCode {
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
