//! The suite against the gateway as processes of the only node, and after it the manifests of `deploy/` in pods.

use std::path::Path;

use anyhow::Result;

use super::account::ApiAccess;
use super::gateway::Gateway;
use super::observed::Observed;
use super::{Args, apart, install, pod, suite, wait_until_accepted};
use crate::handle::Cluster;
use crate::{deploy, enter};

/// Runs it in a cluster that is up; gives what was seen.
///
/// # Errors
/// The gateway does not start, or the suite cannot be run.
pub(super) fn run(
    args: &Args,
    sluice: &Path,
    program: &Path,
    cluster: &Cluster,
    dir: &Path,
) -> Result<Observed> {
    install::install(cluster)?;
    let mut gateway = Gateway::start(sluice, cluster, dir, args.roles, &[])?;
    println!("sluice is ready; waiting until it accepts the GatewayClass");
    wait_until_accepted(cluster, || gateway.ensure_running())?;
    println!("running suite {} with {}", args.suite, args.profiles.join(", "));
    let command = enter::whole(cluster, &program.display().to_string())?;
    let run = suite::run(args, command, cluster, dir, || gateway.ensure_running())?;
    let (counters, cost) = (gateway.counters()?, gateway.cost()?);
    let stopped = gateway.stop();
    // On the ports that the process has given back.
    let in_pod = match args.run_test.is_empty() && stopped.is_ok() {
        true => in_pods(sluice, cluster, dir),
        false => Ok(()),
    };
    let access = ApiAccess::read(cluster)?;
    println!("{}", access.summary());
    let invalid = [stopped, in_pod, access.judge()].into_iter().filter_map(Result::err).collect();
    Ok(Observed { run, counters, cost: Some(cost), invalid })
}

/// Runs the manifests of `deploy/`, one shape after the other.
fn in_pods(sluice: &Path, cluster: &Cluster, dir: &Path) -> Result<()> {
    let judged = pod::judge(sluice, cluster, dir).and_then(|()| apart::judge(cluster, dir));
    if judged.is_err() {
        deploy::keep_logs(cluster, dir)?;
    }
    judged
}
