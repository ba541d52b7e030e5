//! Counters of a worker: plain numbers that only its own thread touches, cloned out on request and summed at scrape.

mod failures;
mod histogram;
mod proxy_headers;
mod series;
mod status;
mod unsupported;

pub use failures::TlsFailures;
pub use histogram::{DURATION_BOUNDS_US, Histogram, SIZE_BOUNDS};
pub use proxy_headers::{ProxyHeaderFailure, ProxyHeaderFailures};
pub use series::{Series, SeriesKey, SeriesTable};
pub(crate) use series::{SeriesPlace, SeriesRef, method_label};
pub(crate) use status::bounded;
pub use status::status_label;
pub use unsupported::{UnsupportedProtocol, UnsupportedProtocols};

/// Declares counters with their help texts, so that an exporter needs no list of its own.
macro_rules! counters {
    ($($(#[doc = $help:literal])+ $name:ident: $kind:ident,)+) => {
        /// Numbers without labels.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[doc = $help])+ pub $name: u64,)+
        }

        impl Counters {
            /// Adds another worker's numbers.
            pub fn merge(&mut self, other: &Self) {
                $(self.$name = self.$name.wrapping_add(other.$name);)+
            }

            /// Sets gauges to zero: nothing is under way once the worker has ended.
            pub fn reset_gauges(&mut self) {
                $(if matches!(CounterKind::$kind, CounterKind::Gauge) {
                    self.$name = 0;
                })+
            }

            /// Every number with its name and help text.
            pub fn each(&self) -> impl Iterator<Item = Counter> {
                [$(Counter {
                    name: stringify!($name),
                    help: concat!($($help),+).trim_ascii(),
                    kind: CounterKind::$kind,
                    value: self.$name,
                },)+].into_iter()
            }
        }
    };
}

/// One number on its way to an exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Name in snake_case, without prefix or unit suffix.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// True if it only grows.
    pub kind: CounterKind,
    /// Current value.
    pub value: u64,
}

/// How a number moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterKind {
    /// It only grows.
    Total,
    /// It goes up and down.
    Gauge,
}

counters! {
    /// Client connections accepted.
    accepted: Total,
    /// Client connections open now.
    connections: Gauge,
    /// Client connections refused because the worker had its maximum.
    overloaded: Total,
    /// Client connections refused because their network had its maximum.
    client_refused: Total,
    /// Requests refused because connections were scarce and their namespace or listener had the most under way.
    share_refused: Total,
    /// Requests and TLS handshakes refused because buffers were scarce.
    memory_refused: Total,
    /// Bytes of buffers lent now.
    buffer_bytes: Gauge,
    /// Connections whose request is read on from after their response, so that the response reaches a client that still sends.
    lingering: Gauge,
    /// Connections whose client has finished sending and whose response has not begun.
    half_closed: Gauge,
    /// Requests refused because their backend had its maximum under way or waiting.
    upstream_overloaded: Total,
    /// Connections addressed to the steering sockets' own port, closed unanswered.
    internal_port_closed: Total,
    /// Times accepting paused because the process had no file descriptor left.
    accept_paused: Total,
    /// Connections ended by a panic.
    panics: Total,
    /// Requests being served now (`http.server.active_requests`).
    active_requests: Gauge,
    /// Requests ended, answered or not.
    requests: Total,
    /// Bytes of request bodies received.
    request_bytes: Total,
    /// Bytes of response bodies sent.
    response_bytes: Total,
    /// Upstream connections opened.
    upstream_connects: Total,
    /// Upstream connections that could not be opened.
    upstream_connect_failures: Total,
    /// Requests sent on a pooled upstream connection.
    upstream_reused: Total,
    /// Pooled upstream connections found closed or with unasked-for data before use.
    upstream_stale: Total,
    /// Pooled upstream connections closed because they were idle for too long or too many.
    upstream_evicted: Total,
    /// Requests sent again because a pooled connection had just been closed.
    upstream_retries: Total,
    /// Attempts that followed others because a rule has retries.
    retries: Total,
    /// Requests that got their response by a retry.
    retries_succeeded: Total,
    /// Requests that failed as well with all retries that their rule or their time allows.
    retries_failed: Total,
    /// Requests that failed and were not tried again because retries had their share of the backend's requests.
    retries_over_budget: Total,
    /// Requests that failed and were not tried again because their content was not kept.
    retries_not_kept: Total,
    /// Requests that failed and were not tried again because they may have been processed and must not be twice.
    retries_unsafe: Total,
    /// Copies of requests that a mirror has responded to.
    mirrored: Total,
    /// Copies of requests that a mirror has not responded to in time, or not whole.
    mirrors_failed: Total,
    /// Copies of requests not sent: the body was too long or did not come whole, or there was no endpoint or no room.
    mirrors_given_up: Total,
    /// Upstream connections idle in the pool now.
    upstream_idle: Gauge,
    /// Request header fields dropped because a name with `_` could be taken for another one.
    underscore_headers_dropped: Total,
    /// Times that others had a turn while expressions looked at much of one request.
    lookup_pauses: Total,
    /// Client connections over HTTP/2.
    h2_connections: Total,
    /// HTTP/2 connections ended because the client sent too many frames that cost more than they are worth.
    h2_floods: Total,
    /// HTTP/2 streams and connections ended because the client broke the protocol.
    h2_malformed: Total,
    /// Times that others had a turn because an HTTP/2 connection sent much at once.
    h2_turns: Total,
    /// Tunnels open now: upgraded connections and streams, such as those of WebSocket, and connections of TCP and TLS listeners.
    tunnels: Gauge,
    /// Bytes that clients sent through tunnels.
    tunnel_bytes_received: Total,
    /// Bytes that clients were sent through tunnels.
    tunnel_bytes_sent: Total,
    /// Bytes of tunnels, of either direction, that went from socket to socket without a copy.
    tunnel_bytes_spliced: Total,
    /// Tunnels ended because no byte came from either side for too long.
    tunnels_idle_closed: Total,
    /// Tunnels ended by a drain.
    tunnels_drain_cut: Total,
    /// Flows of UDP listeners open now.
    udp_flows: Gauge,
    /// Flows of UDP listeners that gave way to others because a limit was reached.
    udp_flows_evicted: Total,
    /// Datagrams that clients sent to UDP listeners.
    udp_datagrams_received: Total,
    /// Datagrams that clients of UDP listeners were sent.
    udp_datagrams_sent: Total,
    /// Datagrams of UDP listeners dropped, either way: for want of a route, a backend or room.
    udp_datagrams_dropped: Total,
    /// TLS handshakes completed.
    tls_handshakes: Total,
    /// TLS handshakes for which the client came with a good ticket, which spares both sides the costly half.
    tls_resumed: Total,
    /// TLS handshakes with backends completed.
    upstream_tls_handshakes: Total,
    /// TLS handshakes with backends that resumed a session, which spares both sides the costly half.
    upstream_tls_resumed: Total,
    /// TLS handshakes with backends that failed.
    upstream_tls_failures: Total,
    /// Access log lines lost because the log could not keep up.
    log_dropped: Total,
    /// Connections aborted at the end of a drain.
    drain_aborted: Total,
}

/// One worker's metrics, or several workers' merged.
#[derive(Clone, Debug, Default)]
pub struct WorkerMetrics {
    /// Numbers without labels.
    pub counters: Counters,
    /// TLS handshakes that failed, by reason.
    pub tls_failures: TlsFailures,
    /// Connections closed for want of a valid PROXY header, by reason.
    pub proxy_header_failures: ProxyHeaderFailures,
    /// Requests and connections for protocols that are not supported.
    pub unsupported: UnsupportedProtocols,
    /// Requests by method, status, listener and route.
    pub series: SeriesTable,
}

impl WorkerMetrics {
    /// Empty, with room for so many series, and so many of one namespace.
    pub fn new(max_series: usize, max_series_per_namespace: usize) -> Self {
        Self {
            counters: Counters::default(),
            tls_failures: TlsFailures::default(),
            proxy_header_failures: ProxyHeaderFailures::default(),
            unsupported: UnsupportedProtocols::default(),
            series: SeriesTable::new(max_series, max_series_per_namespace),
        }
    }

    /// The sum of several workers' metrics; no series is left out.
    pub fn sum<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = Self::new(usize::MAX, usize::MAX);
        all.into_iter().for_each(|metrics| sum.merge(metrics));
        sum
    }

    /// Adds another worker's metrics.
    pub fn merge(&mut self, other: &Self) {
        self.counters.merge(&other.counters);
        self.tls_failures.merge(&other.tls_failures);
        self.proxy_header_failures.merge(&other.proxy_header_failures);
        self.unsupported.merge(&other.unsupported);
        self.series.merge(&other.series);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_is_exported_with_a_sentence() {
        let counters = Counters { accepted: 3, ..Counters::default() };
        let all: Vec<_> = counters.each().collect();
        assert!(all.len() > 15);
        for counter in &all {
            assert!(counter.help.ends_with('.') && !counter.help.starts_with(' '), "{counter:?}");
        }
        assert_eq!(all.iter().find(|c| c.name == "accepted").map(|c| c.value), Some(3));
    }
}
