//! Flows on their way: from one worker to those of the next process, whose backends then see the same port.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use gateway_ir::ClusterKey;

/// A flow without whatever belongs to one worker.
#[derive(Debug)]
pub struct HandedFlow {
    /// The kernel's number of the listening socket that its client's datagrams come to.
    pub listener: u64,
    /// Its client.
    pub client: SocketAddr,
    /// The port of a Service that its endpoint is of.
    pub cluster: ClusterKey,
    /// The backend has sent something.
    pub replied: bool,
    /// The client has sent something after that.
    pub confirmed: bool,
    /// Time since the last datagram of either side.
    pub idle: Duration,
    /// Time since the first one.
    pub lasted: Duration,
    /// When that was, in milliseconds since 1970.
    pub start_ms: u64,
    /// Bytes of the client.
    pub received: u64,
    /// Bytes to the client.
    pub sent: u64,
    /// Connected to the endpoint.
    pub socket: UdpSocket,
}

impl HandedFlow {
    /// The same flow with another descriptor of its socket.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        let (socket, cluster) = (self.socket.try_clone()?, self.cluster.clone());
        Ok(Self { socket, cluster, ..*self })
    }
}

/// The place to which the clients' datagrams of flows come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// To the worker that has their flows.
    Here,
    /// To any worker, since there are more sockets than before. None receives before all have their flows, and are told that
    /// clients are here.
    AnyWorker,
    /// To another process.
    Elsewhere,
}

/// The flows that a worker gives up.
#[derive(Debug, Default)]
pub struct HandedOver {
    /// In the order of their use.
    pub flows: Vec<HandedFlow>,
    /// Number of those that it keeps.
    pub kept: usize,
}

/// The outcome of going on with flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Flows that go on.
    pub flows: usize,
    /// Flows that ended: their listener, route or endpoint is none any more, or a limit is reached.
    pub ended: usize,
}
