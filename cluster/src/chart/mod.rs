//! `cargo xtask chart`: the Helm charts of `deploy/`, what is made from them, and what judges them.

mod alerts;
mod dry_run;
pub(crate) mod helm;
mod made;
mod matrix;
mod release;
mod values;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use nix::unistd::geteuid;

use crate::cargo::workspace;
use crate::handle::Cluster;
use crate::launch::Lifetime;
use crate::machines::Nodes;
use crate::process;
use crate::version::Suite;
use helm::Helm;

/// Flags of `chart`.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub struct Args {
    /// Judges both charts by helm, promtool and an API server, and holds what is made from them equal.
    #[arg(long)]
    check: bool,
    /// Writes what is made from them: README.md, the manifests of deploy/kubernetes, the definitions' copies.
    #[arg(long)]
    write: bool,
}

/// The gateway's chart.
pub(crate) const CHART: &str = "deploy/chart";
/// That of its definitions.
const CRDS: &str = "deploy/chart-crds";

fn chart() -> PathBuf {
    workspace().join(CHART)
}

/// Writes, or judges.
///
/// # Errors
/// Go is missing, a program cannot be built, or the charts are not as they should be.
pub fn run(args: &Args) -> Result<ExitCode> {
    let helm = Helm::build()?;
    if args.write {
        made::write(&helm)?;
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(
        geteuid().is_root(),
        "chart --check starts an API server in namespaces of its own: run it as root"
    );
    helm.lint(&[CHART, CRDS])?;
    made::check(&helm)?;
    let renderings = matrix::renderings(&helm)?;
    matrix::must_refuse(&helm)?;
    alerts::check()?;
    process::stop_on_ctrl_c()?;
    let cluster = Cluster::of(&format!("chart-{}", std::process::id()))?;
    let judged = cluster.start(Suite::V1_7_0, Nodes::None, Lifetime::Bound).and_then(|()| {
        release::check(&helm, &cluster)?;
        dry_run::check(&cluster, &renderings)
    });
    cluster.end()?;
    judged.context("on an API server")?;
    println!("chart: as it should be");
    Ok(ExitCode::SUCCESS)
}
