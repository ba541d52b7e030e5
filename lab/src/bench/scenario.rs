//! The load on every target, and the bars that Sluice is held to.

use super::target::Target::{self, Floor, Haproxy, Nginx, Sluice, SluiceOneRoute};

/// One row of the table.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) connections: u32,
    pub(super) request_path: &'static str,
    /// Each request on a connection of its own.
    pub(super) close: bool,
    /// Everybody writes an access log.
    pub(super) log: bool,
    /// Requests for [`crate::peers::resources::HOSTS`] names with [`crate::peers::resources::PATHS`] paths
    /// each, in turn.
    pub(super) many: bool,
    pub(super) targets: &'static [Target],
    pub(super) bars: &'static [Bar],
}

/// Sluice's CPU per request may be at most so many times that of the cheapest of `of`.
#[derive(Debug)]
pub(super) struct Bar {
    pub(super) times: f64,
    pub(super) of: &'static [Target],
}

const fn bar(times: f64, of: &'static [Target]) -> Bar {
    Bar { times, of }
}

const ALL: &[Target] = &[Sluice, Nginx, Haproxy, Floor];

const PLAIN: Scenario = Scenario {
    name: "",
    connections: 64,
    request_path: "/app/100",
    close: false,
    log: false,
    many: false,
    targets: ALL,
    bars: &[],
};

/// All of them, in the order of the table.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "keep-alive-64",
        bars: &[bar(0.95, &[Nginx]), bar(0.90, &[Haproxy]), bar(1.15, &[Floor])],
        ..PLAIN
    },
    Scenario {
        name: "keep-alive-512",
        connections: 512,
        bars: &[bar(0.95, &[Nginx]), bar(0.90, &[Haproxy]), bar(1.15, &[Floor])],
        ..PLAIN
    },
    Scenario {
        name: "many-routes",
        many: true,
        targets: &[Sluice, SluiceOneRoute],
        bars: &[bar(1.05, &[SluiceOneRoute])],
        ..PLAIN
    },
    Scenario {
        name: "access-log",
        log: true,
        targets: &[Sluice, Nginx, Haproxy],
        bars: &[bar(0.95, &[Nginx])],
        ..PLAIN
    },
    Scenario { name: "connection-each", close: true, bars: &[bar(1.0, &[Haproxy])], ..PLAIN },
    Scenario { name: "body-10k", request_path: "/app/10k", bars: &[bar(1.0, &[Nginx, Haproxy])], ..PLAIN },
    Scenario { name: "body-1m", request_path: "/app/1m", bars: &[bar(1.0, &[Nginx, Haproxy])], ..PLAIN },
];
