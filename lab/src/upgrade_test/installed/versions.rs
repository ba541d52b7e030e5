//! Other versions of the release: broken ones, one with another map layout, the version before.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use sluice_cluster::deploy::release::{Release, Role};

use super::asked_until;
use crate::peers::sluice::Broken;
use crate::process::check_interrupt;

/// A program that is another version, as an image of its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Version {
    /// As `--before` names it.
    Before,
    /// Built with faults, which is broken where a pod's environment says so.
    Faulty,
    /// Built with faults, with the environment of one to come: its maps have another layout, in other pins, and it speaks a
    /// newer version of the messages beside this one.
    ToCome,
}

/// For which a broken version is watched. A kubelet that took it for ready would need less.
const WATCHED: Duration = Duration::from_secs(25);
const POLL_INTERVAL: Duration = Duration::from_millis(500);
const TO_COME: &str =
    "SLUICE_FAULT=takeover:version=9.0.0,takeover:protocol=2,takeover:oldest=1,takeover:layout=8";
/// The path of the value of the release that says which version it has.
const TAG: [&str; 2] = ["image", "tag"];
/// That of the value for a spare in each node's pod, whose flag an earlier version may not have.
const SPARE: [&str; 3] = ["node", "spare", "enabled"];

impl Version {
    fn tag(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Faulty => "faulty",
            Self::ToCome => "to-come",
        }
    }

    /// Makes its image known to all nodes.
    pub(super) fn give(self, release: &Release, program: &Path) -> Result<()> {
        let name = format!("docker.io/library/sluice:{}", self.tag());
        match self {
            Self::ToCome => release.give_with(&name, program, &[TO_COME.to_owned()]),
            Self::Before | Self::Faulty => release.give(&name, program),
        }
    }
}

/// Has all roles become another version.
pub(super) fn change(release: &mut Release, version: Version) -> Result<()> {
    let with_spare = !matches!(version, Version::Before);
    to(release, json!(version.tag()), with_spare)
}

/// The version that a release has, to be gone back to.
pub(super) fn current(release: &Release) -> Value {
    release.value("/image/tag")
}

/// Has all roles become the version of this tag, which was the first.
pub(super) fn back(release: &mut Release, tag: Value) -> Result<()> {
    to(release, tag, true)
}

fn to(release: &mut Release, tag: Value, with_spare: bool) -> Result<()> {
    release.set([(&TAG[..], tag), (&SPARE, json!(with_spare))])?;
    release.settled(Role::Controllers)?;
    release.settled(Role::Nodes)
}

/// Rolls out a version whose nodes are broken: no pod of it may become ready, and what serves must stay. Rolls it back.
pub(super) fn roll_broken(release: &mut Release, how: Broken) -> Result<()> {
    let (serving, tag) = (release.pods(Role::Nodes)?, current(release));
    let environment = json!([{ "name": "SLUICE_FAULT", "value": how.fault() }]);
    release.set([(&TAG, json!(Version::Faulty.tag())), (&["node", "extraEnv"], environment)])?;
    let pod = asked_until("a pod of the broken version is made", || {
        Ok(release.pods(Role::Nodes)?.into_iter().find(|pod| !serving.contains(pod)))
    })?;
    asked_until("the broken version is started", || {
        let states = release.ask(Role::Nodes, &state_of(&pod))?;
        Ok((states.contains("running") || states.contains("terminated") || states.contains("CrashLoop"))
            .then_some(()))
    })?;
    let started = Instant::now();
    while started.elapsed() < WATCHED {
        check_interrupt()?;
        let ready = release.container(Role::Nodes, &pod, "node", "ready")?;
        ensure!(ready == "false", "a version that {} is ready: {ready}", how.name());
        let there = release.pods(Role::Nodes)?;
        let gone: Vec<_> = serving.iter().filter(|name| !there.contains(name)).collect();
        ensure!(gone.is_empty(), "the rollout of a version that {} went on: gone are {gone:?}", how.name());
        thread::sleep(POLL_INTERVAL);
    }
    release.set([(&TAG, tag), (&["node", "extraEnv"], json!([]))])?;
    asked_until(&format!("{pod} is taken away"), || {
        Ok((!release.pods(Role::Nodes)?.contains(&pod)).then_some(()))
    })?;
    let after = release.pods(Role::Nodes)?;
    ensure!(after == serving, "pods that served are not those that serve: {serving:?}, {after:?}");
    release.settled(Role::Controllers)?;
    release.settled(Role::Nodes)
}

fn state_of(pod: &str) -> String {
    format!("{{.items[?(@.metadata.name==\"{pod}\")].status.containerStatuses[?(@.name==\"node\")].state}}")
}
