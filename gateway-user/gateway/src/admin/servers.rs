//! Limits and counters of the servers for operators.

use std::sync::Arc;
use std::time::Duration;

use gateway_admin::{Limits, ServerCounters};

use super::Shared;
use super::exposition::Exposition;

/// For probes: small, quick and seldom.
pub(crate) const HEALTH: Limits = Limits {
    connections: 64,
    header: Duration::from_secs(5),
    idle: Duration::from_secs(60),
    write: Duration::from_secs(5),
    response: Duration::from_secs(10),
};
/// For scrapers: a page has some megabytes, and intervals are up to two minutes.
pub(crate) const METRICS: Limits = Limits {
    connections: 32,
    header: Duration::from_secs(10),
    idle: Duration::from_secs(180),
    write: Duration::from_secs(10),
    response: Duration::from_secs(120),
};
/// For people at the other end of a slow terminal.
pub(crate) const ADMIN: Limits = Limits {
    connections: 16,
    header: Duration::from_secs(10),
    idle: Duration::from_secs(60),
    write: Duration::from_secs(30),
    response: Duration::from_secs(600),
};

/// Counters of each server; admin has those of its TCP address, if any, and those of its socket together.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllCounters {
    pub(crate) health: Arc<ServerCounters>,
    pub(crate) metrics: Arc<ServerCounters>,
    pub(crate) admin: Arc<ServerCounters>,
}

/// Adds the metrics of the servers themselves.
pub(super) fn page(page: &mut Exposition, shared: &Shared) {
    let AllCounters { health, metrics, admin } = &shared.counters;
    let servers = [("health", health), ("metrics", metrics), ("admin", admin)];
    page.gauge(
        "sluice_server_connections",
        "Connections of probes, scrapers and operators open now, by server.",
    );
    for (server, counters) in servers {
        page.sample(&[("server", server)], counters.connections());
    }
    let help = "Connections that a server closed by itself, by server and reason.";
    page.counter("sluice_server_closed_total", help);
    for (server, counters) in servers {
        for (reason, count) in counters.closed() {
            page.sample(&[("server", server), ("reason", reason.code())], count);
        }
    }
    let help = "Seconds since a worker's loop last turned, by worker; probes look at these.";
    page.gauge("sluice_worker_heartbeat_age_seconds", help);
    for (slot, heartbeat) in shared.readiness.workers().iter().enumerate() {
        page.sample(&[("worker", &slot.to_string())], heartbeat.age().as_secs_f64());
    }
}
