//! Names of items.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use gateway_ir::{BackendProtocol, BindAddress, ClusterKey, ListenerId, ObjectName, RouteId, TrustSource};

/// The kinds of items, by their numbers in frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Kind {
    /// A certificate chain with its key.
    Certificate = 1,
    /// A Gateway's mark, by which a node sees that its owner edited it.
    Gateway = 2,
    /// An address of the pool, its Gateway and its node.
    Address = 3,
    /// A listener on one address and port.
    Listener = 4,
    /// A route, with the listeners that it is attached to.
    Route = 5,
    /// The endpoints of a cluster.
    Cluster = 6,
    /// The TLS settings of a cluster.
    BackendTls = 7,
    /// The authorities that an object names.
    Trust = 8,
    /// The secrets of a Gateway's session tickets.
    Tickets = 9,
}

impl Kind {
    /// Every kind, by number.
    pub const ALL: [Self; 9] = [
        Self::Certificate,
        Self::Gateway,
        Self::Address,
        Self::Listener,
        Self::Route,
        Self::Cluster,
        Self::BackendTls,
        Self::Trust,
        Self::Tickets,
    ];

    /// The kind of a number; `None` for one of a later version.
    pub fn of(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == number)
    }

    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Gateway => "gateway",
            Self::Address => "address",
            Self::Listener => "listener",
            Self::Route => "route",
            Self::Cluster => "cluster",
            Self::BackendTls => "backend TLS",
            Self::Trust => "trust",
            Self::Tickets => "session tickets",
        }
    }
}

/// The name of an item among all of them. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Number of the kind, which may be one of a later version.
    pub kind: u32,
    /// The name within the kind.
    pub name: Arc<str>,
}

impl Key {
    /// A key as a frame has it.
    pub fn new(kind: u32, name: &str) -> Self {
        Self { kind, name: name.into() }
    }

    fn of(kind: Kind, name: impl fmt::Display) -> Self {
        Self { kind: kind as u32, name: name.to_string().into() }
    }

    /// The certificate of a Secret.
    pub fn certificate(secret: &ObjectName) -> Self {
        Self::of(Kind::Certificate, secret)
    }

    /// A Gateway.
    pub fn gateway(name: &ObjectName) -> Self {
        Self::of(Kind::Gateway, name)
    }

    /// An address of the pool.
    pub fn address(address: IpAddr) -> Self {
        Self::of(Kind::Address, address)
    }

    /// A listener on one address and port.
    pub fn listener(address: BindAddress, port: u16, id: &ListenerId) -> Self {
        match address {
            BindAddress::Any => Self::of(Kind::Listener, format_args!("*/{port}/{id}")),
            BindAddress::Ip(ip) => Self::of(Kind::Listener, format_args!("{ip}/{port}/{id}")),
        }
    }

    /// A route.
    pub fn route(id: &RouteId) -> Self {
        Self::of(Kind::Route, format_args!("{}/{}", id.kind, id.object))
    }

    /// A cluster.
    pub fn cluster(key: &ClusterKey) -> Self {
        Self::of_cluster(Kind::Cluster, key)
    }

    /// The TLS settings of a cluster.
    pub fn backend_tls(key: &ClusterKey) -> Self {
        Self::of_cluster(Kind::BackendTls, key)
    }

    /// The authorities of a source.
    pub fn trust(source: &TrustSource) -> Self {
        Self::of(Kind::Trust, source)
    }

    /// The secrets of a Gateway's session tickets.
    pub fn tickets(gateway: &ObjectName) -> Self {
        Self::of(Kind::Tickets, gateway)
    }

    fn of_cluster(kind: Kind, key: &ClusterKey) -> Self {
        let ClusterKey { service, port, protocol, tls } = key;
        let protocol = match protocol {
            BackendProtocol::Http1 => "",
            BackendProtocol::Http2 => "/h2",
            BackendProtocol::Tcp => "/tcp",
            BackendProtocol::TcpProxyV1 => "/tcp-proxy-v1",
            BackendProtocol::TcpProxyV2 => "/tcp-proxy-v2",
            BackendProtocol::Udp => "/udp",
        };
        let tls = if *tls { "/tls" } else { "" };
        Self::of(kind, format_args!("{service}/{port}{protocol}{tls}"))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Kind::of(self.kind) {
            Some(kind) => write!(f, "{} {}", kind.name(), self.name),
            None => write!(f, "item of kind {} {}", self.kind, self.name),
        }
    }
}
