//! Endpoints that are this very node: what it serves for itself, and this gateway.
//!
//! A gateway connects to its own node from within, where firewalls let everything pass. So an endpoint must
//! not lead to the node's own services or to one of the gateway's own ports. Which addresses are the node's
//! differs from node to node, and the status of a route is the same for all of them: what is left out here is
//! told in this node's log, status and metrics and nowhere else (decision 195).

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use gateway_ir::{BindAddress, ClusterKey, Endpoints, Transport};
use gateway_steer::SteerPlan;

/// Ports of the node that endpoints must not lead to. The default allows all.
#[derive(Clone, Debug, Default)]
pub struct OwnPorts {
    /// Sockets of this process beside its listeners: health, metrics, admin.
    pub listens: Vec<SocketAddr>,
    /// Port of the workers' own sockets, with kernel programs.
    pub internal_port: Option<u16>,
    /// Offset of listeners' ports, and the lowest port that the process may bind: it is added to ports below
    /// that.
    pub offset: Option<(u16, u16)>,
    /// Ports of the node's own services.
    pub reserved: BTreeSet<u16>,
    /// True if every endpoint on the node's own addresses is left out (`--node-endpoints refuse`).
    pub refuse_all: bool,
    /// Asks the system for the node's own addresses; `None` if it does not say.
    pub addresses: Option<fn() -> Option<BTreeSet<IpAddr>>>,
}

/// Endpoints of a cluster that this node does not use for one reason. Not each by itself: a Service may have
/// thousands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnEndpoint {
    /// The cluster.
    pub cluster: ClusterKey,
    /// The first one's address.
    pub address: SocketAddr,
    /// Number of further endpoints.
    pub more: usize,
    /// The reason.
    pub reason: OwnReason,
}

/// Reason for which an endpoint on an address of the node is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OwnReason {
    /// Health, metrics, admin or a worker's socket of this process.
    Sluice,
    /// A listener of a Gateway that this process serves: it would ask itself.
    Listener,
    /// The port is reserved for the node's own services.
    Reserved,
    /// No endpoint on this node is wanted.
    Node,
}

impl OwnReason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sluice, Self::Listener, Self::Reserved, Self::Node];

    /// The value of the metric's label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sluice => "sluice",
            Self::Listener => "listener",
            Self::Reserved => "reserved",
            Self::Node => "node",
        }
    }
}

impl fmt::Display for OwnEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, address, more, reason } = self;
        write!(f, "Service {cluster}: endpoint {address} ")?;
        match more {
            0 => write!(f, "is not used on this node: ")?,
            more => write!(f, "and {more} more are not used on this node: ")?,
        }
        f.write_str(match reason {
            OwnReason::Sluice => "it is a port of Sluice itself",
            OwnReason::Listener => "it is a listener of Sluice itself",
            OwnReason::Reserved => "the port is reserved for the node (--reserved-ports)",
            OwnReason::Node => "it is on the node's own address (--node-endpoints refuse)",
        })
    }
}

impl OwnPorts {
    /// The endpoints without those that must not be used while `plan` is what is served, and those.
    pub fn without(
        &self,
        endpoints: &Arc<Endpoints>,
        plan: &SteerPlan,
    ) -> (Arc<Endpoints>, Vec<OwnEndpoint>) {
        let guarded = EndpointCheck::new(self, plan);
        let mut refused: Vec<OwnEndpoint> = Vec::new();
        let mut rest = None;
        for (cluster, addresses) in &endpoints.clusters {
            let transport = cluster.protocol.transport();
            let own: BTreeMap<SocketAddr, OwnReason> =
                addresses.iter().filter_map(|one| Some((*one, guarded.refuses(*one, transport)?))).collect();
            if own.is_empty() {
                continue;
            }
            for reason in OwnReason::ALL {
                let mut of_it =
                    own.iter().filter(|(_, other)| **other == reason).map(|(address, _)| *address);
                if let Some(address) = of_it.next() {
                    let (cluster, more) = (cluster.clone(), of_it.count());
                    refused.push(OwnEndpoint { cluster, address, more, reason });
                }
            }
            let kept = addresses.iter().filter(|one| !own.contains_key(one)).copied().collect();
            let rest = rest.get_or_insert_with(|| Endpoints::clone(endpoints));
            rest.clusters.insert(cluster.clone(), kept);
        }
        (rest.map_or_else(|| Arc::clone(endpoints), Arc::new), refused)
    }
}

/// One look at all endpoints. The system is asked only if a port gives reason to.
struct EndpointCheck<'a> {
    own: &'a OwnPorts,
    listeners: BTreeSet<(u16, BindAddress, Transport)>,
    /// Every port that is of interest.
    ports: BTreeSet<u16>,
    addresses: OnceCell<BTreeSet<IpAddr>>,
}

impl<'a> EndpointCheck<'a> {
    fn new(own: &'a OwnPorts, plan: &SteerPlan) -> Self {
        let served = |port: u16| match own.offset {
            Some((offset, below)) if port < below => port.saturating_add(offset),
            _ => port,
        };
        let listeners: BTreeSet<_> =
            plan.binds.iter().map(|bind| (served(bind.port), bind.address, bind.transport)).collect();
        let ports = (listeners.iter().map(|(port, ..)| *port))
            .chain(own.listens.iter().map(SocketAddr::port))
            .chain(own.internal_port)
            .chain(own.reserved.iter().copied())
            .collect();
        Self { own, listeners, ports, addresses: OnceCell::new() }
    }

    fn refuses(&self, endpoint: SocketAddr, transport: Transport) -> Option<OwnReason> {
        let (ip, port) = (endpoint.ip().to_canonical(), endpoint.port());
        let of_interest = self.own.refuse_all || self.ports.contains(&port);
        if !of_interest || !self.is_own(ip) {
            return None;
        }
        let at =
            |listens: IpAddr| listens.is_unspecified() || ip.is_unspecified() || listens.to_canonical() == ip;
        let sluice = self.own.internal_port == Some(port)
            || self.own.listens.iter().any(|listens| listens.port() == port && at(listens.ip()));
        let bound = |address: BindAddress| match address {
            BindAddress::Any => true,
            BindAddress::Ip(bound) => at(bound),
        };
        if sluice {
            Some(OwnReason::Sluice)
        } else if self
            .listeners
            .iter()
            .any(|(listener, address, of)| (*listener, *of) == (port, transport) && bound(*address))
        {
            Some(OwnReason::Listener)
        } else if self.own.reserved.contains(&port) {
            Some(OwnReason::Reserved)
        } else {
            self.own.refuse_all.then_some(OwnReason::Node)
        }
    }

    /// True if a connection to this address stays on the node. Linux connects to 0.0.0.0 and `::` on
    /// loopback.
    fn is_own(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || ip.is_unspecified() || self.addresses().contains(&ip)
    }

    fn addresses(&self) -> &BTreeSet<IpAddr> {
        let ask = || self.own.addresses.and_then(|ask| ask()).unwrap_or_default();
        self.addresses.get_or_init(ask)
    }
}

#[cfg(test)]
mod tests {
    use gateway_ir::{ObjectName, SharedMap};
    use gateway_steer::SteerBind;

    use super::*;

    fn node() -> Option<BTreeSet<IpAddr>> {
        Some(BTreeSet::from(["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()]))
    }

    fn own() -> OwnPorts {
        OwnPorts {
            listens: vec!["127.0.0.1:15000".parse().unwrap(), "0.0.0.0:15021".parse().unwrap()],
            internal_port: Some(40_000),
            reserved: BTreeSet::from([22, 10_250]),
            addresses: Some(node),
            ..OwnPorts::default()
        }
    }

    fn plan() -> SteerPlan {
        [SteerBind::any(80), SteerBind::exact("192.0.2.7:443".parse().unwrap())].into_iter().collect()
    }

    /// Endpoints left out of these addresses, as `address reason`.
    fn left_out(own: &OwnPorts, addresses: &[&str]) -> Vec<String> {
        let cluster = ClusterKey::new(ObjectName::new("shop", "echo"), 80);
        let addresses: Vec<SocketAddr> = addresses.iter().map(|one| one.parse().unwrap()).collect();
        let clusters = SharedMap::unit(cluster.clone(), addresses.clone().into());
        let all = Arc::new(Endpoints { clusters, ..Endpoints::default() });
        let (rest, refused) = own.without(&all, &plan());
        let left_out: usize = refused.iter().map(|one| 1 + one.more).sum();
        assert_eq!(rest.clusters[&cluster].len() + left_out, addresses.len());
        assert!(!refused.is_empty() || Arc::ptr_eq(&rest, &all), "nothing is copied for nothing");
        refused.iter().map(|one| format!("{} {}", one.address, one.reason.name())).collect()
    }

    #[test]
    fn the_nodes_services_and_our_own_ports_are_no_backends_on_the_nodes_addresses() {
        let cases = [
            ("127.0.0.1:15000", Some("sluice")),
            ("192.0.2.7:15000", None), // admin is on loopback alone
            ("192.0.2.7:15021", Some("sluice")),
            ("[2001:db8::7]:15021", Some("sluice")),
            ("[::1]:40000", Some("sluice")),
            ("0.0.0.0:15000", Some("sluice")),
            ("[::ffff:127.0.0.1]:15000", Some("sluice")),
            ("127.0.0.9:80", Some("listener")),
            ("192.0.2.7:443", Some("listener")),
            ("127.0.0.1:443", None), // that listener is on one address alone
            ("192.0.2.7:10250", Some("reserved")),
            ("[2001:db8::7]:22", Some("reserved")),
            ("192.0.2.7:8080", None), // a hostNetwork backend
            ("192.0.2.8:10250", None),
            ("10.0.0.1:80", None),
            ("10.0.0.1:15021", None),
        ];
        for (address, reason) in cases {
            let expected: Vec<String> =
                reason.map(|reason| format!("{address} {reason}")).into_iter().collect();
            assert_eq!(left_out(&own(), &[address]), expected, "{address}");
        }
    }

    #[test]
    fn with_refuse_no_endpoint_is_on_this_node() {
        let own = OwnPorts { refuse_all: true, ..own() };
        let refused = left_out(&own, &["127.0.0.1:8000", "192.0.2.7:8080", "192.0.2.8:8080", "10.0.0.1:80"]);
        assert_eq!(refused, ["127.0.0.1:8000 node"], "and one more");
    }

    #[test]
    fn many_of_one_kind_are_one_line() {
        let many: Vec<String> = (1..=200).map(|n| format!("127.0.0.{n}:15021")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).chain(["127.0.0.1:22"]).collect();
        assert_eq!(left_out(&own(), &many), ["127.0.0.1:15021 sluice", "127.0.0.1:22 reserved"]);
    }

    #[test]
    fn a_port_that_is_served_higher_up_is_guarded_there() {
        let own = OwnPorts { offset: Some((8000, 1024)), ..own() };
        assert_eq!(left_out(&own, &["127.0.0.1:8080", "127.0.0.1:80"]), ["127.0.0.1:8080 listener"]);
    }

    #[test]
    fn without_addresses_of_the_node_loopback_is_still_known() {
        let own = OwnPorts { addresses: None, ..own() };
        assert_eq!(left_out(&own, &["192.0.2.7:22", "127.0.0.1:22"]), ["127.0.0.1:22 reserved"]);
    }
}
