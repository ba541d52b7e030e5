//! The scenarios, in the order of the table.

use super::scenario::{Conversation, Key, Load, Scenario};
use super::target::Target::{
    self, Caddy, Envoy, Floor, Haproxy, HaproxySplice, Nginx, Sluice, SluiceOneRoute,
};
use crate::peers::{BackendTls, Pass, Traffic};

const ALL: &[Target] = &[Sluice, Nginx, Haproxy, Floor];
const BESIDE_PEERS: &[Target] = &[Sluice, Nginx, Haproxy, Envoy, Caddy];
const BESIDE_ALL: &[Target] = &[Sluice, Nginx, Haproxy, Envoy, Caddy, Floor];

const STREAMS: Load = Load::Http2 { streams: 32, grpc: false };
const KEPT: Load = Load::Http1 { close: false, many: false };

pub(super) const PLAIN: Scenario = Scenario {
    name: "",
    load: KEPT,
    connections: 64,
    request_path: "/app/100",
    key: None,
    traffic: Traffic::PLAIN,
    targets: ALL,
};

/// Sixteen connections with 32 streams each, in clear text.
const HTTP2: Scenario =
    Scenario { load: STREAMS, connections: 16, traffic: Traffic { http2: true, ..Traffic::PLAIN }, ..PLAIN };

/// The same to a backend that speaks HTTP/2, too.
const HTTP2_THROUGH: Scenario = Scenario {
    traffic: Traffic { http2: true, backend_http2: true, ..Traffic::PLAIN },
    targets: BESIDE_ALL,
    ..HTTP2
};

pub(super) const TLS: Scenario = Scenario {
    key: Some(Key::P256),
    traffic: Traffic { tls: true, ..Traffic::PLAIN },
    targets: BESIDE_PEERS,
    ..PLAIN
};

/// Connections that are passed on as they are, with a listener and a route for them alone.
const BYTES: Scenario = Scenario {
    request_path: "/100",
    traffic: Traffic { pass: Some(Pass::Tcp), ..Traffic::PLAIN },
    targets: &[Sluice, Nginx, Haproxy, HaproxySplice],
    ..PLAIN
};

/// Requests in clear text that go on over TLS.
const BACKEND_TLS: Scenario = Scenario {
    key: Some(Key::P256),
    traffic: Traffic { backend_tls: Some(BackendTls::Kept), ..Traffic::PLAIN },
    targets: &[Sluice, Nginx, Haproxy],
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
    Scenario {
        name: "passthrough-1m",
        request_path: "/1m",
        key: Some(Key::P256),
        traffic: Traffic { pass: Some(Pass::Sni), ..Traffic::PLAIN },
        ..BYTES
    },
    Scenario {
        name: "udp-64",
        load: Load::Datagrams { window: 3 },
        traffic: Traffic { pass: Some(Pass::Udp), ..Traffic::PLAIN },
        targets: &[Sluice, Nginx, Floor],
        ..PLAIN
    },
    Scenario { name: "tls-keep-alive-h1", ..TLS },
    Scenario {
        name: "tls-keep-alive-h2",
        traffic: Traffic { tls: true, http2: true, ..Traffic::PLAIN },
        load: STREAMS,
        connections: 16,
        ..TLS
    },
    Scenario { name: "tls-body-1m", request_path: "/app/1m", ..TLS },
    Scenario { name: "tls-upload-1m", load: Load::Uploads, request_path: "/app/upload", ..TLS },
    Scenario { name: "backend-tls-keep-alive", ..BACKEND_TLS },
    Scenario {
        name: "backend-tls-resumed",
        traffic: Traffic { backend_tls: Some(BackendTls::Resumed), ..Traffic::PLAIN },
        ..BACKEND_TLS
    },
    Scenario {
        name: "backend-tls-full",
        traffic: Traffic { backend_tls: Some(BackendTls::Full), ..Traffic::PLAIN },
        ..BACKEND_TLS
    },
    Scenario { name: "backend-tls-body-1m", request_path: "/app/1m", ..BACKEND_TLS },
    Scenario {
        name: "backend-tls-upload-1m",
        load: Load::Uploads,
        request_path: "/app/upload",
        ..BACKEND_TLS
    },
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
