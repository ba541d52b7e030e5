//! Names of things, as newtypes, so that a route's name is never taken for a listener's.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The number of one applied configuration, in the order of publishing; each compile gets the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Generation(
    /// Counts from 1; 0 is the state before anything was applied.
    pub u64,
);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A namespaced Kubernetes object's name. Its `Ord` is by namespace, then name; ties that the Gateway API
/// breaks "in alphabetical order by {namespace}/{name}" go by [`ObjectName::alphabetical`], which differs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectName {
    /// `metadata.namespace`. Shared, as is the name: a configuration of thousands of routes has each name many times.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl ObjectName {
    /// Names `namespace/name`.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The order of the texts `namespace/name` (gateway-api `HTTPRouteRule.matches`). `-` sorts before `/`,
    /// so `team-b/x` comes before `team/x` here and after it in `Ord`.
    pub fn alphabetical(&self, other: &Self) -> Ordering {
        if self.namespace == other.namespace {
            return self.name.cmp(&other.name);
        }
        let left = self.namespace.bytes().chain([b'/']).chain(self.name.bytes());
        let right = other.namespace.bytes().chain([b'/']).chain(other.name.bytes());
        left.cmp(right)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One listener of one Gateway, or of a ListenerSet that joins it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "WrittenId", into = "WrittenId")]
pub struct ListenerId {
    /// The Gateway that serves the listener.
    pub gateway: ObjectName,
    /// The ListenerSet that it is written in; `None` for one of the Gateway itself, which come first in order.
    pub set: Option<ObjectName>,
    /// The listener's `name`, unique within its Gateway or its set.
    pub listener: String,
}

impl ListenerId {
    /// A listener that is written in the Gateway itself.
    pub fn of_gateway(gateway: ObjectName, listener: impl Into<String>) -> Self {
        Self { gateway, set: None, listener: listener.into() }
    }

    /// The namespace of the object that it is written in.
    pub fn namespace(&self) -> &str {
        &self.set.as_ref().unwrap_or(&self.gateway).namespace
    }

    /// True if both are written in one object.
    pub fn is_beside(&self, other: &Self) -> bool {
        (&self.gateway, &self.set) == (&other.gateway, &other.set)
    }

    /// Its name among all of its Gateway: `https`, or `shop/hosts/https` for one of ListenerSet `shop/hosts`. No name has a `/`.
    pub fn within_gateway(&self) -> String {
        match &self.set {
            Some(set) => format!("{set}/{}", self.listener),
            None => self.listener.clone(),
        }
    }
}

/// A listener's id as it is written: with the name within its Gateway. A node of a version that knows no sets takes that for a
/// name like any other, and never for that of the Gateway's own listener.
#[derive(Serialize, Deserialize)]
struct WrittenId {
    gateway: ObjectName,
    listener: String,
}

impl From<ListenerId> for WrittenId {
    fn from(id: ListenerId) -> Self {
        Self { listener: id.within_gateway(), gateway: id.gateway }
    }
}

impl From<WrittenId> for ListenerId {
    fn from(WrittenId { gateway, listener }: WrittenId) -> Self {
        let mut parts = listener.splitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(namespace), Some(set), Some(name)) => {
                Self { gateway, set: Some(ObjectName::new(namespace, set)), listener: name.to_owned() }
            }
            _ => Self { gateway, set: None, listener },
        }
    }
}

/// `edge/shared/https`, or `edge/shared/shop/hosts/https` for a listener of ListenerSet `shop/hosts`.
impl fmt::Display for ListenerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.gateway)?;
        if let Some(set) = &self.set {
            write!(f, "{set}/")?;
        }
        f.write_str(&self.listener)
    }
}

/// The kinds of route that reach the tables.
#[expect(clippy::enum_variant_names, reason = "they are named as manifests name them")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RouteKind {
    /// `gateway.networking.k8s.io/HTTPRoute`.
    HTTPRoute,
    /// `gateway.networking.k8s.io/GRPCRoute`.
    GRPCRoute,
    /// `gateway.networking.k8s.io/TCPRoute`.
    TCPRoute,
    /// `gateway.networking.k8s.io/TLSRoute`.
    TLSRoute,
    /// `gateway.networking.k8s.io/UDPRoute`.
    UDPRoute,
}

impl RouteKind {
    /// Every kind, in order.
    pub const ALL: [Self; 5] =
        [Self::HTTPRoute, Self::GRPCRoute, Self::TCPRoute, Self::TLSRoute, Self::UDPRoute];

    /// The kind as manifests write it.
    pub fn as_str(self) -> &'static str {
        match self {
            RouteKind::HTTPRoute => "HTTPRoute",
            RouteKind::GRPCRoute => "GRPCRoute",
            RouteKind::TCPRoute => "TCPRoute",
            RouteKind::TLSRoute => "TLSRoute",
            RouteKind::UDPRoute => "UDPRoute",
        }
    }

    /// True if its routes are for whole connections or flows, and not for requests.
    pub fn is_for_connections(self) -> bool {
        matches!(self, Self::TCPRoute | Self::TLSRoute | Self::UDPRoute)
    }

    /// The transport of what its routes are for.
    pub fn transport(self) -> Transport {
        match self {
            Self::HTTPRoute | Self::GRPCRoute | Self::TCPRoute | Self::TLSRoute => Transport::Tcp,
            Self::UDPRoute => Transport::Udp,
        }
    }
}

impl fmt::Display for RouteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One route object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RouteId {
    /// The route's kind.
    pub kind: RouteKind,
    /// The route's namespace and name.
    pub object: ObjectName,
}

impl fmt::Display for RouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.object)
    }
}

/// A set of interchangeable endpoints: one port of one Service, in one protocol, with or without TLS. A port that two
/// kinds of route speak to in two protocols is two clusters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClusterKey {
    /// The Service.
    pub service: ObjectName,
    /// The Service's port number (`spec.ports[].port`), not the endpoints' target port.
    pub port: u16,
    /// The protocol that its endpoints are spoken to in.
    #[serde(default, skip_serializing_if = "BackendProtocol::is_http1")]
    pub protocol: BackendProtocol,
    /// They are spoken to over TLS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls: bool,
}

/// The protocols that ports are of: a number stands for one port in each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Transport {
    /// Connections.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

impl Transport {
    /// The name that Services and EndpointSlices give it (`ServicePort.protocol`).
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }

    /// True for TCP, the default.
    pub fn is_tcp(&self) -> bool {
        *self == Self::Tcp
    }
}

/// The protocols that requests, connections and datagrams are forwarded in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum BackendProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2; in clear text with prior knowledge (RFC 9113 section 3.3), over TLS by ALPN `h2`.
    Http2,
    /// The bytes of the client's connection.
    Tcp,
    /// The same behind a header of the PROXY protocol, version 1, which names the client.
    TcpProxyV1,
    /// The same with version 2.
    TcpProxyV2,
    /// The client's datagrams.
    Udp,
}

impl BackendProtocol {
    fn is_http1(&self) -> bool {
        *self == Self::Http1
    }

    /// True if whole connections are forwarded, and not requests.
    pub fn is_tcp(self) -> bool {
        matches!(self, Self::Tcp | Self::TcpProxyV1 | Self::TcpProxyV2)
    }

    /// The transport below it.
    pub fn transport(self) -> Transport {
        match self {
            Self::Http1 | Self::Http2 | Self::Tcp | Self::TcpProxyV1 | Self::TcpProxyV2 => Transport::Tcp,
            Self::Udp => Transport::Udp,
        }
    }
}

impl ClusterKey {
    /// A port of a Service that is spoken to over HTTP/1.1.
    pub fn new(service: ObjectName, port: u16) -> Self {
        Self { service, port, protocol: BackendProtocol::Http1, tls: false }
    }
}

impl fmt::Display for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.port)?;
        f.write_str(match self.protocol {
            BackendProtocol::Http1 => "",
            BackendProtocol::Http2 => " over HTTP/2",
            BackendProtocol::Tcp => " over TCP",
            BackendProtocol::TcpProxyV1 => " over TCP with PROXY v1",
            BackendProtocol::TcpProxyV2 => " over TCP with PROXY v2",
            BackendProtocol::Udp => " over UDP",
        })?;
        match (self.tls, self.protocol) {
            (true, BackendProtocol::Http1) => f.write_str(" over TLS"),
            (true, _) => f.write_str(" and TLS"),
            (false, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_of_sets_are_written_and_read_and_come_behind_those_of_the_gateway() {
        let own = ListenerId::of_gateway(ObjectName::new("edge", "shared"), "https");
        let of_set = ListenerId { set: Some(ObjectName::new("shop", "hosts")), ..own.clone() };
        assert!(own < of_set && !own.is_beside(&of_set));
        assert_eq!((own.namespace(), of_set.namespace()), ("edge", "shop"));
        assert_eq!(of_set.to_string(), "edge/shared/shop/hosts/https");
        for (id, name) in [(own, "https"), (of_set, "shop/hosts/https")] {
            let text = serde_json::to_string(&id).unwrap();
            let gateway = r#"{"gateway":{"namespace":"edge","name":"shared"},"listener":""#;
            assert_eq!(text, format!("{gateway}{name}\"}}"));
            assert_eq!(serde_json::from_str::<ListenerId>(&text).unwrap(), id);
        }
    }

    #[test]
    fn alphabetical_order_is_that_of_the_joined_text() {
        let names = [("team", "x"), ("team-b", "x"), ("team", "a"), ("t", "z"), ("team", "x.y")];
        for (a, b) in names.iter().flat_map(|a| names.iter().map(move |b| (a, b))) {
            let (a, b) = (ObjectName::new(a.0, a.1), ObjectName::new(b.0, b.1));
            assert_eq!(a.alphabetical(&b), a.to_string().cmp(&b.to_string()), "{a} and {b}");
        }
    }
}
