//! Histograms of requests, connections and flows, by listener and route.

use gateway_proxy::metrics::{Histogram, Series, SeriesKey, SeriesTable, status_label};

use super::exposition::Exposition;

/// The histograms of workers count microseconds.
pub(super) const MICROSECONDS: f64 = 1e6;
const BYTES: f64 = 1.0;

/// Writes all of them.
pub(super) fn page(page: &mut Exposition, table: &SeriesTable) {
    let (connections, others): (Vec<_>, Vec<_>) =
        table.sorted().into_iter().partition(|(key, _)| key.scheme == SeriesKey::TCP);
    let (flows, of_requests): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|(key, _)| key.scheme == SeriesKey::UDP);
    requests(page, &of_requests, table.other());
    whole(page, &TCP, &connections);
    whole(page, &UDP, &flows);
}

/// Reads one histogram out of a series.
pub(super) type Pick = fn(&Series) -> &Histogram;

/// The metrics that OpenTelemetry names (semantic conventions, HTTP metrics).
pub(super) fn requests(page: &mut Exposition, each: &[(&SeriesKey, &Series)], other: &Series) {
    let families: [(&str, &str, f64, Pick); 4] = [
        (
            "http_server_request_duration_seconds",
            "From a request's first byte to the end of its response.",
            MICROSECONDS,
            |series| &series.duration,
        ),
        (
            "http_client_request_duration_seconds",
            "From having a backend connection to the end of its response.",
            MICROSECONDS,
            |series| &series.upstream,
        ),
        ("http_server_request_body_size_bytes", "Request bodies.", BYTES, |series| &series.request_bytes),
        ("http_server_response_body_size_bytes", "Response bodies.", BYTES, |series| &series.response_bytes),
    ];
    for (name, help, unit, pick) in families {
        page.histogram(name, help);
        for (key, series) in each {
            if pick(series).count() > 0 {
                with_labels(key, |labels| {
                    page.buckets(labels, pick(series), unit);
                });
            }
        }
        let rest = pick(other);
        if rest.count() > 0 {
            page.buckets(&[("sluice_series", "other")], rest, unit);
        }
    }
}

/// Histograms of connections or flows: name, help, and the part of a series.
pub(super) type Families = [(&'static str, &'static str, f64, Pick); 3];

/// Connections of TCP and TLS listeners. Those that found no room for a series of their own are counted with requests that did
/// not.
pub(super) const TCP: Families = [
    (
        "sluice_tcp_connection_duration_seconds",
        "From accepting a connection of a TCP listener, or the ClientHello of a TLS listener's, to its end; error_type if it was refused or broken off.",
        MICROSECONDS,
        |series| &series.duration,
    ),
    ("sluice_tcp_received_bytes", "Bytes from the client of such a connection.", BYTES, |series| {
        &series.request_bytes
    }),
    ("sluice_tcp_sent_bytes", "Bytes to the client of such a connection.", BYTES, |series| {
        &series.response_bytes
    }),
];

/// Flows of UDP listeners, and datagrams that began none.
pub(super) const UDP: Families = [
    (
        "sluice_udp_flow_duration_seconds",
        "From the first datagram of a UDP listener's client to the end of its flow; error_type if it ended before it was idle, and of datagrams that began none.",
        MICROSECONDS,
        |series| &series.duration,
    ),
    ("sluice_udp_received_bytes", "Bytes from the client of such a flow.", BYTES, |series| {
        &series.request_bytes
    }),
    ("sluice_udp_sent_bytes", "Bytes to the client of such a flow.", BYTES, |series| &series.response_bytes),
];

/// Connections or flows that are not looked into.
pub(super) fn whole(page: &mut Exposition, families: &Families, each: &[(&SeriesKey, &Series)]) {
    for (name, help, unit, pick) in *families {
        page.histogram(name, help);
        for (key, series) in each {
            let labels = [
                ("error_type", key.reason.unwrap_or("")),
                ("sluice_listener", key.listener.as_str()),
                ("sluice_route", key.route.as_str()),
            ];
            let labels: Vec<_> = labels.into_iter().filter(|(_, value)| !value.is_empty()).collect();
            page.buckets(&labels, pick(series), unit);
        }
    }
}

fn with_labels(key: &SeriesKey, write: impl FnOnce(&[(&str, &str)])) {
    let status = status_label(key.status);
    let mut labels = vec![
        ("http_request_method", key.method),
        ("http_response_status_code", &*status),
        ("url_scheme", key.scheme),
    ];
    let optional = [
        ("error_type", key.reason.unwrap_or("")),
        ("http_route", key.pattern.as_str()),
        ("sluice_listener", key.listener.as_str()),
        ("sluice_route", key.route.as_str()),
    ];
    labels.extend(optional.into_iter().filter(|(_, value)| !value.is_empty()));
    write(&labels);
}
