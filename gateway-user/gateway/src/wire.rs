//! Settings in the words of the crates that do the work.

mod steering;

use std::sync::Arc;
use std::time::Duration;

use gateway_http::h1::HeadLimits;
use gateway_http::h1::path::{self, PathOptions, Separators};
use gateway_io::file::FileTarget;
use gateway_ir::{ListenerSettings, Setting};
use gateway_proxy::worker::ClientLimit;
use gateway_proxy::{ProxyConfig, Timeouts, UdpLimits};
use gateway_steer::SteeringPath;
use gateway_tls::Tickets;
use gateway_translate::RequestPolicy;

use crate::capacity::Bounds;
use crate::confinement::Confinement;
use crate::fault;
use crate::flags::{
    AccessLog, Auto, Count, Cpus, EncodedSeparators, IoMode, Limit, MergeSlashes, ReasonHeader,
    RequestTrailers, Settings, UnderscoreHeaders,
};

pub(crate) use steering::{layout, listens, own_ports, steer_options, steering_mode};

/// "No limit" as a duration: longer than any process lives, short enough to be added to any clock.
const NO_LIMIT: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Descriptors that client and backend connections leave to the rest of the process: 112 to connections of
/// the health, metrics and admin servers (64, 32 and 16 at most), 144 to rings, maps, listening sockets,
/// files and a hot restart.
pub(crate) const RESERVED_DESCRIPTORS: u64 = 256;

/// The smallest automatic bound of one backend: a gateway for few connections is no gateway for fewer
/// backends.
const LEAST_PART: usize = 16;

/// Normal form of request paths.
pub(crate) fn path_options(settings: &Settings) -> PathOptions {
    let separators = match settings.encoded_separators {
        _ if settings.reject_encoded_slashes.on() => Separators::Refuse,
        EncodedSeparators::RefuseDangerous => Separators::RefuseDangerous,
        EncodedSeparators::Refuse => Separators::Refuse,
        EncodedSeparators::Keep => Separators::Keep,
    };
    let merge_slashes = match settings.merge_slashes {
        MergeSlashes::Match => path::MergeSlashes::Match,
        MergeSlashes::True => path::MergeSlashes::Always,
        MergeSlashes::False => path::MergeSlashes::Never,
    };
    PathOptions { merge_slashes, separators }
}

/// Policy for request fields with `_` in their name.
pub(crate) fn underscore_headers(settings: &Settings) -> gateway_proxy::UnderscoreHeaders {
    match settings.underscore_headers {
        UnderscoreHeaders::Drop => gateway_proxy::UnderscoreHeaders::Drop,
        UnderscoreHeaders::Reject => gateway_proxy::UnderscoreHeaders::Reject,
        UnderscoreHeaders::Keep => gateway_proxy::UnderscoreHeaders::Keep,
    }
}

/// The policies that translate has to know, because they make matches dead.
pub(crate) fn request_policy(settings: &Settings) -> RequestPolicy {
    let separators = path_options(settings).separators;
    RequestPolicy {
        takes_underscores: settings.underscore_headers != UnderscoreHeaders::Keep,
        refuses_dangerous_paths: separators != Separators::Keep,
        refuses_encoded_separators: separators == Separators::Refuse,
    }
}

/// Audience of the reasons of local replies.
fn reason_header(settings: &Settings, serves_cluster: bool) -> gateway_proxy::ReasonHeader {
    match settings.reason_header {
        ReasonHeader::Auto if serves_cluster => gateway_proxy::ReasonHeader::Trusted,
        ReasonHeader::Auto | ReasonHeader::Always => gateway_proxy::ReasonHeader::Always,
        ReasonHeader::Trusted => gateway_proxy::ReasonHeader::Trusted,
        ReasonHeader::Never => gateway_proxy::ReasonHeader::Never,
    }
}

/// The flags that drop or refuse parts of valid requests, with their values, for the log.
pub(crate) fn strictness(settings: &Settings, serves_cluster: bool) -> String {
    let separators = match path_options(settings).separators {
        Separators::RefuseDangerous => EncodedSeparators::RefuseDangerous,
        Separators::Refuse => EncodedSeparators::Refuse,
        Separators::Keep => EncodedSeparators::Keep,
    };
    let reasons = match reason_header(settings, serves_cluster) {
        gateway_proxy::ReasonHeader::Always => ReasonHeader::Always,
        gateway_proxy::ReasonHeader::Trusted => ReasonHeader::Trusted,
        gateway_proxy::ReasonHeader::Never => ReasonHeader::Never,
    };
    format!(
        "--underscore-headers {}, --request-trailers {}, --encoded-separators {separators}, --reason-header {reasons}",
        settings.underscore_headers, settings.request_trailers,
    )
}

/// Limits and trust of the workers, on this steering path.
pub(crate) fn proxy_config(
    settings: &Settings,
    path: &SteeringPath,
    bounds: &Bounds,
    serves_cluster: bool,
    confinement: Confinement,
) -> Arc<ProxyConfig> {
    let max_connections = bounds.connections;
    let part = |set: Auto<Count<1, 1_000_000>>, part: usize| match set {
        Auto::Set(count) => count.size(),
        Auto::Auto => (max_connections / part).max(LEAST_PART),
    };
    Arc::new(ProxyConfig {
        head: HeadLimits {
            first_line: settings.max_request_line.bytes(),
            head: settings.max_header_bytes.bytes(),
            fields: settings.max_headers.size(),
        },
        path: path_options(settings),
        max_connections,
        clients: ClientLimit {
            connections: settings.max_connections_per_client.size(),
            ipv4_prefix: u8::try_from(settings.client_prefix_ipv4.get()).unwrap_or(32),
            ipv6_prefix: u8::try_from(settings.client_prefix_ipv6.get()).unwrap_or(64),
        },
        udp: udp_limits(settings, max_connections),
        buffer_limit: bounds.buffers,
        max_upstream_requests: part(settings.upstream_max_requests, 2),
        max_upstream_pending: part(settings.upstream_max_pending, 4),
        upstream_h2_max_streams: settings.upstream_h2_max_streams.size(),
        buffer_bytes: settings.buffer_size.bytes(),
        max_idle_upstream: match settings.upstream_max_idle {
            Auto::Set(count) => Some(count.size()),
            Auto::Auto => None,
        },
        max_series: settings.max_series.size(),
        max_series_per_namespace: match settings.max_series_per_namespace {
            Auto::Set(count) => count.size(),
            Auto::Auto => settings.max_series.size() / 2,
        },
        timeouts: timeouts(settings),
        tickets: tickets(),
        trusted_proxies: settings.trusted_proxies.0.clone(),
        proxy_protocol: settings.proxy_protocol.0.clone(),
        underscore_headers: underscore_headers(settings),
        http2: settings.http2.on(),
        upgrade_protocols: settings.upgrade_protocols.0.clone(),
        request_trailers: settings.request_trailers == RequestTrailers::Keep,
        reason_header: reason_header(settings, serves_cluster),
        internal_port: path.internal_port(),
        unprivileged_offset: path.unprivileged_offset(),
        access_log: settings.access_log != AccessLog::Off,
        confine: confinement.of_workers(),
        faults: fault::is_injected("requests"),
        ..ProxyConfig::default()
    })
}

/// Bounds of flows, for workers of so many connections.
fn udp_limits(settings: &Settings, max_connections: usize) -> UdpLimits {
    let part = |set: Auto<Count<1, 1_000_000>>, of: usize| match set {
        Auto::Set(count) => count.size(),
        Auto::Auto => (of / 4).max(LEAST_PART),
    };
    let flows = part(settings.max_udp_flows, max_connections);
    UdpLimits {
        flows,
        flows_per_client: part(settings.max_udp_flows_per_client, flows),
        idle: settings.udp_flow_idle_timeout.0.unwrap_or(NO_LIMIT),
    }
}

/// The keys of all workers' session tickets.
fn tickets() -> Option<Tickets> {
    let tickets = Tickets::new();
    tickets
        .inspect_err(|error| {
            tracing::warn!("TLS sessions are not resumed, every handshake is a full one: {error}")
        })
        .ok()
}

fn timeouts(settings: &Settings) -> Timeouts {
    let limit = |limit: Limit| limit.0.unwrap_or(NO_LIMIT);
    Timeouts {
        client_header: limit(settings.client_header_timeout),
        tls_handshake: limit(settings.tls_handshake_timeout),
        client_idle: limit(settings.client_idle_timeout),
        half_close: settings.half_close_timeout.0.unwrap_or(NO_LIMIT),
        client_body: limit(settings.client_body_timeout),
        client_send: limit(settings.client_send_timeout),
        client_rate: settings.client_min_rate.bytes() as u64,
        connect: limit(settings.upstream_connect_timeout),
        response_header: limit(settings.upstream_response_timeout),
        upstream_idle_body: limit(settings.upstream_body_timeout),
        grpc_idle: limit(settings.grpc_idle_timeout),
        upstream_idle: limit(settings.upstream_idle_timeout),
        tunnel_idle: limit(settings.tunnel_idle_timeout),
        request: settings.request_timeout.0.unwrap_or(Duration::ZERO),
        ..Timeouts::default()
    }
}

/// The flags that bound settings of Gateways; those without a limit are absent.
pub(crate) fn listener_settings(settings: &Settings) -> ListenerSettings {
    let mut flags = ListenerSettings::default();
    let millis = |limit: Limit| limit.0.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
    for (setting, limit) in [
        (Setting::ClientHeaderTimeout, settings.client_header_timeout),
        (Setting::ClientIdleTimeout, settings.client_idle_timeout),
        (Setting::ClientBodyTimeout, settings.client_body_timeout),
        (Setting::ClientSendTimeout, settings.client_send_timeout),
        (Setting::RequestTimeout, settings.request_timeout),
        (Setting::UpstreamResponseTimeout, settings.upstream_response_timeout),
        (Setting::UpstreamBodyTimeout, settings.upstream_body_timeout),
        (Setting::GrpcIdleTimeout, settings.grpc_idle_timeout),
        (Setting::TunnelIdleTimeout, settings.tunnel_idle_timeout),
    ] {
        flags.set(setting, millis(limit));
    }
    flags.set(Setting::MaxHeaderBytes, Some(settings.max_header_bytes.bytes() as u64));
    flags.set(Setting::MaxHeaders, Some(settings.max_headers.size() as u64));
    flags.set(Setting::AccessLog, Some(u64::from(settings.access_log != AccessLog::Off)));
    flags
}

/// The mode of I/O.
pub(crate) fn io_mode(mode: IoMode) -> gateway_io::IoMode {
    match mode {
        IoMode::Auto => gateway_io::IoMode::Auto,
        IoMode::Uring => gateway_io::IoMode::Uring,
        IoMode::Epoll => gateway_io::IoMode::Epoll,
    }
}

/// Where the access log goes.
pub(crate) fn file_target(log: &AccessLog) -> FileTarget {
    match log {
        AccessLog::Off => FileTarget::Off,
        AccessLog::Stdout => FileTarget::Stdout,
        AccessLog::Path(path) => FileTarget::Path(path.clone()),
    }
}

/// The workers, each with the CPU that it is pinned to.
///
/// # Errors
/// A CPU of `--cpus` is none that the process may run on; says which there are.
pub(crate) fn placement(settings: &Settings, usable: &[usize]) -> Result<Vec<Option<usize>>, String> {
    let cpus = match &settings.cpus {
        Cpus::Auto => usable.to_vec(),
        Cpus::Unpinned => Vec::new(),
        Cpus::List(list) => {
            if let Some(missing) = list.iter().find(|cpu| !usable.contains(cpu)) {
                let usable = usable.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
                return Err(format!("--cpus: this process may not run on CPU {missing}; it may on {usable}"));
            }
            list.clone()
        }
    };
    let workers = match settings.workers {
        Auto::Set(count) => count.size(),
        // Unpinned workers are as many as there are CPUs for them.
        Auto::Auto if cpus.is_empty() => usable.len().max(1),
        Auto::Auto => cpus.len(),
    };
    let workers = workers.min(256);
    Ok((0..workers).map(|slot| cpus.get(slot % cpus.len().max(1)).copied()).collect())
}

#[cfg(test)]
mod tests;
