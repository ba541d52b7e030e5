//! Events of the release while clients send.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use sluice_cluster::deploy::release::{Release, Role};

use crate::peers::sluice::Broken;
use crate::process::{check_interrupt, until};

/// One kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::upgrade_test) enum Event {
    /// A rolling update of the nodes' DaemonSet.
    RollNodes,
    /// A rolling update of the controllers' Deployment.
    RollControllers,
    /// `kubectl delete pod` of a node.
    DeleteNode,
    /// `kubectl delete pod` of the controller that leads.
    DeleteController,
    /// SIGKILL to the container of a node that serves.
    KillNode,
    /// SIGKILL to the helper's container.
    KillHelper,
    /// SIGKILL to the container of the controller that leads.
    KillController,
}

/// For which a broken version is watched. A kubelet that took it for ready would need less.
const WATCHED: Duration = Duration::from_secs(25);
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Namespace of the Lease of controllers, and its field.
const HOLDER: [&str; 5] = [
    "--namespace=sluice-system",
    "get",
    "leases",
    "--output=jsonpath={.items[*].spec.holderIdentity}",
    "--ignore-not-found",
];

impl Event {
    /// All of them, in the order in which they happen.
    pub(in crate::upgrade_test) const ALL: [Self; 7] = [
        Self::RollNodes,
        Self::RollControllers,
        Self::DeleteNode,
        Self::DeleteController,
        Self::KillHelper,
        Self::KillController,
        Self::KillNode,
    ];

    /// As results spell it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RollNodes => "rolling update, nodes",
            Self::RollControllers => "rolling update, controllers",
            Self::DeleteNode => "pod deleted, node",
            Self::DeleteController => "pod deleted, controller",
            Self::KillNode => "container killed, node",
            Self::KillHelper => "container killed, helper",
            Self::KillController => "container killed, controller",
        }
    }

    /// Makes it happen, for the `number`th time, and waits until all is as before.
    pub(super) fn happen(self, release: &mut Release, number: u64) -> Result<()> {
        match self {
            Self::RollNodes => roll(release, Role::Nodes, number),
            Self::RollControllers => roll(release, Role::Controllers, number),
            Self::DeleteNode => delete(release, Role::Nodes),
            Self::DeleteController => delete(release, Role::Controllers),
            Self::KillNode => kill(release, Role::Nodes, "node"),
            Self::KillHelper => kill(release, Role::Nodes, "helper"),
            Self::KillController => kill(release, Role::Controllers, "controller"),
        }
    }
}

/// Changes an annotation of the pods.
fn roll(release: &mut Release, role: Role, number: u64) -> Result<()> {
    release.set(&[role.key(), "podAnnotations"], json!({ "sluice.dev/round": number.to_string() }))?;
    release.settled(role)
}

fn delete(release: &Release, role: Role) -> Result<()> {
    let pod = chosen(release, role)?;
    release.delete(role, &pod)?;
    until(&format!("{pod} has a replacement"), || {
        let pods = release.pods(role)?;
        Ok(pods.iter().any(|name| *name != pod).then_some(()))
    })?;
    release.settled(role)
}

fn kill(release: &Release, role: Role, container: &str) -> Result<()> {
    let pod = chosen(release, role)?;
    let restarts = || release.container(role, &pod, container, "restartCount");
    let before = restarts()?;
    release.kill(&release.find(role, &pod, container)?)?;
    until(&format!("{container} of {pod} is started again"), || Ok((restarts()? != before).then_some(())))?;
    release.settled(role)
}

/// The newest node; of controllers the one that leads, if its name says so.
pub(super) fn chosen(release: &Release, role: Role) -> Result<String> {
    let pods = release.pods(role)?;
    if role == Role::Controllers {
        let holder = release.cluster().say(&HOLDER)?;
        if let Some(leader) = pods.iter().find(|pod| holder.contains(pod.as_str())) {
            return Ok(leader.clone());
        }
    }
    pods.last().cloned().context("no pod runs")
}

/// Rolls out a version that is broken, to nodes alone: no pod of it may become ready, and what serves must stay. Rolls it back.
pub(super) fn roll_broken(release: &mut Release, how: Broken) -> Result<()> {
    let serving = release.pods(Role::Nodes)?;
    release.set(&["node", "extraEnv"], json!([{ "name": "SLUICE_FAULT", "value": how.fault() }]))?;
    let pod = until("a pod of the broken version is made", || {
        Ok(release.pods(Role::Nodes)?.into_iter().find(|pod| !serving.contains(pod)))
    })?;
    let started = Instant::now();
    until("the broken version is started", || {
        let states = release.ask(Role::Nodes, &state_of(&pod))?;
        Ok((states.contains("running") || states.contains("terminated") || states.contains("CrashLoop"))
            .then_some(()))
    })?;
    while started.elapsed() < WATCHED {
        check_interrupt()?;
        let ready = release.container(Role::Nodes, &pod, "node", "ready")?;
        ensure!(ready == "false", "a version that {} is ready: {ready}", how.name());
        let there = release.pods(Role::Nodes)?;
        let gone: Vec<_> = serving.iter().filter(|name| !there.contains(name)).collect();
        ensure!(gone.is_empty(), "the rollout of a version that {} went on: gone are {gone:?}", how.name());
        thread::sleep(POLL_INTERVAL);
    }
    release.set(&["node", "extraEnv"], json!([]))?;
    until(
        &format!("{pod} is taken away"),
        || Ok((!release.pods(Role::Nodes)?.contains(&pod)).then_some(())),
    )?;
    let after = release.pods(Role::Nodes)?;
    ensure!(after == serving, "pods that served are not those that serve: {serving:?}, {after:?}");
    release.settled(Role::Nodes)
}

fn state_of(pod: &str) -> String {
    format!("{{.items[?(@.metadata.name==\"{pod}\")].status.containerStatuses[?(@.name==\"node\")].state}}")
}

/// Leaves nodes without any controller and without an API server for this time.
pub(super) fn away(release: &Release, time: Duration) -> Result<()> {
    let scale = |count: &str| {
        let words = ["scale", "deployment/sluice-controller", &format!("--replicas={count}")];
        release.cluster().say_in("sluice-system", &words)
    };
    scale("0")?;
    until("controllers have gone", || Ok(release.pods(Role::Controllers)?.is_empty().then_some(())))?;
    let stopped = release.stop_api_server()?;
    let end = Instant::now() + time;
    while Instant::now() < end {
        check_interrupt()?;
        thread::sleep(POLL_INTERVAL.min(end.saturating_duration_since(Instant::now())));
    }
    drop(stopped);
    until("the API server responds", || Ok(scale("2").is_ok().then_some(())))?;
    release.settled(Role::Controllers)?;
    release.settled(Role::Nodes)
}
