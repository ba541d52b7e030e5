//! Sluice as a release on a cluster of its own, which is changed again and again while clients send.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use super::install::{Addresses, CONTROLLERS, Installation, NODES, release, rolled_out};
use super::{backend, give_image_as, image, keep_logs};
use crate::chart::helm::Helm;
use crate::handle::Cluster;
use crate::launch::Lifetime;
use crate::logs::Logs;
use crate::machines::{Node, Nodes};
use crate::process;
use crate::version::Suite;

/// A release; its cluster ends when this is dropped.
pub struct Release {
    cluster: Cluster,
    helm: Helm,
    logs: Logs,
    values: Value,
}

/// Pods of one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// On every node, in its network; they serve clients.
    Nodes,
    /// The controllers, which nodes follow.
    Controllers,
}

/// Longer than a pod's time to end in order, with a busy machine's slack.
const GONE_TIMEOUT: Duration = Duration::from_secs(300);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

impl Role {
    /// The object's namespace, and its kind with its name.
    pub(super) fn object(self) -> (&'static str, &'static str) {
        match self {
            Self::Nodes => NODES,
            Self::Controllers => CONTROLLERS,
        }
    }

    /// As the chart calls them.
    pub fn key(self) -> &'static str {
        match self {
            Self::Nodes => "node",
            Self::Controllers => "controller",
        }
    }
}

impl Release {
    /// Starts a cluster of so many nodes and installs Sluice on it, of this binary.
    ///
    /// # Errors
    /// Something cannot be built, started or installed, or does not become ready.
    pub fn start(name: &str, nodes: u8, sluice: &Path) -> Result<Self> {
        let (helm, cluster, logs) = (Helm::build()?, Cluster::of(name)?, Logs::make("deploy")?);
        cluster.start(Suite::REFERENCE, Nodes::Apart(nodes), Lifetime::Bound)?;
        // From here on it is taken away in whatever way this ends.
        let mut release = Self { cluster, helm, logs, values: Value::Null };
        release.give(image::NAME, sluice)?;
        let Release { helm, cluster, .. } = &release;
        let (dir, addresses) = (release.dir(), Addresses::Nodes);
        let installed = Installation { helm, cluster, dir, addresses, more: Vec::new() }.install();
        release.values = match installed {
            Ok(values) => values,
            Err(error) => return Err(release.explained(error)),
        };
        Ok(release)
    }

    /// The error with where to read more: logs and states of all pods are kept there.
    pub fn explained(&self, error: anyhow::Error) -> anyhow::Error {
        let _ = keep_logs(&self.cluster, self.dir());
        error.context(format!("logs are in {}", self.dir().display()))
    }

    /// Its cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Where the files of this run are.
    pub fn dir(&self) -> &Path {
        self.logs.dir()
    }

    /// The cluster's nodes.
    ///
    /// # Errors
    /// It is not up.
    pub fn nodes(&self) -> Result<Vec<Node>> {
        self.cluster.nodes()
    }

    /// Makes the image of a program, with the libraries that Sluice has, known to every node by this name.
    ///
    /// # Errors
    /// It cannot be made, or a node does not take it.
    pub fn give(&self, name: &str, program: &Path) -> Result<()> {
        self.give_with(name, program, &[])
    }

    /// The same with more variables in the environment of its containers, each `NAME=VALUE`.
    ///
    /// # Errors
    /// As [`Release::give`].
    pub fn give_with(&self, name: &str, program: &Path, environment: &[String]) -> Result<()> {
        give_image_as(name, (program, environment), &self.cluster, self.dir())
    }

    /// Starts the backend of this `sluice-bench` in a pod, with `routes` that lead to it: objects in YAML, in namespace `load`.
    ///
    /// # Errors
    /// A node does not take its image, the API server refuses an object, or the pod does not become ready.
    pub fn start_backend(&self, bench: &Path, routes: &str) -> Result<()> {
        backend::start(&self.cluster, bench, self.dir(), routes)
    }

    /// Sets values of the chart, each by its path of keys, and has helm upgrade the release to them; does not wait for pods.
    ///
    /// # Errors
    /// Helm or the API server refuses one of them.
    pub fn set<const N: usize>(&mut self, values: [(&[&str], Value); N]) -> Result<()> {
        for (keys, value) in values {
            put(&mut self.values, keys, value);
        }
        release(&self.helm, &self.cluster, (self.dir(), &[]), "upgrade", &self.values)
    }

    /// A value of the release by its JSON pointer; null where the chart's own holds.
    pub fn value(&self, pointer: &str) -> Value {
        self.values.pointer(pointer).cloned().unwrap_or_default()
    }

    /// Waits until all pods of the role are of the newest version and ready, and none that ends is left.
    ///
    /// # Errors
    /// That does not come to be in time.
    pub fn settled(&self, role: Role) -> Result<()> {
        rolled_out(&self.cluster, role.object())?;
        let end = Instant::now() + GONE_TIMEOUT;
        loop {
            process::check_interrupt()?;
            let ending = self.ask(role, "{.items[*].metadata.deletionTimestamp}")?;
            match ending.trim().is_empty() {
                true => return Ok(()),
                false if Instant::now() > end => bail!("a pod of {} does not end", role.object().1),
                false => thread::sleep(POLL_INTERVAL),
            }
        }
    }

    /// A JSONPath over the list of the role's pods.
    ///
    /// # Errors
    /// kubectl fails.
    pub fn ask(&self, role: Role, path: &str) -> Result<String> {
        let (namespace, object) = role.object();
        let name = object.rsplit('/').next().unwrap_or(object);
        let selector = format!("--selector=app.kubernetes.io/name={name}");
        self.cluster.say_in(namespace, &["get", "pods", &selector, &format!("--output=jsonpath={path}")])
    }

    /// Names of the role's pods, the newest last.
    ///
    /// # Errors
    /// As [`Release::ask`].
    pub fn pods(&self, role: Role) -> Result<Vec<String>> {
        let lines =
            self.ask(role, "{range .items[*]}{.metadata.creationTimestamp} {.metadata.name}\n{end}")?;
        let mut lines: Vec<_> = lines.lines().filter(|line| !line.trim().is_empty()).collect();
        lines.sort_unstable();
        Ok(lines.iter().filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned).collect())
    }

    /// The log of a container of the last so much time, to the second.
    ///
    /// # Errors
    /// kubectl fails.
    pub fn log(&self, role: Role, pod: &str, container: &str, time: Duration) -> Result<String> {
        let (container, since) =
            (format!("--container={container}"), format!("--since={}s", time.as_secs().max(1)));
        self.cluster.say_in(role.object().0, &["logs", pod, &container, &since])
    }

    /// Deletes a pod as an administrator; does not wait for its end.
    ///
    /// # Errors
    /// kubectl fails.
    pub fn delete(&self, role: Role, pod: &str) -> Result<()> {
        self.cluster.say_in(role.object().0, &["delete", "pod", pod, "--wait=false"]).map(drop)
    }

    /// One field of a container's status, such as `containerID`.
    ///
    /// # Errors
    /// As [`Release::ask`].
    pub fn container(&self, role: Role, pod: &str, container: &str, field: &str) -> Result<String> {
        // The helper is of the second list.
        let path = ["containerStatuses", "initContainerStatuses"].map(|list| {
            format!(
                "{{.items[?(@.metadata.name==\"{pod}\")].status.{list}[?(@.name==\"{container}\")].{field}}}"
            )
        });
        let path = path.concat();
        let said = self.ask(role, &path)?;
        ensure!(!said.trim().is_empty(), "the container {container} of {pod} has no {field}");
        Ok(said.trim().to_owned())
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        if let Err(error) = self.cluster.end() {
            eprintln!("taking the cluster away: {error:#}");
        }
    }
}

/// Puts a value at the end of a path of keys, with the objects between.
fn put(values: &mut Value, keys: &[&str], value: Value) {
    let mut place = values;
    for key in keys {
        place = &mut place[*key];
    }
    *place = value;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_value_is_set_and_the_others_stay() {
        let mut values = json!({ "node": { "config": { "steering": "ebpf" } } });
        put(&mut values, &["node", "podAnnotations"], json!({ "round": "1" }));
        put(&mut values, &["image", "tag"], json!("before"));
        let expected = json!({
            "image": { "tag": "before" },
            "node": { "config": { "steering": "ebpf" }, "podAnnotations": { "round": "1" } },
        });
        assert_eq!(values, expected);
    }
}
