//! The load on every target, and the targets that Sluice is held against.

use super::target::Target::{self, Caddy, Envoy, Floor, Haproxy, HaproxySplice, Nginx, SluiceOneRoute};
use crate::bars::Against;
use crate::peers::Traffic;

/// One row of the table.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) load: Load,
    pub(super) connections: u32,
    pub(super) request_path: &'static str,
    /// The key of the certificate of whoever terminates TLS; clear text without.
    pub(super) key: Option<Key>,
    /// Configuration of proxies for it.
    pub(super) traffic: Traffic,
    pub(super) targets: &'static [Target],
}

/// How requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// By wrk, one at a time on each connection.
    Http1 {
        /// Each on a connection of its own.
        close: bool,
        /// For [`crate::peers::resources::HOSTS`] names with [`crate::peers::resources::PATHS`] paths each, in turn.
        many: bool,
    },
    /// The same on kept connections, each with a body of 1 MiB.
    Uploads,
    /// By h2load, so many at a time on each connection.
    Http2 {
        streams: u32,
        /// Each is a call of gRPC: a message, and in the response another and trailers.
        grpc: bool,
    },
    /// On long conversations, one message at a time on each: by [`sluice_bench::echo`].
    Messages {
        conversation: Conversation,
        /// Conversations at a time on each connection.
        streams: u32,
    },
    /// Over TLS, each on a connection and with a handshake of its own, which resumes the one before or is a full one.
    Handshakes { resumed: bool },
    /// Datagrams of 64 bytes, so many under way at a time in each flow: by [`sluice_bench::datagrams`].
    Datagrams { window: u32 },
}

/// The protocol of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conversation {
    /// A WebSocket.
    WebSocket,
    /// A call of gRPC with many messages each way.
    Grpc,
}

impl Scenario {
    /// True if requests are for many hosts and paths.
    pub(super) fn is_many(&self) -> bool {
        matches!(self.load, Load::Http1 { many: true, .. })
    }

    /// The protocol of its conversations, which take a backend of their own.
    pub(super) fn conversation(&self) -> Option<Conversation> {
        match self.load {
            Load::Messages { conversation, .. } => Some(conversation),
            Load::Http1 { .. }
            | Load::Uploads
            | Load::Http2 { .. }
            | Load::Handshakes { .. }
            | Load::Datagrams { .. } => None,
        }
    }
}

impl Conversation {
    /// `--protocol` of `sluice-bench`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Grpc => "grpc",
        }
    }
}

/// The kind of a certificate's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    P256,
    Rsa2048,
}

impl Against {
    /// The targets that are meant.
    pub(super) fn targets(self) -> &'static [Target] {
        match self {
            Self::Nginx => &[Nginx],
            Self::Haproxy => &[Haproxy],
            Self::NginxAndHaproxy => &[Nginx, Haproxy],
            Self::Streams => STREAM_PROXIES,
            Self::Peers => &[Nginx, Haproxy, Envoy, Caddy],
            Self::Floor => &[Floor],
            Self::OneRoute => &[SluiceOneRoute],
        }
    }
}

/// Those that pass connections on as they are.
const STREAM_PROXIES: &[Target] = &[Nginx, Haproxy, HaproxySplice];
