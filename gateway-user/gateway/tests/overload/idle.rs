//! Connections that are there and do nothing.

use std::time::Duration;

use gateway_testkit::process::Guarded;
use gateway_testkit::{netns, wait};

use crate::common::{Running, metric, metrics};
use crate::memory::{peak_rss_kib, rss_kib};
use crate::{hold_crowd, neighbours_are_served, role};

#[test]
fn fifteen_thousand_idle_connections_of_one_process_hold_no_buffers() {
    const NAME: &str = "idle::fifteen_thousand_idle_connections_of_one_process_hold_no_buffers";
    const IDLE: u64 = 15_000;
    /// For the task, its operations and its places in the books; with the request's buffer it would not fit.
    const MOST_BYTES: u64 = 16 * 1024;
    if let Some(words) = role::played() {
        return hold_crowd(&words);
    }
    netns::run("idle", |inside| {
        let flags = ["--max-connections", "15000", "--client-idle-timeout", "10m", "--access-log", "off"];
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
        let there = peak_rss_kib(pid, Duration::from_secs(2));
        eprintln!(
            "{IDLE} idle connections: VmRSS {before} KiB before, {there} KiB now: {} bytes each",
            each(there)
        );
        assert!(each(there) <= MOST_BYTES, "{} bytes each", each(there));
        neighbours_are_served("15,000 idle connections");
        // More requests on each leave no more than the allocator needs: nothing that is kept for a connection.
        for wave in 2..4 {
            std::fs::write(&again, "").unwrap();
            crowd.wait_for_output(&format!("wave {wave}"));
            let after = peak_rss_kib(pid, Duration::from_secs(2));
            eprintln!("after wave {wave}: {after} KiB, {} bytes each", each(after));
            assert!(each(after) <= MOST_BYTES, "{} bytes each", each(after));
        }
        drop(crowd);
        wait::until("the end of them all", || (metric("sluice_connections", &[]) < 10.0).then_some(()));
        // What is gone gives its memory back, but for what the allocator can't: pages that hold one thing that stays.
        let bound = before + (there - before) / 4;
        let left = wait::until("memory to be given back", || {
            let left = rss_kib(pid);
            (left <= bound).then_some(left)
        });
        eprintln!("after the end of them all: {left} KiB");
    });
}
