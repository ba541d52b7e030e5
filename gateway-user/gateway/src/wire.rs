//! Settings in the words of the crates that do the work.

use std::sync::Arc;
use std::time::Duration;

use gateway_control::own_ports::OwnPorts;
use gateway_http::h1::HeadLimits;
use gateway_http::h1::path::{self, PathOptions, Separators};
use gateway_io::file::FileTarget;
use gateway_proxy::worker::ClientLimit;
use gateway_proxy::{ProxyConfig, Timeouts};
use gateway_steer::{SteerOptions, SteeringPath};
use gateway_tls::Tickets;
use gateway_translate::RequestPolicy;

use crate::admin::metrics_address;
use crate::capacity::Bounds;
use crate::confinement::Confinement;
use crate::fault;
use crate::flags::{
    AccessLog, AddressMode, Auto, Count, Cpus, EncodedSeparators, IoMode, Limit, MergeSlashes, NodeEndpoints,
    ReasonHeader, RequestTrailers, Settings, SteeringMode, UnderscoreHeaders,
};
use crate::node;

/// "No limit" as a duration: longer than any process lives, short enough to be added to any
/// clock.
const NO_LIMIT: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Descriptors that client and backend connections leave to the rest of the process: 112 to connections of
/// the health, metrics and admin servers (64, 32 and 16 at most), 144 to rings, maps, listening sockets,
/// files and a hot restart.
pub(crate) const RESERVED_DESCRIPTORS: u64 = 256;

/// The smallest automatic bound of one backend: a gateway for few connections is no gateway for fewer backends.
const LEAST_PART: usize = 16;

/// How request paths are normalised.
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
        buffer_limit: bounds.buffers,
        max_upstream_requests: part(settings.upstream_max_requests, 2),
        max_upstream_pending: part(settings.upstream_max_pending, 4),
        buffer_bytes: settings.buffer_size.bytes(),
        max_idle_upstream: settings.upstream_max_idle.size(),
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
        upstream_idle: limit(settings.upstream_idle_timeout),
        request: settings.request_timeout.0.unwrap_or(Duration::ZERO),
    }
}

/// Ports that endpoints must not lead to on this node, which is reached on this steering path. The ports of
/// the node's other services are guarded from those who may write EndpointSlices, and not from its own
/// operator's files.
pub(crate) fn own_ports(settings: &Settings, path: &SteeringPath, over_cluster: bool) -> OwnPorts {
    let offset = match path {
        SteeringPath::ReusePort { unprivileged_offset: Some(offset), lowest_port, .. } => {
            Some((*offset, *lowest_port))
        }
        _ => None,
    };
    let reserved = settings.reserved_ports.0.iter().copied().filter(|_| over_cluster).collect();
    OwnPorts {
        internal_port: path.internal_port(),
        offset,
        reserved,
        addresses: Some(node::own_addresses),
        ..listens(settings, over_cluster)
    }
}

/// The part of that which the settings alone say.
pub(crate) fn listens(settings: &Settings, over_cluster: bool) -> OwnPorts {
    let metrics = metrics_address(settings, over_cluster);
    let addresses = [settings.health_address, metrics, settings.admin_address];
    OwnPorts {
        listens: addresses.into_iter().filter_map(|address| address.0).collect(),
        refuse_all: settings.node_endpoints == NodeEndpoints::Refuse,
        ..OwnPorts::default()
    }
}

/// Most placeholder sockets: a sixty-fourth of the descriptors, so that they are in no connection's way.
fn placeholders(settings: &Settings, open_files: u64) -> usize {
    if settings.placeholders.on() {
        usize::try_from(open_files / 64).unwrap_or(usize::MAX).clamp(16, 4096)
    } else {
        0
    }
}

/// Options of steering for so many workers of the instance of that name.
pub(crate) fn steer_options(
    settings: &Settings,
    workers: usize,
    instance: String,
    open_files: u64,
) -> SteerOptions {
    let usual = SteerOptions::new(workers, instance);
    SteerOptions {
        layout: crate::handoff::injected_number("layout").unwrap_or(usual.layout),
        bpffs: settings.bpffs.0.clone(),
        backlog: settings.backlog.small(),
        reserved_ports: settings.reserved_ports.0.iter().copied().collect(),
        allowed_ports: settings.allowed_ports.0.as_ref().map(|ports| ports.iter().copied().collect()),
        pool: match settings.address_mode {
            AddressMode::Pool => settings.address_pool.0.clone(),
            AddressMode::Node => Vec::new(),
        },
        placeholders: placeholders(settings, open_files),
        unprivileged_offset: u16::try_from(settings.unprivileged_offset.get())
            .ok()
            .filter(|offset| *offset > 0),
        ..usual
    }
}

/// The mode of steering.
pub(crate) fn steering_mode(mode: SteeringMode) -> gateway_steer::SteeringMode {
    match mode {
        SteeringMode::Auto => gateway_steer::SteeringMode::Auto,
        SteeringMode::Ebpf => gateway_steer::SteeringMode::Ebpf,
        SteeringMode::ReusePort => gateway_steer::SteeringMode::ReusePort,
    }
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

/// How many workers there are, and which CPU each is pinned to.
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
mod tests {
    use super::*;
    use crate::flags::tests::settings;

    const BOUNDS: Bounds = Bounds { connections: 384, buffers: 1 << 20, text: String::new() };

    #[test]
    fn workers_are_placed_in_turn_on_the_cpus_that_may_be_used() {
        let place = |flags: &[(&str, &str)]| placement(&settings(flags), &[0, 1, 4]);
        assert_eq!(place(&[]).unwrap(), [Some(0), Some(1), Some(4)]);
        assert_eq!(place(&[("workers", "4")]).unwrap(), [Some(0), Some(1), Some(4), Some(0)]);
        assert_eq!(place(&[("cpus", "1,4")]).unwrap(), [Some(1), Some(4)]);
        assert_eq!(place(&[("cpus", "none")]).unwrap(), [None, None, None]);
        let error = place(&[("cpus", "1-2")]).unwrap_err();
        assert!(error.contains("CPU 2") && error.contains("0,1,4"), "{error}");
    }

    #[test]
    fn defaults_are_those_that_the_proxy_documents() {
        let path =
            SteeringPath::ReusePort { reason: "test".into(), unprivileged_offset: None, lowest_port: 0 };
        let ours = proxy_config(&settings(&[]), &path, &BOUNDS, false, Confinement::default());
        let theirs = ProxyConfig::default();
        assert_eq!(format!("{:?}", ours.timeouts), format!("{:?}", theirs.timeouts));
        assert_eq!(format!("{:?}", ours.head), format!("{:?}", theirs.head));
        assert_eq!(ours.path, theirs.path);
        assert_eq!(
            (ours.underscore_headers, ours.request_trailers, ours.reason_header),
            (theirs.underscore_headers, theirs.request_trailers, theirs.reason_header)
        );
        assert_eq!(
            (ours.buffer_bytes, ours.max_idle_upstream),
            (theirs.buffer_bytes, theirs.max_idle_upstream)
        );
        assert_eq!(
            (ours.max_series, ours.max_series_per_namespace),
            (theirs.max_series, theirs.max_series_per_namespace)
        );
    }

    #[test]
    fn one_namespace_may_have_the_whole_table_of_series_again() {
        let path =
            SteeringPath::ReusePort { reason: "test".into(), unprivileged_offset: None, lowest_port: 0 };
        let flags = [("max-series", "1000"), ("max-series-per-namespace", "1000")];
        let config = proxy_config(&settings(&flags), &path, &BOUNDS, false, Confinement::default());
        assert_eq!((config.max_series, config.max_series_per_namespace), (1000, 1000));
    }

    #[test]
    fn servers_for_operators_have_room_in_what_connections_leave() {
        use crate::admin::{ADMIN, HEALTH, METRICS};
        let servers: usize = [HEALTH, METRICS, ADMIN].iter().map(|limits| limits.connections).sum();
        assert_eq!(servers, 112);
        assert!(
            servers as u64 + 128 < RESERVED_DESCRIPTORS,
            "half is for rings, maps, files and a hot restart"
        );
    }

    #[test]
    fn each_flag_restores_what_was_before() {
        let path =
            SteeringPath::ReusePort { reason: "test".into(), unprivileged_offset: None, lowest_port: 0 };
        let config = |flags: &[(&str, &str)], cluster| {
            proxy_config(&settings(flags), &path, &BOUNDS, cluster, Confinement::default())
        };
        let before = config(
            &[
                ("underscore-headers", "keep"),
                ("request-trailers", "keep"),
                ("encoded-separators", "keep"),
                ("reason-header", "always"),
            ],
            true,
        );
        assert_eq!(before.underscore_headers, gateway_proxy::UnderscoreHeaders::Keep);
        assert!(before.request_trailers);
        assert_eq!(before.path.separators, Separators::Keep);
        assert_eq!(before.reason_header, gateway_proxy::ReasonHeader::Always);
        let now = config(&[], true);
        assert_eq!(now.underscore_headers, gateway_proxy::UnderscoreHeaders::Drop);
        assert!(!now.request_trailers);
        assert_eq!(now.path.separators, Separators::RefuseDangerous);
        assert_eq!(now.reason_header, gateway_proxy::ReasonHeader::Trusted);
        assert_eq!(config(&[], false).reason_header, gateway_proxy::ReasonHeader::Always);
        assert_eq!(config(&[("reject-encoded-slashes", "true")], false).path.separators, Separators::Refuse);
        assert_eq!(
            config(&[("underscore-headers", "reject")], false).underscore_headers,
            gateway_proxy::UnderscoreHeaders::Reject
        );
        assert_eq!(
            config(&[("reason-header", "never")], false).reason_header,
            gateway_proxy::ReasonHeader::Never
        );
        assert_eq!(
            strictness(&settings(&[]), true),
            "--underscore-headers drop, --request-trailers drop, --encoded-separators refuse-dangerous, \
             --reason-header trusted"
        );
    }

    #[test]
    fn placeholders_take_a_sixty_fourth_of_the_descriptors_or_none() {
        let most = |flags: &[(&str, &str)], files| {
            steer_options(&settings(flags), 1, "a".to_owned(), files).placeholders
        };
        assert_eq!((most(&[], 1024), most(&[], 64_000), most(&[], u64::MAX)), (16, 1000, 4096));
        assert_eq!(most(&[("placeholders", "false")], 64_000), 0);
    }

    #[test]
    fn what_is_guarded_on_the_node_follows_the_settings() {
        let path = SteeringPath::ReusePort {
            reason: "test".into(),
            unprivileged_offset: Some(8000),
            lowest_port: 1024,
        };
        let own = own_ports(&settings(&[("admin-address", "127.0.0.1:15000")]), &path, true);
        assert_eq!(own.listens.iter().map(|one| one.port()).collect::<Vec<_>>(), [15021, 19001, 15000]);
        assert!(own.reserved.contains(&10250) && !own.refuse_all && own.offset == Some((8000, 1024)));
        let own = own_ports(&settings(&[("node-endpoints", "refuse")]), &path, false);
        assert!(own.reserved.is_empty() && own.refuse_all, "files are the operator's");
    }

    #[test]
    fn the_pool_and_the_allowed_ports_reach_steering() {
        let set = |flags: &[(&str, &str)]| steer_options(&settings(flags), 1, "a".to_owned(), 1024);
        assert_eq!((set(&[]).pool.len(), set(&[]).allowed_ports), (0, None));
        let pool = [("address-mode", "pool"), ("address-pool", "192.0.2.0/24"), ("allowed-ports", "443,80")];
        assert_eq!((set(&pool).pool.len(), set(&pool).allowed_ports), (1, Some([80, 443].into())));
    }

    #[test]
    fn zero_is_no_limit() {
        let path =
            SteeringPath::ReusePort { reason: "test".into(), unprivileged_offset: None, lowest_port: 0 };
        let settings = settings(&[("client-idle-timeout", "0")]);
        let config = proxy_config(&settings, &path, &BOUNDS, false, Confinement::default());
        assert_eq!(config.timeouts.client_idle, NO_LIMIT);
        assert_eq!(config.timeouts.request, Duration::ZERO);
    }

    #[test]
    fn what_a_worker_may_hold_and_whose_clients_count_together_is_passed_on() {
        let path =
            SteeringPath::ReusePort { reason: "test".into(), unprivileged_offset: None, lowest_port: 0 };
        let flags =
            [("max-connections-per-client", "9"), ("client-prefix-ipv4", "24"), ("client-prefix-ipv6", "56")];
        let config = proxy_config(&settings(&flags), &path, &BOUNDS, false, Confinement::default());
        assert_eq!((config.max_connections, config.buffer_limit), (384, 1 << 20));
        assert_eq!((config.max_upstream_requests, config.max_upstream_pending), (192, 96));
        assert_eq!(config.clients, ClientLimit { connections: 9, ipv4_prefix: 24, ipv6_prefix: 56 });
        assert_eq!(
            proxy_config(&settings(&[]), &path, &BOUNDS, false, Confinement::default()).clients,
            ClientLimit::default()
        );
    }
}
