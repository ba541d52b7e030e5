//! Logs that nobody reads.

use std::io::Read as _;

use gateway_testkit::{netns, wait};
use nix::sys::signal::Signal;

use crate::common::{Running, metric};
use crate::{client, neighbours_are_served};

#[test]
fn a_log_that_nobody_reads_drops_lines_and_delays_nothing() {
    netns::run("log-stalled", |inside| {
        let pipe = inside.scratch().join("log");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Open for both, so that opening waits for nobody; nothing is read until the end.
        let mut reader = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
        let path = pipe.to_str().unwrap();
        let mut running = Running::start(inside, &["--access-log", path, "--drain-min", "0s"]);
        let target = format!("/httpbin/status/204?{}", "x".repeat(6000));
        let (mut kept, mut asked) = (client(), 0);
        wait::until("lines to be dropped", || {
            for _ in 0..200 {
                assert_eq!(kept.get("a", &target).unwrap().status, 204);
                asked += 1;
            }
            (metric("sluice_log_dropped_total", &[]) > 0.0).then_some(())
        });
        neighbours_are_served("a log that nobody reads");
        eprintln!("{asked} requests with lines of 6 KB before the first line was dropped");
        // Read again, it goes on with whole lines.
        let written = metric("sluice_access_log_written_bytes_total", &[]);
        let mut part = vec![0; 1 << 20];
        wait::until("the log to go on", || {
            let _ = reader.read(&mut part).unwrap();
            (metric("sluice_access_log_written_bytes_total", &[]) > written + 2e6).then_some(())
        });
        // Stuck once more, it does not keep the process from ending.
        for _ in 0..200 {
            assert_eq!(kept.get("a", &target).unwrap().status, 204);
        }
        running.gateway.signal(Signal::SIGTERM).unwrap();
        let ended = running.gateway.wait();
        assert!(ended.success(), "{ended:?}\n{}", running.log());
    });
}
