//! The live configuration as it is reported: a value that is replaced as a whole after every change.

use std::sync::Arc;
use std::time::Instant;

use gateway_api_types::load::Diagnostic;
use gateway_ir::{Endpoints, Generation, Ir};
use gateway_snapshot::Snapshot;
use gateway_steer::{Rejection, SteerPlan};
use gateway_translate::{HostTotals, NodeReport, StatusSet};
use jiff::Timestamp;

use crate::own_ports::OwnEndpoint;
use crate::status::Since;

/// The control plane's output at one moment.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The configuration that all workers serve; `None` until the first configuration is live and steered.
    pub live: Option<Live>,
    /// The status of every object, with what this node made of it, without times.
    pub status: Arc<StatusSet>,
    /// Time at which each of its conditions got its status.
    pub since: Arc<Since>,
    /// The same before any node had a say.
    pub translated: Arc<StatusSet>,
    /// This node's report of it.
    pub report: Arc<NodeReport>,
    /// Errors in the files when they were read last, or of the watches of a cluster.
    pub diagnostics: Arc<[Diagnostic]>,
    /// Findings of the translation.
    pub findings: Arc<[gateway_translate::Diagnostic]>,
    /// Endpoints that this node leaves out because they are the node itself.
    pub own_endpoints: Arc<[OwnEndpoint]>,
    /// Hosts and rules that are in each other's way.
    pub hosts: HostTotals,
    /// Missing part of the source, as long as nothing is live for lack of it.
    pub waiting: Option<String>,
    /// Namespaces whose newest HTTPRoutes wait for their regular expressions to be built; the ones before are
    /// live.
    pub building: Arc<[String]>,
    /// Regular expressions of HTTPRoutes that are refused.
    pub refused_expressions: usize,
    /// Rules of HTTPRoutes that are refused because requests could have too much scanned.
    pub refused_rules: usize,
    /// Parts that this node serves closed for want of what its controller knows, one line each.
    pub closed: Arc<[String]>,
    /// The stream from the controller, on a node that has one.
    pub stream: Option<StreamView>,
    /// Error that keeps the newest configuration from being live.
    pub last_error: Option<String>,
    /// Counts since the start.
    pub tally: Tally,
}

impl View {
    /// Counts a configuration that was gone through since `begun`.
    pub(crate) fn count(&mut self, begun: Instant) {
        self.tally.reconciled += 1;
        self.tally.reconciled_us += u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    }

    /// The status of every object with its times, as it is shown to people.
    pub fn dated_status(&self) -> StatusSet {
        self.since.date((*self.status).clone())
    }
}

/// The stream from a controller, as a node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamView {
    /// Version of the controller's that is here.
    pub version: u64,
    /// Number of items that are served closed.
    pub closed: u64,
}

/// A configuration that is live on all workers.
#[derive(Clone, Debug)]
pub struct Live {
    /// Its number.
    pub generation: Generation,
    /// Time at which it went live.
    pub since: Timestamp,
    /// The representation that it was compiled from.
    pub ir: Arc<Ir>,
    /// Its tables.
    pub snapshot: Arc<Snapshot>,
    /// The addresses in use.
    pub endpoints: Arc<Endpoints>,
    /// Steered binds: those that were not refused.
    pub plan: Arc<SteerPlan>,
    /// The binds that were.
    pub refused: Arc<[Rejection]>,
}

/// Counts since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Configurations gone through, changed or not.
    pub reconciled: u64,
    /// Time spent on them in microseconds, without reading the source.
    pub reconciled_us: u64,
    /// Generations that went live.
    pub published: u64,
    /// Changes of endpoints alone.
    pub endpoint_updates: u64,
    /// Attempts after which the old generation stayed.
    pub failed: u64,
    /// Readings of the source that failed.
    pub unreadable: u64,
    /// Files and objects with an error at the last reading.
    pub errors: u64,
}
