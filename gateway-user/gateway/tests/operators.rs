//! Probes, scrapers and operators beside crowds and threads that stand still: nobody waits for anybody else.

mod common;
#[path = "common/memory.rs"]
mod memory;

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use common::steady::SteadyClients;
use common::{HTTP, METRICS, Running, admin_client, get, metric_of, metrics, with_gateway_flags};
use gateway_testkit::http::{self, Client};
use gateway_testkit::wait;
use nix::sys::ptrace;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

const HEALTH: &str = "127.0.0.1:15021";
const FLAGS: &[&str] = &["--workers", "2", "--access-log", "off", "--drain-min", "0s"];
/// The limits of another user's process may be changed with CAP_SYS_RESOURCE only.
const AS_ROOT: &[&str] = &["--workers", "1", "--access-log", "off", "--user", "keep"];

fn probe(path: &str) -> http::Response {
    http::get(HEALTH.parse().unwrap(), "localhost", path).unwrap()
}

/// A page, on a new connection; a server that is full may refuse one of a crowd's own address for a moment.
fn page() -> String {
    wait::until("a page of metrics", || {
        let response = http::get(METRICS.parse().unwrap(), "localhost", "/metrics").ok()?;
        (response.status == 200).then(|| response.text())
    })
}

/// Connections that say nothing.
fn idle(to: &str, count: usize) -> Vec<TcpStream> {
    let to: SocketAddr = to.parse().unwrap();
    (0..count).map(|_| TcpStream::connect(to).unwrap()).collect()
}

/// As many descriptors as this process may have: the crowds of these tests are in it.
fn raise_own_limit() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
}

fn set_limit_of_open_files(pid: u32, limit: usize) {
    let limit = format!("--nofile={limit}:");
    let done = Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).status().unwrap();
    assert!(done.success());
}

fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// A thread that stands still until this is dropped: a debugger stops one and leaves the others alone
/// (ptrace(2)).
struct StoppedThread(Pid);

impl StoppedThread {
    fn thread(pid: u32, name: &str) -> Self {
        let thread = wait::until(name, || {
            let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
            tasks.flatten().find_map(|task| {
                let comm = std::fs::read_to_string(task.path().join("comm")).ok()?;
                let id = task.file_name().to_str()?.parse().ok()?;
                (comm.trim_end() == name).then(|| Pid::from_raw(id))
            })
        });
        ptrace::attach(thread).unwrap();
        waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
        Self(thread)
    }
}

impl Drop for StoppedThread {
    fn drop(&mut self) {
        let _ = ptrace::detach(self.0, None);
    }
}

#[test]
fn a_thousand_idle_scrapers_take_no_descriptor_from_clients() {
    raise_own_limit();
    with_gateway_flags("idle-scrapers", AS_ROOT, |_, running| {
        let pid = running.gateway.pid();
        let before = open_files(pid);
        set_limit_of_open_files(pid, 1024);
        let crowd = idle(METRICS, 1000);
        let probes = idle(HEALTH, 1000);
        // Both servers have looked at every client by the time that they serve these, which came last.
        assert_eq!(probe("/healthz/ready").status, 200);
        let page = page();
        for _ in 0..4 {
            assert_eq!(get("/httpbin/get").unwrap().status, 200, "a new client");
        }
        let open = |server: &str| metric_of(&page, "sluice_server_connections", &[server]);
        assert!(open("\"metrics\"") <= 32.0 && open("\"health\"") <= 64.0, "{page}");
        let closed =
            |reason: &str| metric_of(&page, "sluice_server_closed_total", &["server=\"metrics\"", reason]);
        let evicted = closed("reason=\"evicted\"");
        // On a busy machine the first ones have been silent for too long before the last ones come.
        assert!(evicted > 0.0 && evicted + closed("reason=\"timeout\"") >= 968.0, "{page}");
        assert!(open_files(pid) <= before + 32 + 64 + 16, "{} and {before} before", open_files(pid));
        drop((crowd, probes));
    });
}

/// Some hundred series: a page of megabytes.
fn make_series() {
    let mut client = Client::connect(HTTP.parse().unwrap()).unwrap();
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        for status in (200..=208).chain(400..=417).chain(500..=508) {
            let length = if method == "GET" { "" } else { "Content-Length: 0\r\n" };
            let request = format!("{method} /httpbin/status/{status} HTTP/1.1\r\nHost: a\r\n{length}\r\n");
            if client.send(&request).and_then(|()| client.response_to(method)).is_err() {
                client = Client::connect(HTTP.parse().unwrap()).unwrap();
            }
        }
    }
}

#[test]
fn scrapers_that_do_not_read_hold_few_pages_and_delay_no_probe() {
    with_gateway_flags("stuck-scrapers", FLAGS, |_, running| {
        make_series();
        let length = page().len();
        assert!(length > 1_000_000, "{length}");
        let before = memory::rss_kib(running.gateway.pid());
        let crowd: Vec<Client> = (0..100)
            .map(|_| {
                let mut client = Client::connect(METRICS.parse().unwrap()).unwrap();
                let _ = client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
                client
            })
            .collect();
        // Their pages are stuck in the middle, and probes are served, before and after another page was
        // rendered.
        assert_eq!(probe("/healthz/ready").status, 200);
        let page = page();
        assert_eq!(probe("/healthz/ready").status, 200);
        assert!(metric_of(&page, "sluice_server_connections", &["\"metrics\""]) <= 32.0);
        let grown = memory::rss_kib(running.gateway.pid()).saturating_sub(before) * 1024;
        // Three pages, what the three were made of, and each connection's buffer; a copy each would be a
        // hundred.
        assert!(grown < 12 * length as u64 + (32 << 20), "{grown} bytes for pages of {length}");
        drop(crowd);
    });
}

#[test]
fn probes_wait_for_no_thread_that_stands_still() {
    with_gateway_flags("probes", FLAGS, |_, running| {
        let pid = running.gateway.pid();
        let _control = StoppedThread::thread(pid, "sluice");
        let _metrics = StoppedThread::thread(pid, "sluice-metrics");
        let _worker = StoppedThread::thread(pid, "sluice-worker-1");
        for path in ["/healthz/live", "/healthz/ready"] {
            assert_eq!(probe(path).status, 200, "{path}");
        }
        // A scraper that waits in vain is no reason for another server to wait.
        let mut scraper = Client::connect(METRICS.parse().unwrap()).unwrap();
        scraper.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(probe("/healthz/ready").status, 200);
        let mut admin = admin_client();
        assert_eq!(admin.get("localhost", "/logging").unwrap().status, 200);
    });
}

#[test]
fn without_a_worker_that_turns_it_is_not_ready_and_still_alive() {
    with_gateway_flags("still-workers", FLAGS, |_, running| {
        let pid = running.gateway.pid();
        let first = StoppedThread::thread(pid, "sluice-worker-0");
        let second = StoppedThread::thread(pid, "sluice-worker-1");
        let response = wait::until("unreadiness", || {
            let response = probe("/healthz/ready");
            (response.status == 503).then_some(response)
        });
        assert_eq!(response.text(), "no worker's loop has turned for 5 s\n");
        assert_eq!(probe("/healthz/live").status, 200, "slow is not dead");
        drop(first);
        wait::until("readiness by one worker", || (probe("/healthz/ready").status == 200).then_some(()));
        drop(second);
    });
}

#[test]
fn without_a_descriptor_left_probes_and_scrapes_are_answered() {
    raise_own_limit();
    with_gateway_flags("no-descriptor", AS_ROOT, |_, running| {
        let pid = running.gateway.pid();
        set_limit_of_open_files(pid, open_files(pid) + 60);
        let crowd = idle(HTTP, 400);
        wait::until("a pause", || {
            (metric_of(&page(), "sluice_accept_paused_total", &[]) > 0.0).then_some(())
        });
        for _ in 0..20 {
            // New connections each, while the crowd waits for every descriptor that comes free.
            assert_eq!(probe("/healthz/ready").status, 200);
            assert!(page().contains("sluice_build_info"));
        }
        assert_eq!(admin_client().get("localhost", "/status").unwrap().status, 200);
        drop(crowd);
    });
}

#[test]
fn series_of_a_route_that_is_gone_are_forgotten_and_sums_stay() {
    with_gateway_flags("gone-series", FLAGS, |_, running| {
        let requests = |page: &str| metric_of(page, "http_server_request_duration_seconds_count", &[]);
        for _ in 0..10 {
            assert_eq!(get("/httpbin/get").unwrap().status, 200);
        }
        let before = metrics();
        let route = "sluice_route=\"team1/httpbin\"";
        assert!(before.contains(route), "{before}");
        std::fs::remove_file(running.config.join("team1-route.yaml")).unwrap();
        let mut most = requests(&before);
        let after = wait::until("the series to be forgotten", || {
            let page = metrics();
            assert!(requests(&page) >= most, "{} after {most}", requests(&page));
            most = requests(&page);
            (!page.contains(route)).then_some(page)
        });
        let other = ["sluice_series=\"other\""];
        assert!(metric_of(&after, "http_server_request_duration_seconds_count", &other) >= 10.0, "{after}");
    });
}

#[test]
fn a_backend_that_answers_any_status_makes_few_series() {
    with_gateway_flags("any-status", FLAGS, |_, _| {
        let mut client = Client::connect(HTTP.parse().unwrap()).unwrap();
        for status in 200..600 {
            let response = client.get("a", &format!("/httpbin/status/{status}"));
            if response.is_err() {
                client = Client::connect(HTTP.parse().unwrap()).unwrap();
            }
        }
        let page = metrics();
        let label = |line: &str| {
            let (_, rest) = line.split_once("http_response_status_code=\"")?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        let labels: BTreeSet<String> = page.lines().filter_map(label).collect();
        assert!(labels.contains("404") && labels.contains("5xx") && !labels.contains("599"), "{labels:?}");
        assert!(labels.len() < 70, "{labels:?}");
    });
}

#[test]
fn the_admin_socket_leads_to_a_process_that_answers_all_through_a_take_over() {
    with_gateway_flags("admin-takeover", FLAGS, |inside, running| {
        let steady = SteadyClients::start(HTTP);
        let pid_of = |response: &http::Response| {
            let document: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
            document["process"]["pid"].as_u64().unwrap()
        };
        let ask = || {
            let response = admin_client().get("localhost", "/status").unwrap();
            assert_eq!(response.status, 200);
            pid_of(&response)
        };
        for _ in 0..2 {
            let old = u64::from(running.gateway.pid());
            assert_eq!(ask(), old);
            let mut new = common::spawn_gateway(inside, running.config.path(), FLAGS);
            let successor = u64::from(new.pid());
            let mut asked = 0;
            wait::until("a response of the new process", || {
                let pid = ask();
                asked += 1;
                assert!(pid == old || pid == successor, "{pid}");
                (pid == successor).then_some(())
            });
            new.wait_for_output("took over from sluice");
            std::mem::swap(&mut running.gateway, &mut new);
            assert!(new.wait().success(), "{}", new.output());
            assert_eq!(ask(), successor, "the one that ended has not removed it; asked {asked} times");
        }
        std::thread::sleep(Duration::from_millis(10));
        steady.must_be_clean();
    });
}

#[test]
fn metrics_follow_from_every_address_to_loopback_and_on() {
    const BEFORE: &[&str] = &["--metrics-address", "0.0.0.0:19001", "--drain-min", "0s"];
    with_gateway_flags("metrics-narrowed", BEFORE, |inside, running: &mut Running| {
        Command::new("ip").args(["address", "add", "192.0.2.7/32", "dev", "lo"]).status().unwrap();
        let elsewhere: SocketAddr = "192.0.2.7:19001".parse().unwrap();
        assert_eq!(http::get(elsewhere, "a", "/metrics").unwrap().status, 200);
        // The old process holds every address of the port; the new one serves one of them, and so does the
        // next.
        for _ in 0..2 {
            let mut new = common::spawn_gateway(inside, running.config.path(), FLAGS);
            new.wait_for_output("took over from sluice");
            std::mem::swap(&mut running.gateway, &mut new);
            assert!(new.wait().success(), "{}", new.output());
            assert!(metrics().contains("sluice_build_info"));
            let refused = http::get(elsewhere, "a", "/metrics");
            assert!(refused.is_err(), "{refused:?}");
        }
        // And back.
        let mut new = common::spawn_gateway(inside, running.config.path(), BEFORE);
        new.wait_for_output("took over from sluice");
        std::mem::swap(&mut running.gateway, &mut new);
        assert_eq!(http::get(elsewhere, "a", "/metrics").unwrap().status, 200);
    });
}
