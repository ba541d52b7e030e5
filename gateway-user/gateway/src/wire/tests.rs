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
    let path = SteeringPath::ReusePort { reason: "test".into(), unprivileged_offset: None, lowest_port: 0 };
    let ours = proxy_config(&settings(&[]), &path, &BOUNDS, false, Confinement::default());
    let theirs = ProxyConfig::default();
    assert_eq!(format!("{:?}", ours.timeouts), format!("{:?}", theirs.timeouts));
    assert_eq!(format!("{:?}", ours.head), format!("{:?}", theirs.head));
    assert_eq!(ours.path, theirs.path);
    assert_eq!(
        (ours.underscore_headers, ours.request_trailers, ours.reason_header),
        (theirs.underscore_headers, theirs.request_trailers, theirs.reason_header)
    );
    assert_eq!(ours.upgrade_protocols, theirs.upgrade_protocols);
    assert_eq!((ours.buffer_bytes, ours.max_idle_upstream), (theirs.buffer_bytes, theirs.max_idle_upstream));
    assert_eq!(
        (ours.max_series, ours.max_series_per_namespace),
        (theirs.max_series, theirs.max_series_per_namespace)
    );
}

#[test]
fn one_namespace_may_have_the_whole_table_of_series_again() {
    let path = SteeringPath::ReusePort { reason: "test".into(), unprivileged_offset: None, lowest_port: 0 };
    let flags = [("max-series", "1000"), ("max-series-per-namespace", "1000")];
    let config = proxy_config(&settings(&flags), &path, &BOUNDS, false, Confinement::default());
    assert_eq!((config.max_series, config.max_series_per_namespace), (1000, 1000));
}

#[test]
fn servers_for_operators_have_room_in_what_connections_leave() {
    use crate::admin::{ADMIN, HEALTH, METRICS};
    let servers: usize = [HEALTH, METRICS, ADMIN].iter().map(|limits| limits.connections).sum();
    assert_eq!(servers, 112);
    assert!(servers as u64 + 128 < RESERVED_DESCRIPTORS, "half is for rings, maps, files and a hot restart");
}

#[test]
fn each_flag_restores_what_was_before() {
    let path = SteeringPath::ReusePort { reason: "test".into(), unprivileged_offset: None, lowest_port: 0 };
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
    let path =
        SteeringPath::ReusePort { reason: "test".into(), unprivileged_offset: Some(8000), lowest_port: 1024 };
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
    let path = SteeringPath::ReusePort { reason: "test".into(), unprivileged_offset: None, lowest_port: 0 };
    let settings = settings(&[("client-idle-timeout", "0")]);
    let config = proxy_config(&settings, &path, &BOUNDS, false, Confinement::default());
    assert_eq!(config.timeouts.client_idle, NO_LIMIT);
    assert_eq!(config.timeouts.request, Duration::ZERO);
}

#[test]
fn what_a_worker_may_hold_and_whose_clients_count_together_is_passed_on() {
    let path = SteeringPath::ReusePort { reason: "test".into(), unprivileged_offset: None, lowest_port: 0 };
    let flags = [
        ("max-connections-per-client", "9"),
        ("client-prefix-ipv4", "24"),
        ("client-prefix-ipv6", "56"),
        ("upstream-h2-max-streams", "7"),
    ];
    let config = proxy_config(&settings(&flags), &path, &BOUNDS, false, Confinement::default());
    assert_eq!((config.max_connections, config.buffer_limit), (384, 1 << 20));
    assert_eq!((config.max_upstream_requests, config.max_upstream_pending), (192, 96));
    assert_eq!(config.upstream_h2_max_streams, 7);
    assert_eq!(config.clients, ClientLimit { connections: 9, ipv4_prefix: 24, ipv6_prefix: 56 });
    assert_eq!(
        proxy_config(&settings(&[]), &path, &BOUNDS, false, Confinement::default()).clients,
        ClientLimit::default()
    );
}
