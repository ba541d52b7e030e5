//! `/metrics`: counters of workers, kernel programs, control plane and file thread, read when asked for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_channel::oneshot;
use gateway_admin::Pages;
use gateway_control::own_ports::OwnReason;
use gateway_control::publish::Workers as _;
use gateway_control::steer::SharedSteering;
use gateway_control::view::View;
use gateway_proxy::metrics::{CounterKind, WorkerMetrics};
use gateway_proxy::worker::WorkerCommand;
use gateway_steer::Counters;
use tokio::time::{Instant, timeout_at};

use super::exposition::Exposition;
use super::gone::GoneSeries;
use super::{Shared, members, series, servers, streams, watches};
use crate::cmd::version::VERSIONS;
use crate::handoff::FlowTotals;
use crate::workers::RetiredWorkers;

/// Limit for a worker's response to a scrape; one that is late is left out of this scrape.
const WORKER_TIMEOUT: Duration = Duration::from_secs(2);

/// The page and what it needs from one scrape to the next.
struct MetricsPage {
    shared: Shared,
    pages: Pages,
    gone: Mutex<GoneSeries>,
}

/// `/metrics`.
pub(super) fn router(shared: Shared) -> Router {
    let page = MetricsPage { shared, pages: Pages::default(), gone: Mutex::default() };
    Router::new().route("/metrics", get(metrics)).with_state(Arc::new(page))
}

async fn metrics(State(metrics): State<Arc<MetricsPage>>) -> Response {
    let page = metrics.pages.get(|| metrics.render()).await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page.body()).into_response()
}

impl MetricsPage {
    async fn render(&self) -> Vec<Bytes> {
        let shared = &self.shared;
        let workers = collect(shared).await;
        let retired = shared.workers.retired();
        let all =
            WorkerMetrics::sum(std::iter::once(&retired.metrics).chain(workers.iter().map(|(_, one)| one)));
        let view = Arc::clone(&shared.view.borrow());
        if let Some(live) = &view.live {
            // A panic elsewhere leaves it whole at any time.
            let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
            let keys = gone.find(&live.snapshot, all.series.keys());
            if !keys.is_empty() {
                shared.workers.forget_series(&keys);
            }
        }
        page(shared, &view, &workers, &retired, &all)
    }
}

/// Each worker's metrics, with its slot.
async fn collect(shared: &Shared) -> Vec<(usize, WorkerMetrics)> {
    let asked: Vec<_> = (0..shared.workers.count())
        .map(|slot| {
            let (reply, response) = oneshot::channel();
            shared.workers.send(slot, WorkerCommand::Metrics { reply });
            (slot, response)
        })
        .collect();
    let mut responses = Vec::with_capacity(asked.len());
    let end = Instant::now() + WORKER_TIMEOUT;
    for (slot, response) in asked {
        if let Ok(Ok(metrics)) = timeout_at(end, response).await {
            responses.push((slot, metrics));
        }
    }
    responses
}

fn page(
    shared: &Shared,
    view: &View,
    workers: &[(usize, WorkerMetrics)],
    retired: &RetiredWorkers,
    all: &WorkerMetrics,
) -> Vec<Bytes> {
    let mut page = Exposition::default();
    if let Some(of) = &shared.steering {
        series::page(&mut page, &all.series);
        counters(&mut page, all, workers);
        steering(&mut page, shared, of);
    }
    config(&mut page, view);
    streams::page(&mut page, shared, view);
    certificates(&mut page, view);
    if let Some(cluster) = &shared.cluster {
        watches::page(&mut page, &cluster.watches());
        members::page(&mut page, &shared.cluster_tally);
    }
    process(&mut page, shared, retired, workers.len());
    servers::page(&mut page, shared);
    page.finish()
}

fn counters(page: &mut Exposition, all: &WorkerMetrics, workers: &[(usize, WorkerMetrics)]) {
    for counter in all.counters.each() {
        match (counter.name, counter.kind) {
            ("active_requests", _) => page.gauge("http_server_active_requests", counter.help),
            (name, CounterKind::Total) => page.counter(&format!("sluice_{name}_total"), counter.help),
            (name, CounterKind::Gauge) => page.gauge(&format!("sluice_{name}"), counter.help),
        }
        .sample(&[], counter.value);
    }
    page.counter("sluice_tls_handshake_failures_total", "TLS handshakes that failed, by reason.");
    for (reason, count) in all.tls_failures.each() {
        page.sample(&[("reason", reason)], count);
    }
    let help = "Connections closed for want of a valid PROXY header, by reason.";
    page.counter("sluice_proxy_header_failures_total", help);
    for (reason, count) in all.proxy_header_failures.each() {
        page.sample(&[("reason", reason)], count);
    }
    let help =
        "Requests and connections that offered or wanted a protocol that is not supported, by protocol.";
    page.counter("sluice_unsupported_protocols_total", help);
    for (protocol, count) in all.unsupported.each() {
        page.sample(&[("protocol", protocol)], count);
    }
    page.counter("sluice_worker_accepted_total", "Client connections accepted, by worker.");
    for (slot, metrics) in workers {
        page.sample(&[("worker", &slot.to_string())], metrics.counters.accepted);
    }
    page.gauge("sluice_worker_connections", "Client connections open now, by worker.");
    for (slot, metrics) in workers {
        page.sample(&[("worker", &slot.to_string())], metrics.counters.connections);
    }
}

fn steering(page: &mut Exposition, shared: &Shared, steering: &SharedSteering) {
    let facts = &shared.facts;
    page.gauge("sluice_steering_info", "How connections reach workers, and why so.");
    page.sample(&[("path", &facts.steering_path), ("detail", &facts.steering_detail)], 1);
    page.gauge("sluice_ipv6_info", "Whether IPv6 clients can be served, and why not.");
    let reachable = if facts.without_ipv6.is_none() { "yes" } else { "no" };
    page.sample(&[("served", reachable), ("reason", facts.without_ipv6.as_deref().unwrap_or(""))], 1);
    page.gauge("sluice_io_info", "What drives the workers' I/O, and what was refused before.");
    page.sample(&[("driver", &facts.driver), ("refused", &facts.refused_drivers.join("; "))], 1);
    page.gauge("sluice_access_log_info", "How the access log is written.");
    let refused = facts.log_refused.as_deref().unwrap_or("");
    page.sample(&[("driver", shared.access_log.driver().name()), ("refused", refused)], 1);
    if let Some(placeholders) = steering.placeholders() {
        page.gauge(
            "sluice_steering_placeholders",
            "Steered ports that other programs cannot bind, and those they can.",
        );
        page.sample(&[("state", "held")], placeholders.held);
        page.sample(&[("state", "missing")], placeholders.missing.len());
    }
    if let Some(state) = shared.helper.as_ref().map(|helper| helper.state()) {
        page.gauge("sluice_helper_connected", "1 while there is a connection to the helper (--helper).");
        page.sample(&[], u8::from(state.connected));
        page.counter("sluice_helper_connections_total", "Connections to the helper that were made.");
        page.sample(&[], state.connections);
    }
    page.counter(
        "sluice_steering_verdicts_total",
        "What the kernel programs decided, by program and verdict.",
    );
    if let Some(counters) = steering.counters() {
        verdicts(page, &counters);
    }
}

fn verdicts(page: &mut Exposition, counters: &Counters) {
    for (verdict, count) in counters.iter() {
        // The name says the program first: lookup_steered.
        let (program, verdict) = verdict.name().split_once('_').unwrap_or(("", verdict.name()));
        page.sample(&[("program", &format!("sk_{program}")), ("verdict", verdict)], count);
    }
}

fn config(page: &mut Exposition, view: &View) {
    let generation = view.live.as_ref().map_or(0, |live| live.generation.0);
    let since = view.live.as_ref().map_or(0, |live| live.since.as_second());
    let tally = &view.tally;
    page.gauge(
        "sluice_refused_endpoints",
        "Endpoints not used because they are this node itself, by reason.",
    );
    for reason in OwnReason::ALL {
        let refused = view.own_endpoints.iter().filter(|one| one.reason == reason);
        page.sample(&[("reason", reason.name())], refused.map(|one| 1 + one.more).sum::<usize>());
    }
    page.gauge("sluice_config_generation", "Number of the live configuration; 0 before the first.");
    page.sample(&[], generation);
    page.gauge("sluice_config_live_since_seconds", "When it went live, in seconds since 1970.");
    page.sample(&[], since);
    let hosts = &view.hosts;
    page.gauge("sluice_shared_hosts", "Hosts on which a listener serves routes of several namespaces.");
    page.sample(&[], hosts.shared);
    page.gauge(
        "sluice_shadowed_rules",
        "Rules in the way of others, each once for each of its hosts, by kind.",
    );
    page.sample(&[("kind", "never_reached")], hosts.unreachable_rules);
    page.sample(&[("kind", "takes_from_older")], hosts.taking_rules);
    page.gauge("sluice_host_refusals", "Routes refused on a host that is another namespace's.");
    page.sample(&[], hosts.refused_routes);
    page.gauge("sluice_config_errors", "Errors in files at the last reading.").sample(&[], tally.errors);
    page.counter("sluice_reconciles_total", "Times the configuration was gone through, by outcome.");
    page.sample(&[("result", "ok")], tally.reconciled.saturating_sub(tally.failed));
    page.sample(&[("result", "failed")], tally.failed);
    page.sample(&[("result", "unreadable")], tally.unreadable);
    page.counter("sluice_reconcile_seconds_total", "Time spent on that.");
    page.sample(&[], tally.reconciled_us as f64 / series::MICROSECONDS);
    let regexes = view.live.as_ref().map(|live| live.snapshot.regexes()).unwrap_or_default();
    page.gauge("sluice_regex_expressions", "Different regular expressions that are live.")
        .sample(&[], regexes.expressions);
    page.gauge("sluice_regex_bytes", "Memory of their automata, which all workers share.")
        .sample(&[], regexes.bytes);
    page.gauge(
        "sluice_regex_refused",
        "Regular expressions of HTTPRoutes that cost too much or are none, and rules of which requests would have too \
         much scanned, by kind.",
    );
    page.sample(&[("kind", "expression")], view.refused_expressions);
    page.sample(&[("kind", "rule")], view.refused_rules);
    page.gauge("sluice_regex_waiting", "Namespaces whose edits wait for regular expressions to be built.")
        .sample(&[], view.building.len());
    page.counter("sluice_config_published_total", "Generations that went live.").sample(&[], tally.published);
    page.counter("sluice_endpoint_updates_total", "Changes of endpoints alone, which compile nothing.");
    page.sample(&[], tally.endpoint_updates);
}

/// One number for each Secret that is served, however many listeners share it.
fn certificates(page: &mut Exposition, view: &View) {
    page.gauge(
        "sluice_tls_certificate_not_after_seconds",
        "When a served certificate expires, in seconds since 1970.",
    );
    for certificate in view.live.iter().flat_map(|live| gateway_control::expiry::certificates(&live.ir)) {
        page.sample(&[("secret", &certificate.secret.to_string())], certificate.not_after);
    }
}

fn process(page: &mut Exposition, shared: &Shared, retired: &RetiredWorkers, responding: usize) {
    page.gauge("sluice_build_info", "Versions.");
    page.sample(
        &[
            ("version", VERSIONS.version),
            ("commit", VERSIONS.commit.unwrap_or("unknown")),
            ("gateway_api", VERSIONS.gateway_api),
        ],
        1,
    );
    page.gauge("sluice_ready", "1 if traffic is wanted, as /healthz/ready says.");
    page.sample(&[], u8::from(shared.readiness.check().is_ok()));
    if let Some(took_over) = &shared.facts.took_over {
        let pid = took_over.pid.to_string();
        page.gauge("sluice_takeover_info", "The process that this one took over from.");
        page.sample(&[("from_pid", &pid), ("from_version", &took_over.version)], 1);
        page.gauge("sluice_takeover_seconds", "From asking it to hand over to being the only one.");
        page.sample(&[], took_over.took.as_secs_f64());
        let FlowTotals { adopted, ended, kept } = took_over.flows;
        page.gauge(
            "sluice_takeover_flows",
            "Flows of datagrams that the process before had: that go on in this one, ended, or stayed there until they end.",
        );
        for (outcome, count) in [("adopted", adopted), ("ended", ended), ("kept", kept)] {
            page.sample(&[("outcome", outcome)], count as u64);
        }
    }
    page.counter(
        "sluice_takeover_failures_total",
        "Processes that asked to take over and did not, by reason.",
    );
    for (reason, count) in shared.takeover_failures.each() {
        page.sample(&[("reason", reason)], count);
    }
    page.counter(
        "sluice_seccomp_denied_total",
        "System calls that failed because they are not on the list of the thread, by thread and call.",
    );
    for denied in gateway_io::confine::denied() {
        page.sample(&[("thread", denied.role), ("call", &denied.name())], denied.times);
    }
    page.gauge("sluice_workers", "Worker threads that responded to this scrape.").sample(&[], responding);
    page.counter("sluice_worker_deaths_total", "Worker threads that a panic ended; each gets a successor.");
    page.sample(&[], retired.deaths);
    page.counter("sluice_worker_lost_connections_total", "Client connections that ended with their worker.");
    page.sample(&[], retired.lost_connections);
    page.counter("sluice_stderr_dropped_lines_total", "Log lines that standard error did not take in time.");
    page.sample(&[], shared.log_control.dropped());
    let log = shared.log_stats();
    page.counter("sluice_access_log_written_bytes_total", "Written to the access log.");
    page.sample(&[], log.written_bytes);
    page.counter("sluice_access_log_lost_bytes_total", "Given up because a write failed.");
    page.sample(&[], log.lost_bytes);
    page.counter("sluice_access_log_write_errors_total", "Writes that failed.").sample(&[], log.write_errors);
}

#[cfg(test)]
mod tests {
    use gateway_control::cluster::ClusterTally;
    use gateway_control::source::kube::{Subject, WatchId, WatchState};
    use gateway_control::stream::{LossCounts, NodeLine, StreamState};
    use gateway_proxy::metrics::{Series, SeriesKey};
    use gateway_testkit::golden;

    use super::*;
    use crate::admin::fixtures;

    /// Of every family its name, kind and help text; of every sample its labels. Values are left out, but for
    /// those that are one of a few words.
    fn shape(page: &[u8]) -> String {
        let (version, commit) = (VERSIONS.version, VERSIONS.commit.unwrap_or("unknown"));
        let of_build = format!("version=\"{version}\",commit=\"{commit}\"");
        let text = std::str::from_utf8(page).unwrap().replace(&of_build, "version=\"\",commit=\"\"");
        let shape = text.lines().map(|line| match line.starts_with('#') {
            true => line,
            false => line.rsplit_once(' ').unwrap().0,
        });
        shape.map(|line| format!("{line}\n")).collect()
    }

    fn series() -> (Vec<SeriesKey>, Series) {
        let key = |scheme, status, reason, place: [&str; 3]| {
            let [listener, route, pattern] = place.map(str::to_owned);
            SeriesKey { scheme, method: "GET", status, reason, listener, route, pattern }
        };
        let keys = vec![
            key("http", 200, None, ["edge/web/http", "team-b/r", "/a/*"]),
            key("https", 502, Some("upstream_reset"), ["edge/web/https", "team-b/r", "/\"b\""]),
            key("http", 0, Some("client_closed"), ["", "", ""]),
        ];
        let mut series = Series::default();
        let Series { duration, request_bytes, response_bytes, upstream } = &mut series;
        for histogram in [duration, request_bytes, response_bytes, upstream] {
            histogram.record(1);
        }
        (keys, series)
    }

    #[test]
    fn names_help_texts_and_labels_are_as_they_were() {
        let (_views, mut shared) = fixtures::shared();
        shared.facts = Arc::new(fixtures::facts());
        let workers = [(0, WorkerMetrics::new(1, 1)), (1, WorkerMetrics::new(1, 1))];
        let all = WorkerMetrics::new(1, 1);
        let mut whole = page(&shared, &fixtures::view(), &workers, &RetiredWorkers::default(), &all);
        let mut rest = Exposition::default();
        let (keys, one) = series();
        series::requests(&mut rest, &keys.iter().map(|key| (key, &one)).collect::<Vec<_>>(), &one);
        let connection = SeriesKey {
            scheme: SeriesKey::TCP,
            method: "",
            status: 0,
            reason: Some("backend_not_found"),
            listener: "edge/web/tcp".to_owned(),
            route: "team-b/t".to_owned(),
            pattern: String::new(),
        };
        series::whole(&mut rest, &series::TCP, &[(&connection, &one)]);
        let flow = SeriesKey { scheme: SeriesKey::UDP, listener: "edge/web/udp".to_owned(), ..connection };
        series::whole(&mut rest, &series::UDP, &[(&flow, &one)]);
        rest.counter("sluice_steering_verdicts_total", "As above.");
        verdicts(&mut rest, &Counters::default());
        let mut synced = WatchState::default();
        synced.synced = true;
        let id = |namespace: Option<&str>| WatchId {
            subject: Subject::Definitions,
            namespace: namespace.map(str::to_owned),
        };
        let watches = [(id(None), synced, 3), (id(Some("edge")), WatchState::default(), 0)];
        watches::page(&mut rest, &watches);
        members::page(&mut rest, &ClusterTally::default());
        streams::of_node(
            &mut rest,
            &StreamState { heard: Some(std::time::Instant::now()), ..StreamState::default() },
            &View::default(),
        );
        let node = NodeLine { node: "edge-1".to_owned(), ..NodeLine::default() };
        streams::of_controller(&mut rest, &[node], &View::default());
        streams::of_losses(&mut rest, LossCounts::default());
        whole.append(&mut rest.finish());
        let text: Vec<u8> = whole.concat();
        golden::check("metrics.txt", shape(&text).as_bytes());
    }
}
