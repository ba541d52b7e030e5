//! What is done to the gateway, and what must be seen to have stopped it.

use sluice_bench::crowd::Manner;

/// One excess.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    /// For `--only` and the table.
    pub(super) name: &'static str,
    /// Settings beside the defaults: limits that a crowd reaches, times that a short run sees pass.
    pub(super) flags: &'static [&'static str],
    /// The gateway's limit of open files, if it is a small one.
    pub(super) open_files: Option<u32>,
    /// Who misbehaves, all of them at once.
    pub(super) crowds: &'static [Crowd],
    pub(super) neighbour: Neighbour,
    pub(super) world: World,
    /// What shows that the case came about. Each must be reached.
    pub(super) proofs: &'static [Proof],
}

/// Clients of the other tenant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowd {
    pub(super) manner: Manner,
    pub(super) connections: u32,
    /// The port that they come to.
    pub(super) to: To,
    /// A path that leads to the other tenant's backend; `/deaf` leads to one that never answers.
    pub(super) target: &'static str,
    /// Milliseconds between two requests or bytes of a connection; 0 asks once.
    pub(super) every_ms: u32,
    /// Whether each target is made 6,000 bytes long.
    pub(super) long: bool,
}

/// Ports of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// The listener that both tenants share.
    Listener,
    /// Where probes are answered.
    Health,
    /// Where scrapers get the metrics.
    Metrics,
}

/// Which of the neighbour's clients can be served at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Neighbour {
    /// Kept connections and a connection for each request; the crowd is there first.
    Any,
    /// This many kept connections, made before the crowd comes: what the crowd takes is the room for new ones.
    Inside(u32),
}

/// What is unusual around the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum World {
    Usual,
    /// Sockets with small buffers, so that transfers stall in the gateway and not in the kernel.
    SmallBuffers,
    /// The access log is a pipe that nobody reads.
    StalledLog,
}

/// A metric that has to move.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proof {
    /// For the table: a reason code, or what is counted.
    pub(super) label: &'static str,
    pub(super) metric: Metric,
    /// Least growth, or least height, that shows that the case came about.
    pub(super) least: f64,
}

/// Where a proof is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Metric {
    /// Growth of a counter.
    Counter(&'static str),
    /// Growth of the count of requests of the other tenant that ended for this reason.
    Reason(&'static str),
    /// Greatest height of a gauge.
    Peak(&'static str),
}

const HONEST: &str = "/download/100";
const LONG_ANSWER: &str = "/download/2000000";
const ENDLESS_ANSWER: &str = "/download/1000000000000?chunked=1";
const DEAF: &str = "/deaf";

const fn crowd(manner: Manner, connections: u32, target: &'static str, every_ms: u32) -> Crowd {
    Crowd { manner, connections, to: To::Listener, target, every_ms, long: false }
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
    crowds: &[],
    neighbour: Neighbour::Any,
    world: World::Usual,
    proofs: &[],
};

/// All of them, in the order of the table.
pub(super) const CASES: [Case; 14] = [
    Case {
        name: "connections",
        flags: &["--max-connections", "500"],
        crowds: &[crowd(Manner::Ask, 2000, HONEST, 0)],
        neighbour: Neighbour::Inside(16),
        proofs: &[counter("overload_connections", "sluice_overloaded_total", 1000.0)],
        ..PLAIN
    },
    Case {
        name: "descriptors",
        flags: &["--max-connections", "10000"],
        open_files: Some(400),
        crowds: &[crowd(Manner::Ask, 1000, HONEST, 0)],
        // One: a second request at the same time could want a backend connection, for which there is no descriptor.
        neighbour: Neighbour::Inside(1),
        proofs: &[counter("accepting paused", "sluice_accept_paused_total", 1.0)],
        ..PLAIN
    },
    Case {
        name: "idle",
        flags: &["--max-connections", "10000"],
        crowds: &[crowd(Manner::Ask, 15_000, HONEST, 30_000)],
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
        crowds: &[crowd(Manner::Stall, 2000, LONG_ANSWER, 0)],
        world: World::SmallBuffers,
        proofs: &[reason("client_send_timeout", 1000.0)],
        ..PLAIN
    },
    Case {
        name: "slow-writers",
        flags: &["--client-header-timeout", "2s", "--client-body-timeout", "2s"],
        crowds: &[
            crowd(Manner::DripHead, 1000, HONEST, 1000),
            crowd(Manner::DripBody, 1000, "/upload", 1000),
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
        crowds: &[crowd(Manner::Ask, 1000, DEAF, 100)],
        proofs: &[reason("upstream_response_timeout", 500.0)],
        ..PLAIN
    },
    Case {
        name: "pending",
        flags: &["--upstream-max-pending", "100"],
        crowds: &[crowd(Manner::Ask, 2000, DEAF, 100)],
        proofs: &[reason("overload_pending", 1000.0)],
        ..PLAIN
    },
    Case {
        name: "requests",
        flags: &["--upstream-max-requests", "50"],
        crowds: &[crowd(Manner::Stall, 500, LONG_ANSWER, 0)],
        world: World::SmallBuffers,
        proofs: &[reason("overload_requests", 100.0)],
        ..PLAIN
    },
    Case {
        name: "downloads",
        crowds: &[crowd(Manner::Read, 4, ENDLESS_ANSWER, 0), crowd(Manner::Stall, 500, ENDLESS_ANSWER, 0)],
        proofs: &[Proof {
            label: "under way",
            metric: Metric::Peak("http_server_active_requests"),
            least: 504.0,
        }],
        ..PLAIN
    },
    Case {
        name: "uploads",
        // The upload stops when the backend takes nothing, and the wait for its answer begins then.
        flags: &["--upstream-body-timeout", "1s", "--upstream-response-timeout", "2s"],
        crowds: &[crowd(Manner::Upload, 500, DEAF, 0)],
        world: World::SmallBuffers,
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
        crowds: &[crowd(Manner::Ask, 900, DEAF, 0)],
        proofs: &[reason("overload_share", 50.0)],
        ..PLAIN
    },
    Case {
        name: "buffers",
        // Each of the crowd's requests keeps its head in a buffer of 16 KiB.
        flags: &["--buffer-memory", "8MiB", "--upstream-max-pending", "10000"],
        crowds: &[crowd(Manner::Ask, 2000, DEAF, 0)],
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
        crowds: &[Crowd { long: true, ..crowd(Manner::Ask, 100, HONEST, 50) }],
        world: World::StalledLog,
        proofs: &[counter("lines dropped", "sluice_log_dropped_total", 100.0)],
        ..PLAIN
    },
    Case {
        name: "scrapers",
        open_files: Some(1024),
        crowds: &[
            // Idle, deaf and busy: each with more connections than there is room for.
            Crowd { to: To::Health, ..crowd(Manner::Ask, 1000, "/healthz/ready", 0) },
            Crowd { to: To::Metrics, ..crowd(Manner::Stall, 100, "/metrics", 0) },
            Crowd { to: To::Metrics, ..crowd(Manner::Read, 30, "/metrics", 0) },
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
];

/// The cases that `--only` names, in order; all if it names none.
///
/// # Errors
/// A name that no case has.
pub(super) fn chosen(only: &[String]) -> anyhow::Result<Vec<Case>> {
    let known = || CASES.map(|case| case.name).join(", ");
    if let Some(name) = only.iter().find(|name| CASES.iter().all(|case| case.name != name.as_str())) {
        anyhow::bail!("--only {name}: there is no such case; write some of {}", known());
    }
    let wanted = |case: &Case| only.is_empty() || only.iter().any(|name| name == case.name);
    Ok(CASES.into_iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_chosen_by_name() {
        let names = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|&name| name.to_owned()).collect();
            chosen(&only).map(|cases| cases.iter().map(|case| case.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap().len(), CASES.len());
        assert_eq!(names(&["idle", "connections"]).unwrap(), ["connections", "idle"]);
        let error = names(&["idle", "idel"]).unwrap_err().to_string();
        assert!(error.contains("--only idel") && error.contains("mute-backend"), "{error}");
    }

    #[test]
    fn every_case_has_a_crowd_and_a_proof_that_nothing_does_not_reach() {
        for case in CASES {
            assert!(!case.crowds.is_empty() && !case.proofs.is_empty(), "{}", case.name);
            assert!(case.proofs.iter().all(|proof| proof.least > 0.0), "{}", case.name);
        }
    }
}
