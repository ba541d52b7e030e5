//! Events of the release while clients send.

use anyhow::{Context, Result};
use serde_json::json;
use sluice_cluster::deploy::release::{Release, Role};

use super::asked_until;
use super::verdict::Bar;

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

    /// The most that it may cost.
    pub(super) fn bar(self) -> Bar {
        match self {
            Self::RollNodes | Self::DeleteNode => Bar::Drained,
            Self::KillNode => Bar::InFlight,
            _ => Bar::Nothing,
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
    let round = json!({ "sluice.dev/round": number.to_string() });
    release.set([(&[role.key(), "podAnnotations"], round)])?;
    release.settled(role)
}

fn delete(release: &Release, role: Role) -> Result<()> {
    let pod = chosen(release, role)?;
    release.delete(role, &pod)?;
    asked_until(&format!("{pod} has a replacement"), || {
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
    asked_until(&format!("{container} of {pod} is started again"), || {
        Ok((restarts()? != before).then_some(()))
    })?;
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
