//! Items: a piece of what is to be served, encoded once for all nodes.
//!
//! Values are JSON of the representation's own types, which are read and written that way elsewhere, but for three: a
//! certificate is bytes, authorities are, and a route has each rule by itself, so that a node can read the rules that it knows.

mod decode;
mod encode;
mod value;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use gateway_ir::{
    BackendTls, BindAddress, Certificate, ClientValidationMode, ClusterKey, Endpoints, Hostname, Ir,
    ListenerId, ListenerSettings, MatchHostname, ObjectName, Placement, Route, Serve, TlsVersion,
    TrustBundle, TrustSource,
};
use gateway_tls::TicketSecret;

use crate::bucket::{self, Digest};
use crate::codec;
use crate::frame::{Down, DownFrame, Put};
use crate::key::Key;

pub use decode::{DecodeError, Decoded, decode};
pub(crate) use encode::{
    address, backend_tls, certificate, cluster, gateway, listener, route, tickets, trust,
};

/// Everything that nodes are told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// The configuration to serve.
    pub ir: Arc<Ir>,
    /// The endpoints behind it.
    pub endpoints: Arc<Endpoints>,
    /// A mark of each Gateway, which differs when its owner has edited it.
    pub gateways: Arc<BTreeMap<ObjectName, String>>,
    /// Addresses of the pool.
    pub addresses: Arc<BTreeMap<IpAddr, Owner>>,
    /// The secrets of the session tickets of each Gateway at which TLS ends, newest first. They are never kept on a disk.
    pub tickets: Arc<BTreeMap<ObjectName, Vec<TicketSecret>>>,
    /// The nodes on which Gateways are served: decides which node is told what, and is told to none.
    pub placement: Arc<Placement>,
}

/// The owner of an address of the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The Gateway that it was given to.
    pub gateway: ObjectName,
    /// Name of the node that has it on its interface.
    pub node: String,
}

/// An item as all nodes are sent it.
#[derive(Debug)]
pub struct Item {
    /// Its name.
    pub key: Key,
    /// The frame of its [`Put`].
    pub frame: Bytes,
    /// Digest of that.
    pub digest: Digest,
}

impl Item {
    pub(crate) fn new(key: Key, needs: &[&str], value: Bytes) -> Self {
        let put = Put {
            kind: key.kind,
            name: key.name.to_string(),
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
            value,
        };
        let frame = codec::encode(&Down::from(DownFrame::Put(put)));
        // Without its length, which the other side does not see.
        let digest = bucket::digest(frame.get(4..).unwrap_or_default());
        Self { key, frame, digest }
    }
}

/// An item as a node holds it.
#[derive(Clone, Debug)]
pub enum Value {
    /// A certificate.
    Certificate(Arc<Certificate>),
    /// A Gateway and its mark.
    Gateway(ObjectName, String),
    /// An address of the pool.
    Address(IpAddr, Owner),
    /// A listener.
    Listener(Box<ListenerItem>),
    /// A route, and its places.
    Route(Arc<Route>, Vec<Attached>),
    /// A cluster's endpoints.
    Cluster(ClusterKey, Arc<[std::net::SocketAddr]>),
    /// A cluster's TLS settings, whose authorities are items of their own.
    BackendTls(ClusterKey, Box<BackendTlsItem>),
    /// Authorities.
    Trust(Arc<TrustBundle>),
    /// The secrets of a Gateway's session tickets, newest first.
    Tickets(ObjectName, Vec<TicketSecret>),
}

/// TLS settings with authorities by their sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendTlsItem {
    /// The settings, without authorities.
    pub settings: BackendTls,
    /// Sources of the authorities, in order.
    pub trust: Vec<TrustSource>,
}

/// A listener without its routes and the bytes of its certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerItem {
    /// Address of the bind.
    pub address: BindAddress,
    /// Port of the bind.
    pub port: u16,
    /// The use of its connections.
    pub serve: Serve,
    /// The listener.
    pub id: ListenerId,
    /// Its hosts.
    pub hostname: Option<Hostname>,
    /// Its TLS settings.
    pub tls: Option<ListenerTlsItem>,
    /// The settings that its Gateway has of its own.
    pub settings: ListenerSettings,
    /// Secret of its Gateway's client certificate.
    pub backend_certificate: Option<ObjectName>,
    /// True if it needs what this node does not know: no route of it is served, and no handshake.
    pub is_closed: bool,
}

/// TLS settings with certificates by their Secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTlsItem {
    /// Secrets, in the order of the Gateway.
    pub certificates: Vec<ObjectName>,
    /// Lowest version.
    pub min_version: TlsVersion,
    /// Takes handshakes without a server name.
    pub is_default: bool,
    /// Cipher suites that may be used; empty for all.
    pub cipher_suites: Vec<Box<str>>,
    /// The check of clients' certificates.
    pub clients: Option<ClientsItem>,
    /// Backends are told of the client's certificate.
    pub forward_client_cert: bool,
}

/// A check of clients' certificates with authorities by their sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientsItem {
    /// Sources of the authorities, in order.
    pub trust: Vec<TrustSource>,
    /// The strictness.
    pub mode: ClientValidationMode,
}

/// A route's place on a listener.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Attached {
    /// Address of the bind.
    pub address: BindAddress,
    /// Port of the bind.
    pub port: u16,
    /// The listener.
    pub listener: ListenerId,
    /// Hosts on which it is served there.
    pub hostnames: Arc<[MatchHostname]>,
}
