//! Connections that are there and do nothing.

use std::time::Duration;

use gateway_testkit::process::Guarded;
use gateway_testkit::{netns, wait};

use crate::common::{Running, metric, metrics};
use crate::memory::{peak_rss_kib, rss_kib};
use crate::{hold_crowd, neighbours_are_served, role};

#[test]
fn twelve_thousand_idle_connections_hold_no_buffers() {
    const NAME: &str = "idle::twelve_thousand_idle_connections_hold_no_buffers";
    const IDLE: u64 = 12_000;
    /// For the task, its operations and its places in the books; with the request's buffer it would not fit.
    const MOST_BYTES: u64 = 18 * 1024;
    if let Some(words) = role::played() {
        return hold_crowd(&words);
    }
    netns::run("idle", |inside| {
        let flags = ["--max-connections", "12000", "--access-log", "off"];
        let running = Running::start(inside, &flags);
        neighbours_are_served("nobody");
        let (pid, before) = (running.gateway.pid(), rss_kib(running.gateway.pid()));
        // So large that a buffer that is kept shows, page by page.
        let request =
            format!("GET /httpbin/status/204 HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(12_000));
        let half = (IDLE / 2).to_string();
        let start = |_| Guarded::spawn(&mut role::copy(NAME, &[&half, &request, "yes"])).unwrap();
        let mut crowds: Vec<Guarded> = (0..2).map(start).collect();
        crowds.iter_mut().for_each(|crowd| crowd.wait_for_output("all there"));
        assert!(metric("sluice_connections", &[]) >= IDLE as f64, "{}", metrics());
        let bound = before + IDLE * MOST_BYTES / 1024;
        let after = peak_rss_kib(pid, Duration::from_secs(2));
        let each = after.saturating_sub(before) * 1024 / IDLE;
        eprintln!("{IDLE} idle connections: VmRSS {before} KiB before, {after} KiB now: {each} bytes each");
        assert!(after <= bound, "{each} bytes each");
        neighbours_are_served("12,000 idle connections");
        drop(crowds);
        wait::until("the end of them all", || (metric("sluice_connections", &[]) < 10.0).then_some(()));
    });
}
