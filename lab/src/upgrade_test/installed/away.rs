//! A time without an API server and without controllers, in which containers are killed.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use sluice_cluster::deploy::faults::{Container, Stopped};
use sluice_cluster::deploy::release::{Release, Role};

use super::asked_until;
use super::event::chosen;
use crate::process::check_interrupt;

/// The time that has begun. The API server goes on when this is dropped.
pub(super) struct Away {
    stopped: Stopped,
    /// Containers of a node that serves, found while there was somebody to ask.
    helper: Container,
    node: Container,
}

const POLL_INTERVAL: Duration = Duration::from_millis(100);
const REPLICAS: &str = "2";

/// Kills the controller that leads while the API server stands still. The next process finds none, and must not tell nodes
/// that there are no routes.
pub(super) fn kill_controller(release: &Release, time: Duration) -> Result<()> {
    let pod = chosen(release, Role::Controllers)?;
    let controller = release.find(Role::Controllers, &pod, "controller")?;
    let stopped = release.stop_api_server()?;
    kill(release, &controller)?;
    wait(time)?;
    drop(stopped);
    asked_until("the API server responds", || Ok(release.pods(Role::Controllers).is_ok().then_some(())))?;
    release.settled(Role::Controllers)
}

impl Away {
    /// Takes all controllers away, then has the API server stand still.
    pub(super) fn begin(release: &Release) -> Result<Self> {
        let pod = chosen(release, Role::Nodes)?;
        let [helper, node] = ["helper", "node"].map(|name| release.find(Role::Nodes, &pod, name));
        let (helper, node) = (helper?, node?);
        scale(release, "0")?;
        asked_until("controllers have gone", || {
            Ok(release.pods(Role::Controllers)?.is_empty().then_some(()))
        })?;
        Ok(Self { stopped: release.stop_api_server()?, helper, node })
    }

    /// Kills the helper's container.
    pub(super) fn kill_helper(&self, release: &Release) -> Result<()> {
        kill(release, &self.helper)
    }

    /// Kills the container that serves: the next process has its own state on disk alone to serve from.
    pub(super) fn kill_node(&self, release: &Release) -> Result<()> {
        kill(release, &self.node)
    }

    /// Has both come back.
    pub(super) fn end(self, release: &Release) -> Result<()> {
        drop(self.stopped);
        asked_until("the API server responds", || Ok(scale(release, REPLICAS).is_ok().then_some(())))?;
        release.settled(Role::Controllers)?;
        release.settled(Role::Nodes)
    }
}

/// Lets so much time go by.
pub(super) fn wait(time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        check_interrupt()?;
        thread::sleep(POLL_INTERVAL.min(end.saturating_duration_since(Instant::now())));
    }
    Ok(())
}

fn kill(release: &Release, container: &Container) -> Result<()> {
    release.kill(container)?;
    asked_until("the container is started again", || Ok(release.is_replaced(container)?.then_some(())))
}

fn scale(release: &Release, count: &str) -> Result<()> {
    let words = ["scale", "deployment/sluice-controller", &format!("--replicas={count}")];
    release.cluster().say_in("sluice-system", &words).map(drop)
}
