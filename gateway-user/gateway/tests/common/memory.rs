//! Memory of a process, as the kernel counts it.
#![allow(dead_code, unreachable_pub)] // each test binary uses a part, and there is nobody to publish to

use std::time::{Duration, Instant};

/// `VmRSS` of a process in KiB.
pub fn rss_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The largest `VmRSS` in KiB of several looks within a while.
pub fn peak_rss_kib(pid: u32, within: Duration) -> u64 {
    let end = Instant::now() + within;
    let mut peak = 0;
    while Instant::now() < end {
        peak = peak.max(rss_kib(pid));
        std::thread::sleep(Duration::from_millis(50));
    }
    peak
}

/// The smallest `VmRSS` in KiB of several looks within a while.
pub fn least_rss_kib(pid: u32, within: Duration) -> u64 {
    let end = Instant::now() + within;
    let mut least = u64::MAX;
    while Instant::now() < end {
        least = least.min(rss_kib(pid));
        std::thread::sleep(Duration::from_millis(50));
    }
    least
}
