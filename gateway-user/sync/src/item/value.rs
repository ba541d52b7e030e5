//! Values of items as they are written.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use gateway_ir::{
    Action, BindAddress, ClientValidationMode, ClusterKey, Filter, Hostname, ListenerId, ListenerSettings,
    ObjectName, Retry, RouteId, Serve, SubjectAltName, Timeouts, TlsVersion, TrustSource,
};
use gateway_tls::TicketSecret;
use prost::Message;
use serde::{Deserialize, Serialize};

use super::Attached;

#[derive(Serialize, Deserialize)]
pub(super) struct Gateway {
    pub(super) name: ObjectName,
    pub(super) mark: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Tickets {
    pub(super) gateway: ObjectName,
    pub(super) secrets: Vec<TicketSecret>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Address {
    pub(super) address: IpAddr,
    pub(super) gateway: ObjectName,
    pub(super) node: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Listener {
    pub(super) address: BindAddress,
    pub(super) port: u16,
    /// As nodes without `tls-routes` read it: no use of TLS is known to them but HTTP, and that has them keep the hosts of a
    /// listener that they cannot serve from others of its port.
    pub(super) protocol: Serve,
    /// Another use of TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tls_use: Option<Serve>,
    pub(super) id: ListenerId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) hostname: Option<Hostname>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tls: Option<ListenerTls>,
    #[serde(default, skip_serializing_if = "ListenerSettings::is_empty")]
    pub(super) settings: ListenerSettings,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) backend_certificate: Option<ObjectName>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ListenerTls {
    pub(super) certificates: Vec<ObjectName>,
    pub(super) min_version: TlsVersion,
    #[serde(default)]
    pub(super) is_default: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) cipher_suites: Vec<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) clients: Option<Clients>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) forward_client_cert: bool,
}

/// A check of clients' certificates, whose authorities are items of their own.
#[derive(Serialize, Deserialize)]
pub(super) struct Clients {
    pub(super) trust: Vec<TrustSource>,
    pub(super) mode: ClientValidationMode,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Cluster {
    pub(super) key: ClusterKey,
    pub(super) addresses: Vec<SocketAddr>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct BackendTls {
    pub(super) key: ClusterKey,
    pub(super) policy: ObjectName,
    pub(super) hostname: Arc<str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) subject_alt_names: Vec<SubjectAltName>,
    pub(super) trust: Vec<TrustSource>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) refused_gateways: Vec<ObjectName>,
}

/// A route's identity and places.
#[derive(Serialize, Deserialize)]
pub(super) struct RouteHead {
    pub(super) id: RouteId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<i64>,
    pub(super) attached: Vec<Attached>,
}

/// A rule without its matches.
#[derive(Serialize, Deserialize)]
pub(super) struct RuleRest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) filters: Vec<Filter>,
    pub(super) action: Action,
    #[serde(default)]
    pub(super) timeouts: Timeouts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retry: Option<Box<Retry>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Route {
    /// JSON of a [`RouteHead`].
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) head: Bytes,
    #[prost(message, repeated, tag = "2")]
    pub(super) rules: Vec<Rule>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Rule {
    /// JSON of its matches.
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) matches: Bytes,
    /// Capabilities without which they cannot be told.
    #[prost(string, repeated, tag = "2")]
    pub(super) match_needs: Vec<String>,
    /// JSON of a [`RuleRest`].
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) rest: Bytes,
    /// Capabilities that it needs.
    #[prost(string, repeated, tag = "4")]
    pub(super) needs: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Certificate {
    #[prost(string, tag = "1")]
    pub(super) namespace: String,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) names: Vec<String>,
    #[prost(int64, tag = "4")]
    pub(super) not_before: i64,
    #[prost(int64, tag = "5")]
    pub(super) not_after: i64,
    #[prost(string, tag = "6")]
    pub(super) fingerprint: String,
    #[prost(bytes = "bytes", repeated, tag = "7")]
    pub(super) chain: Vec<Bytes>,
    /// The private key; empty in a state on disk that is kept without keys.
    #[prost(bytes = "bytes", tag = "8")]
    pub(super) key: Bytes,
    /// An OCSP response; empty without one.
    #[prost(bytes = "bytes", tag = "9")]
    pub(super) staple: Bytes,
    #[prost(int64, tag = "10")]
    pub(super) this_update: i64,
    #[prost(int64, optional, tag = "11")]
    pub(super) next_update: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Trust {
    /// JSON of a [`TrustSource`].
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) source: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) certificates: Vec<Bytes>,
}
