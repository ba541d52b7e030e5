//! Settings that hold for a worker's whole life; routing comes with snapshots instead.

use std::net::IpAddr;
use std::time::Duration;

use gateway_http::h1::path::PathOptions;
use gateway_http::h1::{BodyLimits, HeadLimits};
use gateway_io::confine::Unlisted;
use gateway_tls::Tickets;
use ipnet::IpNet;

use crate::timeouts::Timeouts;
use crate::worker::{ClientLimit, MovingFlows};

/// Limits, time-outs and trust, shared read-only by all workers.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    /// Limits of request heads, and of backends' response heads.
    pub head: HeadLimits,
    /// Limits of bodies, both ways.
    pub body: BodyLimits,
    /// How request paths are normalised before they are matched and forwarded.
    pub path: PathOptions,
    /// Most client connections of one worker; one more is answered 503 `overload_connections`.
    pub max_connections: usize,
    /// Most requests of one worker under way at one cluster; one more is answered 503 `overload_requests`.
    pub max_upstream_requests: usize,
    /// Most of those that wait for their response to begin; one more is answered 503 `overload_pending`.
    pub max_upstream_pending: usize,
    /// Most requests of one worker at once on one connection to a backend over HTTP/2; one more gets another connection.
    pub upstream_h2_max_streams: usize,
    /// Grouping of clients by prefix, and the most connections of one group in a worker.
    pub clients: ClientLimit,
    /// Bounds of the flows of UDP listeners.
    pub udp: UdpLimits,
    /// Flows that may come to any worker, shared by all of them.
    pub moving_flows: MovingFlows,
    /// Bytes of buffers that one worker lends; with so many lent, new requests are answered 503 `overload_memory`.
    pub buffer_limit: usize,
    /// Size of the pooled buffers, in bytes: the largest piece of a body in flight per direction.
    pub buffer_bytes: usize,
    /// Idle connections kept per worker and backend address; `None` is as many as were lately in use at once, 64 at least.
    pub max_idle_upstream: Option<usize>,
    /// Most series of per-route metrics per worker; the rest are counted together.
    pub max_series: usize,
    /// Most of those of the routes of one namespace.
    pub max_series_per_namespace: usize,
    /// Time limits.
    pub timeouts: Timeouts,
    /// The keys of session tickets, the same for all workers; without them every handshake is a full one.
    pub tickets: Option<Tickets>,
    /// HTTP/2 is served: by ALPN over TLS, and in the clear to clients that begin with it.
    pub http2: bool,
    /// Protocols that requests may change to (`Upgrade`), whose bytes then pass unread. Names compare without case.
    pub upgrade_protocols: Vec<Box<str>>,
    /// Networks whose `X-Forwarded-*` and `X-Request-Id` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Networks whose connections must begin with a PROXY header.
    pub proxy_protocol: Vec<IpNet>,
    /// Request fields with `_` in their name.
    pub underscore_headers: UnderscoreHeaders,
    /// Trailers of requests are forwarded, but for those that would change what a proxy or a filter says.
    pub request_trailers: bool,
    /// Audience of the reasons of local replies.
    pub reason_header: ReasonHeader,
    /// The port of the steering sockets: connections addressed to it directly are closed.
    pub internal_port: Option<u16>,
    /// Added to every listener port below 1024 where the process may not bind those.
    pub unprivileged_offset: Option<u16>,
    /// True if requests are written to the access log.
    pub access_log: bool,
    /// Treatment of a system call that no worker makes; they are not restricted without it.
    pub confine: Option<Unlisted>,
    /// True if tests may plant faults by a field of a request; without effect in release builds.
    pub faults: bool,
}

/// Bounds of the flows of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpLimits {
    /// Most flows; each holds a descriptor.
    pub flows: usize,
    /// Most of those of one client, whose address is taken as for [`ClientLimit`].
    pub flows_per_client: usize,
    /// Time without a datagram, in either direction, after which a flow ends.
    pub idle: Duration,
}

impl Default for UdpLimits {
    fn default() -> Self {
        Self { flows: 12_500, flows_per_client: 3_125, idle: Duration::from_secs(60) }
    }
}

/// Policy for request fields with `_` in their name, which servers that know fields by CGI variables take for the same name
/// with `-` (RFC 3875 section 4.1.18). `Drop` and `Reject` spare the names that a route on the request's host matches or
/// writes, and all names of gRPC requests, but never a name that could pass for a field that only a proxy may write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnderscoreHeaders {
    /// They are dropped before the request is matched.
    #[default]
    Drop,
    /// The request is answered 400.
    Reject,
    /// All are forwarded.
    Keep,
}

/// Audience of the reason of a local reply, in `x-sluice-reason` and in its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReasonHeader {
    /// To every client.
    #[default]
    Always,
    /// To trusted proxies and to peers on loopback.
    Trusted,
    /// To none.
    Never,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            head: HeadLimits::default(),
            body: BodyLimits::default(),
            path: PathOptions::default(),
            max_connections: 50_000,
            max_upstream_requests: 25_000,
            max_upstream_pending: 12_500,
            upstream_h2_max_streams: 100,
            clients: ClientLimit::default(),
            udp: UdpLimits::default(),
            moving_flows: MovingFlows::default(),
            buffer_limit: usize::MAX,
            buffer_bytes: 16 * 1024,
            max_idle_upstream: None,
            max_series: 2000,
            max_series_per_namespace: 1000,
            timeouts: Timeouts::default(),
            tickets: None,
            http2: true,
            upgrade_protocols: vec!["websocket".into()],
            trusted_proxies: Vec::new(),
            proxy_protocol: Vec::new(),
            underscore_headers: UnderscoreHeaders::default(),
            request_trailers: false,
            reason_header: ReasonHeader::default(),
            internal_port: None,
            unprivileged_offset: None,
            access_log: true,
            confine: None,
            faults: false,
        }
    }
}

impl ProxyConfig {
    /// True if `X-Forwarded-*` from this address is believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|net| net.contains(&peer))
    }

    /// True if a local reply to this peer gives its reason.
    pub fn shows_reason(&self, peer: IpAddr) -> bool {
        match self.reason_header {
            ReasonHeader::Always => true,
            ReasonHeader::Trusted => peer.to_canonical().is_loopback() || self.trusts(peer),
            ReasonHeader::Never => false,
        }
    }

    /// True if connections from this address must begin with a PROXY header.
    pub fn announces(&self, peer: IpAddr) -> bool {
        self.proxy_protocol.iter().any(|net| net.contains(&peer))
    }

    /// The listener port that a connection to the local port `port` is for.
    pub fn listener_port(&self, port: u16) -> u16 {
        match self.unprivileged_offset.and_then(|offset| port.checked_sub(offset)) {
            Some(below) if below != 0 && below < 1024 => below,
            _ => port,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_maps_only_the_ports_that_were_moved() {
        let config = ProxyConfig { unprivileged_offset: Some(8000), ..ProxyConfig::default() };
        for (local, listener) in [(8080, 80), (8443, 443), (9023, 1023), (9024, 9024), (8000, 8000), (80, 80)]
        {
            assert_eq!(config.listener_port(local), listener, "local port {local}");
        }
        assert_eq!(ProxyConfig::default().listener_port(8080), 8080);
    }

    #[test]
    fn reasons_are_shown_to_whom_they_should_be() {
        let config = |reason_header| ProxyConfig {
            reason_header,
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            ..ProxyConfig::default()
        };
        let peers = ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.1.1.1", "192.0.2.1"];
        let shown = |policy| peers.map(|peer| config(policy).shows_reason(peer.parse().unwrap()));
        assert_eq!(shown(ReasonHeader::Always), [true; 5]);
        assert_eq!(shown(ReasonHeader::Trusted), [true, true, true, true, false]);
        assert_eq!(shown(ReasonHeader::Never), [false; 5]);
    }
}
