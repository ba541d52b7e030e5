//! Memory of idle connections.

use anyhow::Result;

use super::report::Idle;
use super::scenario::Scenario;
use super::scenarios::{PLAIN, TLS};
use super::target::Target;
use super::testbed::{Plan, Testbed};
use crate::bars::{self, Bar};

/// Connections that are idle, after a request.
#[derive(Debug)]
pub(super) struct IdleScenario {
    pub(super) name: &'static str,
    /// Configuration of proxies, and the path of the request.
    pub(super) scenario: Scenario,
    /// The version of TLS, as [`sluice_bench::hold`] is told; clear text without.
    pub(super) version: Option<&'static str>,
    /// Bytes that each takes at most.
    pub(super) most: Option<fn(&bars::Idle) -> Bar>,
}

/// All of them, in the order of their lines.
pub(super) static IDLE: &[IdleScenario] = &[
    IdleScenario { name: "idle", scenario: PLAIN, version: None, most: None },
    IdleScenario {
        name: "idle-tls-1.3",
        scenario: TLS,
        version: Some("1.3"),
        most: Some(|bars| bars.tls_1_3_bytes),
    },
    IdleScenario {
        name: "idle-tls-1.2",
        scenario: TLS,
        version: Some("1.2"),
        most: Some(|bars| bars.tls_1_2_bytes),
    },
];

/// Measures so many idle connections of one target, prints and gives the result.
///
/// # Errors
/// The target cannot be started, or a connection not be opened.
pub(super) fn idle(
    scenario: &'static IdleScenario,
    plan: Plan,
    connections: usize,
    most: Option<Bar>,
) -> Result<Idle> {
    let target = plan.target;
    let mut testbed = Testbed::start(plan)?;
    let [before, after] = testbed.hold(connections, scenario.version)?;
    let bytes_per_connection = (after.saturating_sub(before) * 1024) as f64 / connections as f64;
    let at_most = most.filter(|_| target == Target::Sluice).map(Bar::figure);
    let (name, target) = (scenario.name, target.name());
    let found = Idle { scenario: name, target, connections, bytes_per_connection, at_most };
    let verdict = match at_most {
        Some(most) if found.is_met() => format!(", at most {most}: met"),
        Some(most) => format!(", at most {most}: MISSED"),
        None => String::new(),
    };
    println!("  {name:<14}{target:<18}{bytes_per_connection:>8.0} resident bytes per connection{verdict}");
    Ok(found)
}
