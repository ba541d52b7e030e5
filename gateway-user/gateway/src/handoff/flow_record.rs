//! A flow of datagrams as text, for one process to go on with where another one ended.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use gateway_ir::{BackendProtocol, ClusterKey, ObjectName};
use gateway_proxy::worker::HandedFlow;
use rustix::net::SocketType;
use rustix::net::sockopt::socket_type;
use serde::{Deserialize, Serialize};

/// A flow, as it is sent. Its endpoint is the peer of its socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FlowRecord {
    /// The kernel's number of the listening socket that the client's datagrams come to.
    listener: u64,
    client: SocketAddr,
    /// Namespace, name and port of the Service.
    namespace: String,
    service: String,
    port: u16,
    /// The backend has sent something.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    replied: bool,
    /// The client has sent something after that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    confirmed: bool,
    /// Milliseconds since the last datagram, and since the first one.
    idle_ms: u64,
    lasted_ms: u64,
    /// When that was, in milliseconds since 1970.
    start_ms: u64,
    /// Bytes of the client and to it.
    received: u64,
    sent: u64,
}

impl FlowRecord {
    pub(super) fn of(flow: &HandedFlow) -> Self {
        let ClusterKey { service: ObjectName { namespace, name }, port, .. } = &flow.cluster;
        Self {
            listener: flow.listener,
            client: flow.client,
            namespace: namespace.to_string(),
            service: name.to_string(),
            port: *port,
            replied: flow.replied,
            confirmed: flow.confirmed,
            idle_ms: millis(flow.idle),
            lasted_ms: millis(flow.lasted),
            start_ms: flow.start_ms,
            received: flow.received,
            sent: flow.sent,
        }
    }

    /// The flow with its socket; `None` if that is no socket for it.
    pub(super) fn with(self, descriptor: OwnedFd) -> Option<HandedFlow> {
        let is_datagrams = socket_type(&descriptor).is_ok_and(|kind| kind == SocketType::DGRAM);
        let socket = UdpSocket::from(descriptor);
        let is_connected = socket.peer_addr().is_ok_and(|peer| peer.is_ipv4() || peer.is_ipv6());
        let service = ObjectName { namespace: self.namespace.into(), name: self.service.into() };
        (is_datagrams && is_connected).then(|| HandedFlow {
            listener: self.listener,
            client: self.client,
            cluster: ClusterKey { service, port: self.port, protocol: BackendProtocol::Udp, tls: false },
            replied: self.replied,
            confirmed: self.replied && self.confirmed,
            idle: Duration::from_millis(self.idle_ms),
            lasted: Duration::from_millis(self.lasted_ms),
            start_ms: self.start_ms,
            received: self.received,
            sent: self.sent,
            socket,
        })
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
