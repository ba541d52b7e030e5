//! Writes into a cluster: the status of every object that is ours to judge.
//!
//! Every node says in a NodeReport what it serves; one of them, by a Lease, writes what that makes of the
//! status, and tells of it in Events. [`plan`] and [`change`] are pure: status, reports and what the server
//! was seen to hold in, patches out. A patch names the version that it is for, touches what is ours alone,
//! and is made anew from what the watch brings if somebody else was faster.

pub mod change;
mod dangling;
mod entries;
mod events;
pub(crate) mod failures;
pub mod infrastructure;
pub mod lease;
mod observed_objects;
pub mod op;
mod order;
mod pace;
pub mod plan;
pub mod pool;
pub mod record;
mod reporter;
pub(crate) mod reports;
mod statuses;
mod tally;
mod writer;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use kube::{Api, Client};
use tokio::sync::watch;

use self::dangling::Dangling;
use self::events::Events;
use self::infrastructure::Infrastructure;
use self::lease::{Candidate, Herald, LeaseTimes};
use self::pace::Pace;
use self::pool::{AssignmentWriter, ObservedAssignments, Wants};
use self::reporter::{OwnReport, Reporter};
use self::reports::ReportCache;
use self::statuses::Statuses;
use self::writer::Writer;
use crate::stream::Nodes;
use crate::trust::{CertificateStore, Namespaces, Showing};
use crate::view::View;

pub use dangling::REPORT_DELAY;
pub use observed_objects::ObservedObjects;
pub use tally::{ClusterTally, Outcome};

/// The Lease of the process that writes statuses.
const LEASE: &str = "sluice-status";

/// This process as a member of a cluster, and its inputs.
pub struct Membership {
    /// The API server.
    pub client: Client,
    /// Sluice's own namespace.
    pub namespace: String,
    /// The node's name; one process reports for a node.
    pub node: String,
    /// The controller name whose entries in the status of routes are ours.
    pub controller: String,
    /// Objects as the server was last seen to hold them.
    pub seen: Arc<dyn ObservedObjects>,
    /// A counter that changes whenever `seen` does.
    pub seen_changed: watch::Receiver<u64>,
    /// The live view of this process.
    pub view: watch::Receiver<Arc<View>>,
    /// Durations of the Lease.
    pub times: LeaseTimes,
    /// True if this process stands for the Lease; without, it only reports.
    pub may_lead: bool,
    /// The namespaces that are read; empty is all.
    pub namespaces: Vec<String>,
    /// Time for which a route may name a Gateway that does not exist before its owner is told.
    pub tell_after: Duration,
    /// Statuses that are written in a second; 0 is no bound.
    pub status_qps: u32,
    /// True if Gateways with `spec.infrastructure` get a ServiceAccount.
    pub gateway_accounts: bool,
    /// Counts of the writes.
    pub tally: Arc<ClusterTally>,
    /// The pool of addresses, if Gateways have any of one.
    pub pool: Option<PoolDuty>,
    /// True if the node's report goes when this process stops: not if another one serves on the node by then.
    pub leaves: watch::Receiver<bool>,
    /// The nodes that follow this process, on a controller.
    pub nodes: Option<(Arc<Nodes>, ReportsBy)>,
    /// Duties of a controller that nodes follow by the Lease.
    pub stream: Option<StreamDuty>,
}

/// Duties towards nodes that follow the leader over a network.
#[derive(Debug)]
pub struct StreamDuty {
    /// The address to name as the leader's, and where to say who leads.
    pub herald: Herald,
    /// Where the certificate that controllers show goes to, if they make it themselves.
    pub showing: Option<Showing>,
    /// The namespace of the nodes' pods, which mount what they are to trust.
    pub node_namespace: String,
}

impl StreamDuty {
    /// The part that names the leader, and the one that keeps certificates if they are kept here.
    fn into_parts(
        self,
        client: &Client,
        namespace: &str,
        leadership: &lease::Leadership,
    ) -> (Herald, Option<CertificateStore>) {
        let namespaces = Namespaces { controllers: namespace, nodes: &self.node_namespace };
        let store = |showing| CertificateStore::new(client.clone(), namespaces, leadership.clone(), showing);
        (self.herald, self.showing.map(store))
    }
}

/// The way of nodes' reports to the controller that writes statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportsBy {
    /// All nodes follow the controller that leads, and report by their streams.
    Streams,
    /// Each node has a controller of its own, which writes its NodeReport.
    Objects,
}

/// Inputs of the leader for assigning addresses.
#[derive(Debug)]
pub struct PoolDuty {
    /// The networks.
    pub pool: Vec<IpNet>,
    /// Addresses that Gateways ask for.
    pub wants: watch::Receiver<Wants>,
    /// Addresses that they have.
    pub given: watch::Receiver<ObservedAssignments>,
}

/// Reports, leads when it is our turn, and writes statuses then, until `stop` says true or its sender is
/// gone. Ends when the Lease and, if asked for, the report are given back.
pub async fn run(membership: Membership, stop: watch::Receiver<bool>) {
    let Membership { client, namespace, node, controller, tally, view, times, .. } = membership;
    let identity = format!("{node}_{:016x}", RandomState::new().build_hasher().finish());
    let by_streams = matches!(membership.nodes, Some((_, ReportsBy::Streams)));
    let own = match &membership.nodes {
        None => OwnReport::View(view.clone()),
        Some((nodes, _)) => OwnReport::Relayed(nodes.own_report()),
    };
    let reporter = Reporter::new(client.clone(), &namespace, &node, Arc::clone(&tally));
    let reporting = {
        let (own, stop) = (own.clone(), stop.clone());
        async move {
            if !by_streams {
                reporter.run(own, stop, membership.leaves).await;
            }
        }
    };
    if !membership.may_lead {
        return reporting.await;
    }
    let own_node = (!by_streams).then(|| node.clone());
    let (candidate, leadership) = Candidate::new(client.clone(), &namespace, LEASE, &identity, times);
    let parts = membership.stream.map(|duty| duty.into_parts(&client, &namespace, &leadership));
    let (herald, certificate_store) = parts.unzip();
    let candidate = candidate.heralded(herald);
    let (heard_by, by_objects) = watch::channel(ReportCache::default());
    let streams = membership.nodes.as_ref().filter(|_| by_streams).map(|(nodes, _)| Arc::clone(nodes));
    let reports = streams.as_ref().map_or(by_objects, |nodes| nodes.reports());
    let streams =
        streams.map(|nodes| (nodes.placement(), nodes)).map(|(placement, nodes)| (nodes, placement));
    let (events, sending) = Events::new(client.clone(), &controller, &identity, Arc::clone(&tally));
    let pace = Pace::new(membership.status_qps);
    let (infrastructure, infrastructure_faults) =
        Infrastructure::new(&client, (&membership.seen, &view), &leadership, &pace);
    let infrastructure = membership.gateway_accounts.then(|| infrastructure.within(&membership.namespaces));
    let writer = Writer::new(client.clone(), leadership.clone(), events.clone(), Arc::clone(&tally), pace);
    let assignment_writer = membership.pool.map(|duty| AssignmentWriter {
        maps: Api::namespaced(client.clone(), &namespace),
        pool: duty.pool,
        node: own_node.clone(),
        wants: duty.wants,
        given: duty.given,
        reports: reports.clone(),
        leadership: leadership.clone(),
        streams,
    });
    let following = follow((!by_streams).then_some((client, namespace)), heard_by, leadership.clone());
    let giving = give(assignment_writer, stop.clone());
    let keeping = keep(certificate_store.flatten(), stop.clone());
    let making = make(infrastructure, stop.clone());
    let statuses = Statuses {
        node: own_node,
        own,
        controller,
        seen: membership.seen,
        seen_changed: membership.seen_changed,
        view,
        reports,
        leadership,
        writer,
        tally,
        waiting: HashMap::new(),
        dangling: Dangling::default(),
        infrastructure_faults,
        namespaces: membership.namespaces,
        tell_after: membership.tell_after,
        events,
    };
    // Others end by themselves once the loop has dropped its ends of their channels.
    let writing = statuses.run(stop.clone());
    let helpers = async { tokio::join!(sending, following) };
    let duties = async { tokio::join!(reporting, candidate.run(stop), writing, giving, keeping, making) };
    tokio::pin!(helpers, duties);
    tokio::select! {
        _ = &mut duties => {}
        _ = &mut helpers => drop(duties.await),
    }
}

/// Keeps certificates, if they are kept here.
async fn keep(certificate_store: Option<CertificateStore>, stop: watch::Receiver<bool>) {
    if let Some(certificate_store) = certificate_store {
        certificate_store.run(stop).await;
    }
}

/// Follows the reports of nodes that are objects of the cluster, if they are.
async fn follow(
    objects: Option<(Client, String)>,
    heard_by: watch::Sender<ReportCache>,
    leadership: lease::Leadership,
) {
    match objects {
        None => std::future::pending().await,
        Some((client, namespace)) => reports::follow(client, namespace, heard_by, leadership).await,
    }
}

/// Makes what Gateways' infrastructure asks for, if this process may.
async fn make(infrastructure: Option<Infrastructure>, stop: watch::Receiver<bool>) {
    if let Some(infrastructure) = infrastructure {
        infrastructure.run(stop).await;
    }
}

/// Gives addresses, if there are any to give.
async fn give(writer: Option<AssignmentWriter>, stop: watch::Receiver<bool>) {
    if let Some(writer) = writer {
        writer.run(stop).await;
    }
}
