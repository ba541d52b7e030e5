//! An object that is broken in its file is served in its last good version by the next process, too.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use gateway_testkit::wait;
use nix::sys::signal::Signal;

use crate::common::steady::SteadyClients;
use crate::common::{self, HTTP, get, sluice, text};
use crate::line::{DRAIN, Line, with_line};

const FLAGS: &[&str] = &["--steering", "ebpf"];
const STALE: &str = "HTTPRoute team1/httpbin: its last good version stays in force";

fn break_the_route(line: &Line<'_>) {
    line.running.edit("team1-route.yaml", "port: 8000", "port: none");
    wait::until("the error in status", || {
        text(&sluice(&["status"])).contains("team1-route.yaml").then_some(())
    });
    assert_eq!(get("/httpbin/get").unwrap().status, 200);
}

fn still_served(line: &Line<'_>) {
    assert_eq!(get("/httpbin/get").unwrap().status, 200, "{}", line.running.log());
    let said = text(&sluice(&["status"]));
    assert!(said.contains(STALE) && said.contains("port"), "{said}");
}

#[test]
fn it_outlives_upgrades_and_crashes() {
    with_line("take-last-good", FLAGS, |line| {
        let kept = line.inside.scratch().join("state").join("last-good");
        let steady = SteadyClients::start(HTTP);
        assert!(!kept.exists(), "nothing is to be kept");
        break_the_route(line);
        still_served(line);
        for _ in 0..2 {
            line.upgrade(FLAGS);
            still_served(line);
        }
        steady.must_be_clean();
        assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
        let start = |line: &mut Line<'_>| {
            let flags = [FLAGS, &DRAIN].concat();
            line.running.gateway = common::start_gateway(line.inside, line.running.config.path(), &flags);
        };
        line.running.gateway.signal(Signal::SIGKILL).unwrap();
        line.running.gateway.wait();
        start(line);
        still_served(line);
        line.running.gateway.signal(Signal::SIGTERM).unwrap();
        assert!(line.running.gateway.wait().success());
        start(line);
        still_served(line);
        // Another mistake in the same object, and then it is right.
        line.running.edit("team1-route.yaml", "port: none", "port: nothing");
        line.upgrade(FLAGS);
        still_served(line);
        line.running.edit("team1-route.yaml", "port: nothing", "port: 8000");
        wait::until("that nothing is kept", || (!kept.exists()).then_some(()));
        wait::until("a status without it", || (!text(&sluice(&["status"])).contains(STALE)).then_some(()));
    });
}

#[test]
fn switched_off_it_is_left_out() {
    const OFF: &[&str] = &["--steering", "ebpf", "--last-good", "false"];
    with_line("take-no-last-good", OFF, |line| {
        break_the_route(line);
        line.upgrade(OFF);
        assert_eq!(get("/httpbin/get").unwrap().status, 404);
        assert!(!line.inside.scratch().join("state").join("last-good").exists());
    });
}
