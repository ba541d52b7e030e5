//! Nodes that follow over a network: where they are served, by what certificate, and by whom of several controllers.

use anyhow::bail;
use gateway_control::cluster::StreamDuty;
use gateway_control::cluster::lease::Herald;
use gateway_control::source::kube::Cluster;
use gateway_control::stream::NetworkOptions;
use gateway_control::trust::{Reviewer, follow_files};
use gateway_sync::server::Leading;
use tokio::sync::watch;

use crate::flags::{Auto, NodeReports, Settings};
use crate::node;
use crate::source::Source;

/// The account of nodes' pods, unless others are named.
const ACCOUNT: &str = "sluice-node";

/// Parts by which a controller serves nodes of a network, and knows the leader.
pub(super) struct Network {
    /// The socket; none for a controller that serves its own machine only.
    pub(super) listen: Option<NetworkOptions>,
    /// The leader.
    pub(super) leading: watch::Receiver<Leading>,
    /// Its duties in the cluster for that.
    pub(super) duty: Option<StreamDuty>,
}

/// Finds settings that do not fit together.
///
/// # Errors
/// Nodes of a network are to be served, and there is nobody to judge their tokens; or something is set that does nothing.
pub(super) fn check(settings: &Settings, source: &Source) -> anyhow::Result<()> {
    match settings.stream_address.0 {
        Some(address) if !source.is_cluster() => bail!(
            "--stream-address {address} needs a cluster, whose API server judges nodes' tokens: leave it out, and nodes of this \
             machine follow by --node-socket"
        ),
        Some(_) if !leads_by_lease(settings) && matches!(settings.stream_tls, Auto::Auto) => bail!(
            "--stream-address: with --write-status=off or --node-reports=relay no controller leads, so none makes certificates: \
             name some with --stream-tls"
        ),
        Some(_) => Ok(()),
        None => {
            let unused = [
                (matches!(settings.stream_tls, Auto::Set(_)), "--stream-tls"),
                (matches!(settings.node_namespace, Auto::Set(_)), "--node-namespace"),
                (matches!(settings.node_accounts, Auto::Set(_)), "--node-accounts"),
            ];
            match unused.into_iter().find(|(is_set, _)| *is_set) {
                Some((_, flag)) => {
                    bail!("{flag} does nothing without --stream-address: set that, or leave {flag} out")
                }
                None => Ok(()),
            }
        }
    }
}

/// Makes ready what the settings ask for.
pub(super) fn prepare(settings: &Settings, cluster: Option<&Cluster>) -> Network {
    // A controller of its own machine's nodes alone serves them whatever the API server says.
    let by_lease = cluster.is_some() && settings.stream_address.0.is_some() && leads_by_lease(settings);
    let first = if by_lease { Leading::nobody() } else { Leading::Here { term: 0 } };
    let (leads, leading) = watch::channel(first);
    let served = cluster.zip(settings.stream_address.0).map(|(cluster, address)| {
        let (showing, shown) = watch::channel(None);
        let accounts = match &settings.node_accounts {
            Auto::Set(accounts) => accounts.0.clone(),
            Auto::Auto => vec![(node::namespace_of_nodes(settings), ACCOUNT.to_owned())],
        };
        let reviewer = Reviewer::new(cluster.client(), &accounts);
        let kept = match &settings.stream_tls {
            Auto::Auto => Some(showing),
            Auto::Set(dir) => {
                cluster.spawn(follow_files(dir.0.clone(), showing));
                None
            }
        };
        (NetworkOptions { address, shown, reviewer }, kept)
    });
    let (listen, showing) = served.map_or((None, None), |(listen, kept)| (Some(listen), kept));
    let address =
        listen.as_ref().map_or(String::new(), |listen| own_address(settings, listen.address.port()));
    let duty = by_lease.then(|| StreamDuty {
        herald: Herald { address, leading: leads },
        showing,
        node_namespace: node::namespace_of_nodes(settings),
    });
    Network { listen, leading, duty }
}

/// True if controllers stand for the Lease, and nodes follow the one that holds it.
fn leads_by_lease(settings: &Settings) -> bool {
    settings.node_reports == NodeReports::Stream && settings.write_status.on()
}

/// The address to which other controllers send nodes while this one leads.
fn own_address(settings: &Settings, port: u16) -> String {
    let mut addresses = node::addresses(settings).into_iter();
    addresses.next().map_or(String::new(), |ip| std::net::SocketAddr::new(ip, port).to_string())
}
