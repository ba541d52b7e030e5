//! Connections that are there and do nothing.

use std::time::Duration;

use gateway_testkit::process::Guarded;
use gateway_testkit::{netns, wait};

use crate::common::{Running, metric, metrics};
use crate::memory::{least_rss_kib, rss_kib};
use crate::{hold_crowd, neighbours_are_served, role};

#[test]
fn fifteen_thousand_idle_connections_of_one_process_hold_no_buffers() {
    const NAME: &str = "idle::fifteen_thousand_idle_connections_of_one_process_hold_no_buffers";
    const IDLE: u64 = 15_000;
    /// For the socket, its task and its places in the books; neither a request's state nor its buffer would
    /// fit.
    const MOST_BYTES: u64 = 3 * 1024;
    /// More after another wave of requests, and after the end of all: the allocator's.
    const MORE_BYTES: u64 = 512;
    if let Some(words) = role::played() {
        return hold_crowd(&words);
    }
    netns::run("idle", |inside| {
        // A single worker, as on one core, has room for a neighbour too.
        let flags = ["--max-connections", "15100", "--client-idle-timeout", "10m", "--access-log", "off"];
        let running = Running::start(inside, &flags);
        neighbours_are_served("nobody");
        let (pid, before) = (running.gateway.pid(), rss_kib(running.gateway.pid()));
        // So large that a buffer that is kept shows, page by page.
        let request =
            format!("GET /httpbin/status/204 HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(6_000));
        let again = inside.scratch().join("again");
        let words = [&IDLE.to_string(), request.as_str(), "yes", again.to_str().unwrap()];
        let mut crowd = Guarded::spawn(&mut role::copy(NAME, &words)).unwrap();
        crowd.wait_for_output("all there");
        assert!(metric("sluice_connections", &[]) >= IDLE as f64, "{}", metrics());
        let each = |rss: u64| rss.saturating_sub(before) * 1024 / IDLE;
        let settled = |what: &str, most: u64| {
            wait::until(what, || Some(rss_kib(pid)).filter(|rss| each(*rss) <= most));
            // Memory that is still on its way back to the system goes within seconds.
            least_rss_kib(pid, Duration::from_secs(3))
        };
        let mut there = settled("memory of the first requests to be given back", MOST_BYTES);
        eprintln!(
            "{IDLE} idle connections: VmRSS {before} KiB before, {there} KiB now: {} bytes each",
            each(there)
        );
        neighbours_are_served("15,000 idle connections");
        // More requests on each leave nothing behind.
        for wave in 2..4 {
            std::fs::write(&again, "").unwrap();
            crowd.wait_for_output(&format!("wave {wave}"));
            let most = MOST_BYTES.min(each(there) + MORE_BYTES);
            there = settled(&format!("memory of wave {wave} to be given back"), most);
            eprintln!("after wave {wave}: {there} KiB, {} bytes each", each(there));
        }
        drop(crowd);
        wait::until("the end of them all", || (metric("sluice_connections", &[]) < 10.0).then_some(()));
        let left = settled("the memory of all to be given back", MORE_BYTES);
        eprintln!("after the end of them all: {left} KiB");
    });
}
