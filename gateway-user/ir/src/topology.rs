//! Places where requests arrive: addresses and ports, the listeners behind them, and the routes
//! attached to those.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Hostname, HttpRoute, ListenerId, ListenerSettings, ListenerTls, RouteId, SharedMap};

/// Everything that is to be served, but for endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ir {
    /// Every address and port to serve; ordered by port, then address, no two alike.
    pub binds: Vec<Bind>,
    /// Every attached route, once, however many listeners it is attached to. A list when serialised: text
    /// formats have no maps with structured keys, and each route carries its id.
    #[serde(serialize_with = "routes_as_list::serialize")]
    pub http_routes: SharedMap<RouteId, Arc<HttpRoute>>,
}

/// One address and port, and the listeners that share it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bind {
    /// The addresses that connections are made to.
    pub address: BindAddress,
    /// The port that clients dial.
    pub port: u16,
    /// The protocol; listeners of different protocols on one bind are in conflict and never get here.
    pub protocol: Protocol,
    /// Listeners by hostname; no two of one bind have the same.
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

/// The protocols of a bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// HTTP/1.1 in clear text.
    Http,
    /// HTTP/1.1 over TLS, which ends here.
    Https,
}

/// One Gateway listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listener {
    /// Its Gateway and name.
    pub id: ListenerId,
    /// The hosts it serves; `None` is every host that no other listener of the bind claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Hostname>,
    /// Its TLS settings; on binds of [`Protocol::Https`] only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
    /// The settings that its Gateway has of its own.
    #[serde(skip_serializing_if = "ListenerSettings::is_empty")]
    pub settings: ListenerSettings,
    /// Routes attached to it.
    #[serde(serialize_with = "attached_as_list::serialize")]
    pub routes: AttachedRoutes,
}

/// Routes on a listener, by their keys in [`Ir::http_routes`], each with the hosts on which it is served there; never none.
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

    use crate::{HttpRoute, RouteId, SharedMap};

    pub(super) fn serialize<S: Serializer>(
        routes: &SharedMap<RouteId, Arc<HttpRoute>>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.collect_seq(routes.values())
    }
}
