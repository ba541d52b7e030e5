//! Messages there and back on long conversations: clients that compare each with its echo, and the servers that send
//! these.

mod clients;
pub mod grpc;
pub mod grpc_server;
mod message;
pub mod websocket;
pub mod websocket_server;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

/// The conversations of a run.
#[derive(Clone, Debug)]
pub struct EchoSpec {
    /// Address of the proxy.
    pub to: SocketAddr,
    /// The Host field.
    pub host: String,
    /// Path and query of each conversation's request.
    pub target: String,
    /// Connections at a time.
    pub connections: u32,
    /// Calls at a time on each; over WebSocket a connection has one conversation.
    pub streams: u32,
    /// Messages of a call; a WebSocket lasts as long as the run.
    pub messages: u32,
    /// Bytes of a message.
    pub bytes: usize,
    /// How long messages are sent, once all connections are open.
    pub time: Duration,
}

/// The echo of a message, which is the n-th of its conversation, from 0; the conversation breaks if there is none.
pub type Respond = fn(n: u64, message: Bytes) -> Option<Bytes>;

/// The message as it came.
pub fn same(_: u64, message: Bytes) -> Option<Bytes> {
    Some(message)
}

/// Faults of servers, and how a client names each.
#[cfg(test)]
const FAULTS: [(Respond, &str); 3] = [
    (|_, message| Some([&message[..message.len() - 1], b"?"].concat().into()), "another message came back"),
    (
        |n, message| if n == 2 { Some(Bytes::from(vec![0; message.len()])) } else { Some(message) },
        "another message",
    ),
    (|n, message| (n < 2).then_some(message), "instead of an echo"),
];
