//! The load on every target, and the targets that Sluice is held against.

use super::target::Target::{
    self, Caddy, Envoy, Floor, Haproxy, HaproxySplice, Nginx, Sluice, SluiceOneRoute,
};
use crate::bars::Against;
use crate::peers::Traffic;

/// One row of the table.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) load: Load,
    pub(super) connections: u32,
    pub(super) request_path: &'static str,
    /// The key of the listener's certificate; clear text without.
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
    /// The protocol of its conversations, which take a backend of their own.
    pub(super) fn conversation(&self) -> Option<Conversation> {
        match self.load {
            Load::Messages { conversation, .. } => Some(conversation),
            Load::Http1 { .. } | Load::Http2 { .. } | Load::Handshakes { .. } => None,
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

const ALL: &[Target] = &[Sluice, Nginx, Haproxy, Floor];
const BESIDE_PEERS: &[Target] = &[Sluice, Nginx, Haproxy, Envoy, Caddy];
const BESIDE_ALL: &[Target] = &[Sluice, Nginx, Haproxy, Envoy, Caddy, Floor];

/// Those that pass connections on as they are.
const STREAM_PROXIES: &[Target] = &[Nginx, Haproxy, HaproxySplice];

const STREAMS: Load = Load::Http2 { streams: 32, grpc: false };
const KEPT: Load = Load::Http1 { close: false, many: false };

const PLAIN: Scenario = Scenario {
    name: "",
    load: KEPT,
    connections: 64,
    request_path: "/app/100",
    key: None,
    traffic: Traffic::PLAIN,
    targets: ALL,
};

/// Requests that idle connections have made before.
pub(super) static IDLE: Scenario = PLAIN;

/// Sixteen connections with 32 streams each, in clear text.
const HTTP2: Scenario =
    Scenario { load: STREAMS, connections: 16, traffic: Traffic { http2: true, ..Traffic::PLAIN }, ..PLAIN };

/// The same to a backend that speaks HTTP/2, too.
const HTTP2_THROUGH: Scenario = Scenario {
    traffic: Traffic { http2: true, backend_http2: true, ..Traffic::PLAIN },
    targets: BESIDE_ALL,
    ..HTTP2
};

const TLS: Scenario = Scenario {
    key: Some(Key::P256),
    traffic: Traffic { tls: true, ..Traffic::PLAIN },
    targets: BESIDE_PEERS,
    ..PLAIN
};

/// Connections that are passed on as they are, with a listener and a route for them alone.
const BYTES: Scenario = Scenario {
    request_path: "/100",
    traffic: Traffic { bytes: true, ..Traffic::PLAIN },
    targets: &[Sluice, Nginx, Haproxy, HaproxySplice],
    ..PLAIN
};

const HANDSHAKES: Scenario = Scenario { load: Load::Handshakes { resumed: false }, connections: 16, ..TLS };

/// All of them, in the order of the table.
pub(super) static SCENARIOS: &[Scenario] = &[
    Scenario { name: "keep-alive-64", targets: BESIDE_ALL, ..PLAIN },
    Scenario { name: "keep-alive-512", connections: 512, ..PLAIN },
    Scenario {
        name: "many-routes",
        load: Load::Http1 { close: false, many: true },
        targets: &[Sluice, SluiceOneRoute],
        ..PLAIN
    },
    Scenario {
        name: "access-log",
        traffic: Traffic { access_log: true, ..Traffic::PLAIN },
        targets: &[Sluice, Nginx, Haproxy],
        ..PLAIN
    },
    Scenario { name: "connection-each", load: Load::Http1 { close: true, many: false }, ..PLAIN },
    Scenario { name: "body-10k", request_path: "/app/10k", ..PLAIN },
    Scenario { name: "body-1m", request_path: "/app/1m", ..PLAIN },
    Scenario { name: "h2-h1", targets: BESIDE_ALL, ..HTTP2 },
    Scenario { name: "h2-h2", ..HTTP2_THROUGH },
    Scenario {
        name: "grpc-unary",
        load: Load::Http2 { streams: 32, grpc: true },
        request_path: "/app/grpc",
        ..HTTP2_THROUGH
    },
    Scenario {
        name: "grpc-streaming",
        load: Load::Messages { conversation: Conversation::Grpc, streams: 32 },
        request_path: "/app/grpc-streaming",
        ..HTTP2_THROUGH
    },
    Scenario {
        name: "websocket-echo",
        load: Load::Messages { conversation: Conversation::WebSocket, streams: 1 },
        connections: 512,
        request_path: "/app/websocket",
        traffic: Traffic { websocket: true, ..Traffic::PLAIN },
        targets: BESIDE_PEERS,
        ..PLAIN
    },
    Scenario { name: "tcp-100", ..BYTES },
    Scenario { name: "tcp-1m", request_path: "/1m", ..BYTES },
    Scenario { name: "tcp-connection-each", load: Load::Http1 { close: true, many: false }, ..BYTES },
    Scenario { name: "tls-keep-alive-h1", ..TLS },
    Scenario {
        name: "tls-keep-alive-h2",
        traffic: Traffic { tls: true, http2: true, ..Traffic::PLAIN },
        load: STREAMS,
        connections: 16,
        ..TLS
    },
    Scenario { name: "tls-body-1m", request_path: "/app/1m", ..TLS },
    Scenario { name: "handshake-p256", ..HANDSHAKES },
    Scenario { name: "handshake-p256-resumed", load: Load::Handshakes { resumed: true }, ..HANDSHAKES },
    Scenario { name: "handshake-rsa", key: Some(Key::Rsa2048), ..HANDSHAKES },
    Scenario {
        name: "handshake-rsa-resumed",
        key: Some(Key::Rsa2048),
        load: Load::Handshakes { resumed: true },
        ..HANDSHAKES
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bars::Bars;

    #[test]
    fn every_scenario_has_its_bars_and_every_bar_a_scenario_with_its_targets() {
        let bars = Bars::read().unwrap();
        assert_eq!(bars.smoke.len(), SCENARIOS.len(), "{:?}", bars.smoke.keys());
        for scenario in SCENARIOS {
            for against in bars.of_scenario(scenario.name).unwrap().keys() {
                for target in against.targets() {
                    assert!(scenario.targets.contains(target), "{}: {target:?} is not there", scenario.name);
                }
            }
        }
        assert!(format!("{:#}", bars.of_scenario("spdy").unwrap_err()).contains("[smoke.spdy]"));
    }
}
