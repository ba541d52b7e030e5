//! Failures around the gateway: clear errors at the start, and service that goes on while it runs.

mod common;

use std::path::Path;

use common::{HTTP, Running, get, metric, metrics};
use gateway_testkit::http::Client;
use gateway_testkit::netns::{self, Access, Inside};
use gateway_testkit::scratch::Scratch;
use gateway_testkit::wait;
use nix::sys::signal::Signal;

/// Runs `sluice run` with this state directory to its end, and gives its last line.
fn refused(inside: &Inside, state: &Path) -> String {
    let config = Scratch::new("config").unwrap();
    config.copy_from(&common::example()).unwrap();
    let mut gateway =
        common::spawn_gateway(inside, config.path(), &["--state-dir", &state.display().to_string()]);
    assert_eq!(gateway.wait().code(), Some(1));
    wait::until("its error", || gateway.output().contains("--state-dir").then_some(()));
    assert!(!gateway.output().contains("panicked"), "{}", gateway.output());
    assert!(!inside.bpffs().join("sluice").exists(), "nothing is pinned by who does not start");
    gateway.output()
}

#[test]
fn a_state_directory_that_cannot_be_used_is_named_with_what_to_do() {
    netns::run("state", |inside| {
        let disk = inside.disk("readonly", 64, Access::Read).unwrap();
        let missing = disk.join("state");
        let said = refused(inside, &missing);
        assert!(said.contains(&format!("--state-dir {}: cannot be made", missing.display())), "{said}");
        assert!(said.contains("Read-only file system") && said.contains("choose"), "{said}");
        let said = refused(inside, &disk);
        assert!(said.contains(&format!("--state-dir {}: not writable", disk.display())), "{said}");
        // A file where a directory belongs.
        inside.scratch().write("file", "").unwrap();
        let said = refused(inside, &inside.scratch().join("file").join("state"));
        assert!(said.contains("cannot be made") && said.contains("Not a directory"), "{said}");
    });
}

#[test]
fn on_a_full_disk_requests_go_on_and_what_the_log_lost_is_counted() {
    netns::run("full", |inside| {
        let disk = inside.disk("disk", 64, Access::Write).unwrap();
        let log = disk.join("access.log");
        let path = log.display().to_string();
        let running = Running::start(inside, &["--access-log", &path]);
        let mut kept = Client::connect(HTTP.parse().unwrap()).unwrap();
        let target = format!("/httpbin/status/204?{}", "x".repeat(2000));
        wait::until("the disk to be full", || {
            for _ in 0..50 {
                assert_eq!(kept.get("a", &target).unwrap().status, 204);
            }
            (metric("sluice_access_log_write_errors_total", &[]) > 0.0).then_some(())
        });
        assert!(metric("sluice_access_log_lost_bytes_total", &[]) > 0.0, "{}", metrics());
        wait::until("one line of log", || running.log().contains("cannot write the log").then_some(()));
        for _ in 0..50 {
            assert_eq!(kept.get("a", &target).unwrap().status, 204);
        }
        let said = running.log().matches("cannot write the log").count();
        assert_eq!(said, 1, "a failure that stays is said once: {}", running.log());
        // Room again: a rotated log is written as if nothing had been.
        std::fs::remove_file(&log).unwrap();
        running.gateway.signal(Signal::SIGHUP).unwrap();
        wait::until("lines in the new file", || {
            assert_eq!(get("/httpbin/get").unwrap().status, 200);
            let text = std::fs::read_to_string(&log).ok()?;
            text.lines().any(|line| line.contains("\"/httpbin/get\"")).then_some(())
        });
        wait::until("the good news", || running.log().contains("the log is written again").then_some(()));
    });
}

#[test]
fn a_config_directory_that_vanishes_leaves_the_last_good_state_serving() {
    netns::run("vanished", |inside| {
        let running = Running::start(inside, &["--access-log", "off"]);
        let aside = inside.scratch().join("aside");
        std::fs::rename(running.config.path(), &aside).unwrap();
        running.gateway.signal(Signal::SIGHUP).unwrap();
        wait::until("the trouble to be counted", || {
            (metric("sluice_reconciles_total", &["result=\"unreadable\""]) > 0.0).then_some(())
        });
        for _ in 0..20 {
            assert_eq!(get("/httpbin/get").unwrap().status, 200);
        }
        std::fs::rename(&aside, running.config.path()).unwrap();
        running.gateway.signal(Signal::SIGHUP).unwrap();
        running.edit("team1-route.yaml", "value: /httpbin", "value: /renamed");
        running.gateway.signal(Signal::SIGHUP).unwrap();
        running.wait_for_status("/renamed/get", 200);
    });
}
