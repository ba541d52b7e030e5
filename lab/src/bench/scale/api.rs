//! The API server through `kubectl proxy`, so that one plain connection serves for many quick calls.

use std::net::SocketAddr;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result, ensure};
use gateway_testkit::http::{Client, Response};
use serde_json::Value;

use super::objects;
use crate::process::{Process, until};
use sluice_cluster::enter;
use sluice_cluster::handle::Cluster;

/// Where the proxy listens, in the cluster's network.
const PROXY: ([u8; 4], u16) = ([127, 0, 0, 1], 8009);
/// Connections that write at once.
const WRITERS: usize = 8;

/// A connection to the API server.
pub(super) struct Api {
    client: Client,
}

/// Starts the proxy; it ends when what this gives is dropped, and with the cluster at the latest.
pub(super) fn proxy(cluster: &Cluster, dir: &Path) -> Result<Process> {
    let mut command = cluster.kubectl_within()?;
    command.args(["proxy", "--port", &PROXY.1.to_string()]);
    let mut process = Process::spawn("kubectl-proxy", dir, &mut command)?;
    until("kubectl proxy listens", || {
        process.ensure_running()?;
        Ok(process.output().contains("Starting to serve").then_some(()))
    })?;
    Ok(process)
}

impl Api {
    pub(super) fn connect() -> Result<Self> {
        Ok(Self { client: Client::connect(SocketAddr::from(PROXY)).context("kubectl proxy")? })
    }

    pub(super) fn get(&mut self, path: &str) -> Result<String> {
        self.call("GET", path, "application/json", "").map(|response| response.text())
    }

    pub(super) fn json(&mut self, path: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.get(path)?)?)
    }

    pub(super) fn create(&mut self, object: &Value) -> Result<()> {
        self.call("POST", &objects::path(object), "application/json", &object.to_string()).map(drop)
    }

    /// Merges `change` into the route of this number (RFC 7386).
    pub(super) fn patch_route(&mut self, number: usize, change: &Value) -> Result<()> {
        let path = format!("{}/route-{number}", objects::path(&objects::numbered(number)));
        self.call("PATCH", &path, "application/merge-patch+json", &change.to_string()).map(drop)
    }

    fn call(&mut self, method: &str, path: &str, content: &str, body: &str) -> Result<Response> {
        self.client.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))?;
        let response = self.client.response_to(method)?;
        ensure!(
            (200..300).contains(&response.status),
            "{method} {path}: {} {}",
            response.status,
            response.text()
        );
        Ok(response)
    }
}

/// Creates the routes of these numbers over several connections.
pub(super) fn create_routes(cluster: &Cluster, count: usize) -> Result<()> {
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    enter::inside(cluster, || {
                        let mut api = Api::connect()?;
                        (writer..count)
                            .step_by(WRITERS)
                            .try_for_each(|number| api.create(&objects::numbered(number)))
                    })
                })
            })
            .collect();
        writers
            .into_iter()
            .try_for_each(|writer| writer.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause)))
    })
}

/// Writes that the API server was asked for by controllers: statuses of Gateway API kinds, reports,
/// leases and events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Writes {
    pub(super) status: u64,
    pub(super) reports: u64,
    pub(super) leases: u64,
    pub(super) events: u64,
}

impl Writes {
    /// Counts so far, from the API server's metrics.
    pub(super) fn read(api: &mut Api) -> Result<Self> {
        Ok(Self::parse(&api.get("/metrics")?))
    }

    fn parse(metrics: &str) -> Self {
        let mut writes = Self::default();
        for line in metrics.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
            let has = |name: &str, value: &str| line.contains(&format!("{name}=\"{value}\""));
            let count = line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) as u64;
            if !["POST", "PUT", "PATCH", "APPLY", "DELETE"].iter().any(|verb| has("verb", verb)) {
                continue;
            }
            if has("group", "gateway.networking.k8s.io") && has("subresource", "status") {
                writes.status += count;
            } else if has("group", "sluice.dev") {
                writes.reports += count;
            } else if has("resource", "leases") {
                writes.leases += count;
            } else if has("resource", "events") {
                writes.events += count;
            }
        }
        writes
    }

    /// Growth since `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            status: self.status - earlier.status,
            reports: self.reports - earlier.reports,
            leases: self.leases - earlier.leases,
            events: self.events - earlier.events,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_told_from_reads_and_by_what_they_write() {
        let line = |verb: &str, group: &str, resource: &str, subresource: &str, count: u32| {
            format!(
                "apiserver_request_total{{code=\"200\",group=\"{group}\",resource=\"{resource}\",\
                 subresource=\"{subresource}\",verb=\"{verb}\"}} {count}\n"
            )
        };
        let metrics = [
            line("PATCH", "gateway.networking.k8s.io", "httproutes", "status", 5),
            line("PATCH", "gateway.networking.k8s.io", "gateways", "status", 2),
            line("PATCH", "gateway.networking.k8s.io", "httproutes", "", 100),
            line("LIST", "gateway.networking.k8s.io", "httproutes", "", 100),
            line("PUT", "coordination.k8s.io", "leases", "", 3),
            line("GET", "coordination.k8s.io", "leases", "", 30),
            line("PATCH", "sluice.dev", "nodereports", "", 4),
            line("POST", "events.k8s.io", "events", "", 6),
        ]
        .concat();
        let writes = Writes::parse(&metrics);
        assert_eq!(writes, Writes { status: 7, reports: 4, leases: 3, events: 6 });
        assert_eq!(writes.since(Writes { status: 5, ..Writes::default() }).status, 2);
    }
}
