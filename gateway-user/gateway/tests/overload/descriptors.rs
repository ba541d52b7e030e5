//! A process without a file descriptor left.

use std::process::Command;
use std::time::{Duration, Instant};

use gateway_testkit::http::Client;
use gateway_testkit::wait;

use crate::common::{METRICS, get, metric_of, with_gateway_flags};
use crate::{client, neighbours_are_served};

/// Descriptors that the gateway has left when the crowd comes.
const LEFT: usize = 60;
/// The crowd.
const CROWD: usize = 400;

/// The gateway's numbers, on a connection that is there already: it has no descriptor for another one.
struct Numbers(Client);

impl Numbers {
    fn counter(&mut self, name: &str) -> f64 {
        let page = self.0.get("localhost", "/metrics").unwrap().text();
        metric_of(&page, name, &[])
    }
}

fn set_limit_of_open_files(pid: u32, limit: usize) {
    let limit = format!("--nofile={limit}:");
    let done = Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).status().unwrap();
    assert!(done.success());
}

/// How often the worker's thread went to sleep, and the ticks (10 ms) of CPU it has used.
fn effort(pid: u32) -> (u64, u64) {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let read = |task: &std::path::Path, file: &str| std::fs::read_to_string(task.join(file)).unwrap();
    let worker =
        tasks.map(|task| task.unwrap().path()).find(|task| read(task, "comm").trim() == "sluice-worker-0");
    let worker = worker.unwrap();
    let status = read(&worker, "status");
    let switches = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    // Behind the name in brackets: fields 3 and up of proc(5), of which 14 and 15 are the times.
    let stat = read(&worker, "stat");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |field: usize| fields[field - 3].parse::<u64>().unwrap();
    (switches.trim().parse().unwrap(), ticks(14) + ticks(15))
}

#[test]
fn without_descriptors_accepting_pauses_and_who_is_inside_is_served() {
    /// In a tenth of a second: the pause's end, two sweeps, a flush of the log. A slow machine has more of
    /// them, and less in each.
    const MOST_SWITCHES: u32 = 20;
    // The limits of another user's process may be changed with CAP_SYS_RESOURCE only.
    let flags = &["--workers", "1", "--access-log", "off", "--user", "keep"];
    with_gateway_flags("descriptors", flags, |_, running| {
        let pid = running.gateway.pid();
        let mut numbers = Numbers(Client::connect(METRICS.parse().unwrap()).unwrap());
        let (mut kept, mut second) = (client(), client());
        assert_eq!(kept.get("a", "/httpbin/get").unwrap().status, 200);
        assert_eq!(second.get("a", "/httpbin/get").unwrap().status, 200);
        wait::until("one backend connection for both", || {
            (numbers.counter("sluice_upstream_idle") == 1.0).then_some(())
        });
        let used = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        set_limit_of_open_files(pid, used + LEFT);
        let crowd: Vec<Client> = (0..CROWD).map(|_| client()).collect();
        wait::until("a pause", || (numbers.counter("sluice_accept_paused_total") > 0.0).then_some(()));
        let (before, paused) = (effort(pid), numbers.counter("sluice_accept_paused_total"));
        let (began, mut served) = (Instant::now(), 0);
        let pauses = wait::until("many pauses", || {
            assert_eq!(kept.get("a", "/httpbin/get").unwrap().status, 200, "who is inside");
            served += 1;
            let pauses = numbers.counter("sluice_accept_paused_total") - paused;
            (pauses >= 20.0 && began.elapsed() > Duration::from_secs(2)).then_some(pauses)
        });
        let after = effort(pid);
        let tenths = u32::try_from(began.elapsed().as_millis() / 100).unwrap() + 1;
        let (switches, ticks) = (after.0 - before.0, after.1 - before.1);
        eprintln!("{pauses} pauses, {served} requests meanwhile: {switches} switches, {ticks} ticks of CPU");
        // Never more often than the pause is long, however busy the machine; spinning does so thousands of
        // times.
        assert!(pauses <= f64::from(tenths), "{pauses} pauses in {tenths} tenths of a second");
        // A request costs at most as many switches as there are waits in it.
        assert!(switches <= u64::from(tenths * MOST_SWITCHES + served * 10), "{switches} switches");
        // A tick is 10 ms: less than a third of a CPU, and what requests take.
        assert!(ticks <= u64::from(tenths * 3 + served), "{ticks} ticks");
        // The only backend connection is taken, and there is no descriptor for another: said, not hung.
        kept.send("GET /httpbin/delay/2 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        wait::until("it to be taken", || {
            (numbers.counter("http_server_active_requests") >= 1.0).then_some(())
        });
        let response = second.get("a", "/httpbin/get").unwrap();
        assert_eq!((response.status, response.reason()), (503, Some("overload_descriptors")));
        assert_eq!(kept.response().unwrap().status, 200);
        // Room again: all that waited are served, and accepting goes on for good.
        drop(crowd);
        wait::until("the crowd's end", || get("/httpbin/get").ok().filter(|response| response.status == 200));
        wait::until("the crowd's end", || (numbers.counter("sluice_connections") < 10.0).then_some(()));
        let paused = numbers.counter("sluice_accept_paused_total");
        neighbours_are_served("nobody, after a crowd");
        assert_eq!(numbers.counter("sluice_accept_paused_total"), paused);
    });
}

#[test]
fn without_descriptors_idle_backend_connections_are_given_back_and_new_clients_served() {
    const IDLE: usize = 10;
    // The limits of another user's process may be changed with CAP_SYS_RESOURCE only.
    let flags = &["--workers", "1", "--access-log", "off", "--user", "keep"];
    with_gateway_flags("giveback", flags, |_, running| {
        let pid = running.gateway.pid();
        let mut numbers = Numbers(Client::connect(METRICS.parse().unwrap()).unwrap());
        let mut inside: Vec<Client> = (0..IDLE).map(|_| client()).collect();
        // All at once, so that each has a backend connection of its own.
        for client in &mut inside {
            client.send("GET /httpbin/delay/1 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        }
        for client in &mut inside {
            assert_eq!(client.response().unwrap().status, 200);
        }
        wait::until("idle backend connections", || {
            (numbers.counter("sluice_upstream_idle") >= IDLE as f64).then_some(())
        });
        let evicted = numbers.counter("sluice_upstream_evicted_total");
        // A limit bounds numbers: first those are taken that are free below the highest.
        let mut silent: Vec<Client> = Vec::new();
        let limit = wait::until("every number to be in use", || {
            let names = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
            let numbers =
                names.map(|name| name.unwrap().file_name().to_string_lossy().parse::<usize>().unwrap());
            let numbers: Vec<usize> = numbers.collect();
            let limit = numbers.iter().max().unwrap() + 1;
            silent.extend((numbers.len()..limit).map(|_| client()));
            (numbers.len() == limit).then_some(limit)
        });
        set_limit_of_open_files(pid, limit);
        let mut fresh: Vec<Client> = (0..5).map(|_| client()).collect();
        for client in &mut fresh {
            assert_eq!(client.get("a", "/httpbin/get").unwrap().status, 200, "a new client");
        }
        let given = numbers.counter("sluice_upstream_evicted_total") - evicted;
        assert!((5.0..IDLE as f64).contains(&given), "{given} of {IDLE} were given back");
        // One stays for those that are inside.
        for client in inside.iter_mut().chain(&mut fresh) {
            assert_eq!(client.get("a", "/httpbin/get").unwrap().status, 200);
        }
    });
}
