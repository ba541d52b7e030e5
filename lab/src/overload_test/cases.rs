//! The cases, in the order of the table.

use sluice_bench::abusers::Behavior;

use super::case::{Abusers, Case, Environment, Metric, Neighbour, Proof, To};
use super::expressions;

const SHORT_RESPONSE: &str = "/download/100";
const LONG_RESPONSE: &str = "/download/2000000";
const ENDLESS_RESPONSE: &str = "/download/1000000000000?chunked=1";
const UNRESPONSIVE: &str = "/deaf";

const fn abusers(behavior: Behavior, connections: u32, target: &'static str, every_ms: u32) -> Abusers {
    Abusers { behavior, connections, to: To::Listener, target, every_ms, long: false }
}

const fn reason(code: &'static str, least: f64) -> Proof {
    Proof { label: code, metric: Metric::Reason(code), least }
}

const fn counter(label: &'static str, name: &'static str, least: f64) -> Proof {
    Proof { label, metric: Metric::Counter(name), least }
}

/// Two workers, the defaults and a neighbour of any kind.
const PLAIN: Case = Case {
    name: "",
    flags: &[],
    open_files: None,
    abuser_groups: &[],
    neighbour: Neighbour::Any,
    environment: Environment::Usual,
    below: None,
    proofs: &[],
};

/// All of them.
pub(super) const CASES: [Case; 17] = [
    Case {
        name: "connections",
        flags: &["--max-connections", "500"],
        abuser_groups: &[abusers(Behavior::Ask, 2000, SHORT_RESPONSE, 0)],
        neighbour: Neighbour::Inside(16),
        proofs: &[counter("overload_connections", "sluice_overloaded_total", 1000.0)],
        ..PLAIN
    },
    Case {
        name: "descriptors",
        flags: &["--max-connections", "10000"],
        open_files: Some(400),
        abuser_groups: &[abusers(Behavior::Ask, 1000, SHORT_RESPONSE, 0)],
        // One: a second request at the same time could want a backend connection, for which there
        // is no descriptor.
        neighbour: Neighbour::Inside(1),
        proofs: &[counter("accepting paused", "sluice_accept_paused_total", 1.0)],
        ..PLAIN
    },
    Case {
        name: "idle",
        flags: &["--max-connections", "10000"],
        abuser_groups: &[abusers(Behavior::Ask, 15_000, SHORT_RESPONSE, 30_000)],
        proofs: &[Proof {
            label: "connections held",
            metric: Metric::Peak("sluice_connections"),
            least: 15_000.0,
        }],
        ..PLAIN
    },
    Case {
        name: "slow-readers",
        flags: &["--client-send-timeout", "2s"],
        abuser_groups: &[abusers(Behavior::Stall, 2000, LONG_RESPONSE, 0)],
        environment: Environment::SmallBuffers,
        proofs: &[reason("client_send_timeout", 1000.0)],
        ..PLAIN
    },
    Case {
        name: "slow-writers",
        flags: &["--client-header-timeout", "2s", "--client-body-timeout", "2s"],
        abuser_groups: &[
            abusers(Behavior::DripHead, 1000, SHORT_RESPONSE, 1000),
            abusers(Behavior::DripBody, 1000, "/upload", 1000),
        ],
        proofs: &[
            Proof {
                label: "request_header_timeout",
                // A head that never came whole has no route.
                metric: Metric::Counter(
                    "http_server_request_duration_seconds_count error_type=\"request_header_timeout\"",
                ),
                least: 500.0,
            },
            reason("request_body_too_slow", 500.0),
        ],
        ..PLAIN
    },
    Case {
        name: "mute-backend",
        flags: &["--upstream-response-timeout", "2s"],
        abuser_groups: &[abusers(Behavior::Ask, 1000, UNRESPONSIVE, 100)],
        proofs: &[reason("upstream_response_timeout", 500.0)],
        ..PLAIN
    },
    Case {
        name: "pending",
        flags: &["--upstream-max-pending", "100"],
        abuser_groups: &[abusers(Behavior::Ask, 2000, UNRESPONSIVE, 100)],
        proofs: &[reason("overload_pending", 1000.0)],
        ..PLAIN
    },
    Case {
        name: "requests",
        flags: &["--upstream-max-requests", "50"],
        abuser_groups: &[abusers(Behavior::Stall, 500, LONG_RESPONSE, 0)],
        environment: Environment::SmallBuffers,
        proofs: &[reason("overload_requests", 100.0)],
        ..PLAIN
    },
    Case {
        name: "downloads",
        abuser_groups: &[
            abusers(Behavior::Read, 4, ENDLESS_RESPONSE, 0),
            abusers(Behavior::Stall, 500, ENDLESS_RESPONSE, 0),
        ],
        proofs: &[Proof {
            label: "under way",
            metric: Metric::Peak("http_server_active_requests"),
            least: 504.0,
        }],
        ..PLAIN
    },
    Case {
        name: "uploads",
        // The upload stops when the backend takes nothing, and the wait for its response begins then.
        flags: &["--upstream-body-timeout", "1s", "--upstream-response-timeout", "2s"],
        abuser_groups: &[abusers(Behavior::Upload, 500, UNRESPONSIVE, 0)],
        environment: Environment::SmallBuffers,
        proofs: &[reason("upstream_response_timeout", 100.0)],
        ..PLAIN
    },
    Case {
        name: "shares",
        // The bounds of one backend are out of the way: a tenant may have many.
        flags: &[
            "--max-connections",
            "500",
            "--upstream-max-requests",
            "1000",
            "--upstream-max-pending",
            "1000",
        ],
        abuser_groups: &[abusers(Behavior::Ask, 900, UNRESPONSIVE, 0)],
        proofs: &[reason("overload_share", 50.0)],
        ..PLAIN
    },
    Case {
        name: "buffers",
        // Each of the abusers' requests keeps its head in a buffer of 16 KiB.
        flags: &["--buffer-memory", "8MiB", "--upstream-max-pending", "10000"],
        abuser_groups: &[abusers(Behavior::Ask, 2000, UNRESPONSIVE, 0)],
        proofs: &[
            reason("overload_memory", 200.0),
            Proof {
                label: "buffers lent",
                metric: Metric::Peak("sluice_buffer_bytes"),
                least: 8.0 * 1024.0 * 1024.0,
            },
        ],
        ..PLAIN
    },
    Case {
        name: "stalled-log",
        abuser_groups: &[Abusers { long: true, ..abusers(Behavior::Ask, 100, SHORT_RESPONSE, 50) }],
        environment: Environment::StalledLog,
        proofs: &[counter("lines dropped", "sluice_log_dropped_total", 100.0)],
        ..PLAIN
    },
    Case {
        name: "scrapers",
        open_files: Some(1024),
        abuser_groups: &[
            // Idle, deaf and busy: each with more connections than there is room for.
            Abusers { to: To::Health, ..abusers(Behavior::Ask, 1000, "/healthz/ready", 0) },
            Abusers { to: To::Metrics, ..abusers(Behavior::Stall, 100, "/metrics", 0) },
            Abusers { to: To::Metrics, ..abusers(Behavior::Read, 30, "/metrics", 0) },
        ],
        proofs: &[
            counter(
                "probes evicted",
                "sluice_server_closed_total server=\"health\",reason=\"evicted\"",
                500.0,
            ),
            counter(
                "scrapers evicted",
                "sluice_server_closed_total server=\"metrics\",reason=\"evicted\"",
                10.0,
            ),
        ],
        ..PLAIN
    },
    Case {
        name: "handshakes",
        // Each comes back a second after its handshake: nearly a thousand a second.
        abuser_groups: &[Abusers { to: To::Secure, ..abusers(Behavior::Handshake, 1000, "/", 0) }],
        environment: Environment::Secure,
        below: Some(|bars| bars.handshakes_p99),
        proofs: &[counter("handshakes", "sluice_tls_handshakes_total", 5000.0)],
        ..PLAIN
    },
    Case {
        name: "backend-handshakes",
        // Each asks once a second: a thousand connections and full handshakes.
        abuser_groups: &[abusers(Behavior::Ask, 1000, SHORT_RESPONSE, 1000)],
        environment: Environment::SecureBackend,
        below: Some(|bars| bars.backend_handshakes_p99),
        proofs: &[counter("handshakes", "sluice_upstream_tls_handshakes_total", 5000.0)],
        ..PLAIN
    },
    Case {
        name: "regex",
        // How often each asks is found out: half of what two CPUs can do.
        abuser_groups: &[abusers(Behavior::Ask, 64, SHORT_RESPONSE, 1000)],
        environment: Environment::Expressions,
        below: Some(|bars| bars.regex_p99),
        proofs: &[
            Proof {
                label: "expressions tried",
                metric: Metric::Peak("sluice_regex_expressions"),
                least: expressions::LIVE as f64,
            },
            Proof {
                label: "refused",
                metric: Metric::Peak("sluice_regex_refused kind=\"expression\""),
                least: expressions::REFUSED as f64,
            },
            counter("pauses", "sluice_lookup_pauses_total", 1000.0),
        ],
        ..PLAIN
    },
];
