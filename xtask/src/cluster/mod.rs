//! `cargo xtask cluster`: a real Kubernetes node on this machine, in namespaces of its own.
//!
//! Everything is built from Go modules (`conformance/`) but containerd, runc and the CNI plug-ins, which are Debian's.

mod cgroup;
pub(crate) mod condition;
pub(crate) mod control_plane;
pub(crate) mod enter;
pub(crate) mod handle;
pub(crate) mod image;
mod launch;
pub(crate) mod network;
mod node;
mod stand_in;
mod supervise;
pub(crate) mod version;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::geteuid;

use crate::go::{self, Program};
use crate::needs::{self, CNI, CONTAINERD, CURL, IP, NFT, NSENTER, RUNC};
use crate::process;
use handle::Cluster;
use image::Image;
pub(crate) use launch::Lifetime;
pub(crate) use supervise::BPFFS;
use version::Suite;

/// Flags of `cluster`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which cluster: each name is one of its own.
    #[arg(long, global = true, default_value = "default", env = "SLUICE_CLUSTER")]
    name: String,
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
    /// The first process of a cluster: set when this program calls itself.
    #[command(hide = true)]
    Supervise { dir: PathBuf },
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
}

#[derive(clap::Args)]
struct Words {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    words: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if let Action::Build(BuildArgs { suite }) = &args.command {
        kubernetes()?;
        images(*suite)?;
        suite.tests()?;
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(geteuid().is_root(), "cluster makes namespaces and control groups: run it as root");
    let cluster = Cluster::of(&args.name)?;
    match &args.command {
        Action::Up(up) => {
            process::stop_on_ctrl_c()?;
            start(&cluster, up.suite, !up.control_plane, Lifetime::Detached)?;
            println!("\nexport KUBECONFIG={}", cluster.kubeconfig().display());
            println!("cargo xtask cluster --name {} kubectl get nodes", cluster.name());
        }
        Action::Down => {
            cluster.clear()?;
            handle::sweep()?;
        }
        Action::Status => return status(),
        Action::Kubectl(Words { words }) => {
            return kubectl(&cluster)?.args(words).status().map(code).context("kubectl");
        }
        Action::Exec(Words { words }) => {
            let mut command = enter::whole(&cluster, &words[0])?;
            command.env("KUBECONFIG", cluster.kubeconfig());
            return command.args(&words[1..]).status().map(code).context("starting nsenter");
        }
        Action::Build(_) => {}
        Action::Supervise { dir } => supervise::run(dir)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds what is missing, starts a cluster and installs the suite's CRDs.
pub(crate) fn start(cluster: &Cluster, suite: Suite, node: bool, lifetime: Lifetime) -> Result<()> {
    needs::ensure(&[IP, CURL, NSENTER])?;
    if node {
        needs::ensure(&[CONTAINERD, RUNC, CNI, NFT])?;
    }
    handle::sweep()?;
    let program = kubernetes()?;
    let images = if node { images(suite)? } else { Vec::new() };
    println!("starting the cluster {}", cluster.name());
    launch::start(cluster, program, images, lifetime)?;
    install_crds(cluster, suite)
}

/// The program that is every component of Kubernetes.
fn kubernetes() -> Result<PathBuf> {
    let module = go::module("cluster");
    let version = go::version(&module, "k8s.io/kubernetes")?;
    Program {
        module: &module,
        package: ".",
        name: "cluster",
        tests: false,
        ldflags: &version::ldflags(&version)?,
    }
    .build()
}

/// Archives of all that a node of this suite runs.
fn images(suite: Suite) -> Result<Vec<PathBuf>> {
    let module = go::module("images");
    let program = |package, name| Program { module: &module, package, name, tests: false, ldflags: "-s -w" };
    let mut archives = Vec::new();
    let pause = program("./pause", "pause").build()?;
    archives.push(Image { program: &pause, libraries: &[], names: &[node::PAUSE] }.write()?);
    let echo = suite.echo()?;
    archives.push(Image { program: &echo, libraries: &[], names: suite.echo_images() }.write()?);
    if let Some(name) = suite.coredns_image() {
        let coredns = program("./coredns", "coredns").build()?;
        archives.push(Image { program: &coredns, libraries: &[], names: &[name] }.write()?);
    }
    Ok(archives)
}

/// Installs the experimental channel's CRDs, and the policy that comes with them.
fn install_crds(cluster: &Cluster, suite: Suite) -> Result<()> {
    apply(cluster, &suite.crds()?)?;
    println!("installed the CRDs of Gateway API {suite}");
    Ok(())
}

/// Has the API server take over the objects of these files.
pub(crate) fn apply(cluster: &Cluster, files: &[PathBuf]) -> Result<()> {
    let mut apply = kubectl(cluster)?;
    apply.args(["apply", "--server-side"]);
    for file in files {
        apply.arg("--filename").arg(file);
    }
    let output = apply.output().context("starting kubectl")?;
    ensure!(output.status.success(), "kubectl apply: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// Makes an image archive known to the cluster's node.
pub(crate) fn import(cluster: &Cluster, archive: &Path) -> Result<()> {
    node::import(enter::whole(cluster, "ctr")?, Path::new(supervise::RUN), archive)
}

/// kubectl as an administrator.
pub(crate) fn kubectl(cluster: &Cluster) -> Result<Command> {
    kubectl_by(enter::network, cluster)
}

/// kubectl as an administrator; it ends with the cluster at the latest.
pub(crate) fn kubectl_within(cluster: &Cluster) -> Result<Command> {
    kubectl_by(enter::whole, cluster)
}

fn kubectl_by(enter: fn(&Cluster, &str) -> Result<Command>, cluster: &Cluster) -> Result<Command> {
    let settings = std::fs::read_to_string(cluster.join(supervise::SETTINGS)).unwrap_or_default();
    let Ok(settings) = serde_json::from_str::<supervise::Settings>(&settings) else {
        bail!("the cluster {} is not up: start it with `cargo xtask cluster up`", cluster.name());
    };
    let mut command = enter(cluster, &settings.program.display().to_string())?;
    command.arg("kubectl").env("KUBECONFIG", cluster.kubeconfig());
    Ok(command)
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

/// Ends a cluster and removes what is left of it.
pub(crate) fn end(cluster: &Cluster) -> Result<()> {
    cluster.clear()
}
