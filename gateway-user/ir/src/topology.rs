//! Places where requests arrive: addresses and ports, the listeners behind them, and the routes
//! attached to those.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    Certificate, Hostname, ListenerId, ListenerSettings, ListenerTls, Route, RouteId, SharedMap, Transport,
};

/// Everything that is to be served, but for endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ir {
    /// Every address and port to serve; ordered by port, then address, then transport, no two alike in all three.
    pub binds: Vec<Bind>,
    /// Every attached route, once, however many listeners it is attached to. A list when serialised: text
    /// formats have no maps with structured keys, and each route carries its id.
    #[serde(serialize_with = "routes_as_list::serialize")]
    pub routes: SharedMap<RouteId, Arc<Route>>,
}

/// One address and port of a transport, and the listeners that share it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bind {
    /// The addresses that connections are made to.
    pub address: BindAddress,
    /// The port that clients dial.
    pub port: u16,
    /// Listeners by hostname; no two of one bind have the same, and all have one [`Opening`]: others are in conflict and never
    /// get here.
    pub listeners: Vec<Listener>,
}

/// The local addresses of a bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum BindAddress {
    /// Every address of the network namespace, IPv4 and IPv6.
    Any,
    /// This address only; it wins over [`BindAddress::Any`] on the same port.
    Ip(IpAddr),
}

/// The use that a listener makes of its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Serve {
    /// HTTP in clear text.
    Http,
    /// HTTP over TLS, which ends here.
    Https,
    /// Connections over TLS, which ends here, whatever it carries.
    TlsTerminate,
    /// Connections over TLS, which ends at their backends.
    TlsPassthrough,
    /// TCP, whatever it carries.
    Tcp,
    /// UDP, whatever it carries.
    Udp,
}

/// The first thing on a connection, by which its listener is found. Listeners of one bind have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opening {
    /// The head of a request.
    Request,
    /// A TLS ClientHello (RFC 8446 section 4.1.2).
    ClientHello,
    /// Any bytes, or none: the server may be the first to speak. Such a bind has one listener.
    Bytes,
    /// A datagram, and no connection. Such a bind has one listener.
    Datagram,
}

impl Opening {
    /// True if all that arrives at an address and port is one listener's.
    pub fn has_one_listener(self) -> bool {
        matches!(self, Self::Bytes | Self::Datagram)
    }

    /// The transport that it comes by.
    pub fn transport(self) -> Transport {
        match self {
            Self::Request | Self::ClientHello | Self::Bytes => Transport::Tcp,
            Self::Datagram => Transport::Udp,
        }
    }
}

impl Serve {
    /// The listener's `protocol` in the Gateway API.
    pub fn protocol(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::TlsTerminate | Self::TlsPassthrough => "TLS",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }

    /// The first thing on its connections.
    pub fn opening(self) -> Opening {
        match self {
            Self::Http => Opening::Request,
            Self::Https | Self::TlsTerminate | Self::TlsPassthrough => Opening::ClientHello,
            Self::Tcp => Opening::Bytes,
            Self::Udp => Opening::Datagram,
        }
    }

    /// The transport of its ports.
    pub fn transport(self) -> Transport {
        self.opening().transport()
    }

    /// True if TLS ends here.
    pub fn terminates_tls(self) -> bool {
        matches!(self, Self::Https | Self::TlsTerminate)
    }

    /// True if TLS ends at the backends.
    pub fn passes_tls_through(self) -> bool {
        self == Self::TlsPassthrough
    }

    /// True if whole connections or flows go to backends, and not the requests on them.
    pub fn takes_connections(self) -> bool {
        matches!(self, Self::TlsTerminate | Self::TlsPassthrough | Self::Tcp | Self::Udp)
    }
}

impl Bind {
    /// The first thing on its connections; `None` without a listener.
    pub fn opening(&self) -> Option<Opening> {
        self.listeners.first().map(|listener| listener.serve.opening())
    }

    /// The transport of its port.
    pub fn transport(&self) -> Transport {
        self.opening().map_or_else(Transport::default, Opening::transport)
    }
}

/// One Gateway listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listener {
    /// Its Gateway and name.
    pub id: ListenerId,
    /// The hosts it serves; `None` is every host that no other listener of the bind claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Hostname>,
    /// The use of its connections.
    pub serve: Serve,
    /// Its TLS settings, if connections to it begin with a ClientHello; without certificates where TLS is passed through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
    /// The settings that its Gateway has of its own.
    #[serde(skip_serializing_if = "ListenerSettings::is_empty")]
    pub settings: ListenerSettings,
    /// The client certificate of its Gateway, which backends are shown that ask for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_certificate: Option<Arc<Certificate>>,
    /// Routes attached to it.
    #[serde(serialize_with = "attached_as_list::serialize")]
    pub routes: AttachedRoutes,
}

impl Listener {
    /// Every certificate that it shows, to clients and to backends.
    pub fn certificates(&self) -> impl Iterator<Item = &Arc<Certificate>> {
        let shown = self.tls.iter().flat_map(|tls| &tls.certificates);
        shown.chain(&self.backend_certificate)
    }
}

/// Routes on a listener, by their keys in [`Ir::routes`], each with the hosts on which it is served there; never none.
pub type AttachedRoutes = SharedMap<RouteId, Arc<[MatchHostname]>>;

/// One host pattern of an attached route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MatchHostname {
    /// The intersection of listener and route hostname: what requests are matched with. `None` where neither
    /// has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<Hostname>,
    /// The hostname as the route has it: of two routes with one `effective`, the more specific original wins
    /// (gateway-api feature `GatewayRouteHostnameIntersectionPrecedence`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Hostname>,
}

mod attached_as_list {
    use serde::{Serialize, Serializer};

    use crate::{AttachedRoutes, MatchHostname, RouteId};

    #[derive(Serialize)]
    struct AttachedRoute<'a> {
        route: &'a RouteId,
        hostnames: &'a [MatchHostname],
    }

    pub(super) fn serialize<S: Serializer>(routes: &AttachedRoutes, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(routes.iter().map(|(route, hostnames)| AttachedRoute { route, hostnames }))
    }
}

mod routes_as_list {
    use std::sync::Arc;

    use serde::Serializer;

    use crate::{Route, RouteId, SharedMap};

    pub(super) fn serialize<S: Serializer>(
        routes: &SharedMap<RouteId, Arc<Route>>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.collect_seq(routes.values())
    }
}
