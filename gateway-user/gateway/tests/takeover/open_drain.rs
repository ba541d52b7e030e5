//! A process that a signal has asked to stop, as one whose pod is deleted: it keeps its sockets for a successor.

use std::thread;
use std::time::Duration;

use gateway_testkit::http::Client;
use gateway_testkit::netns::{self, Inside};
use gateway_testkit::process::Guarded;
use gateway_testkit::wait;
use nix::sys::signal::Signal;

use crate::common::steady::SteadyClients;
use crate::common::{HTTP, Running, get, helper, metric, spawn_gateway_with};
use crate::line::{Line, StopPoint, ended_well, ready, serves_on};

/// Longer than any successor takes to ask, and than a machine with other work makes of it.
const LONG_DRAIN: [&str; 4] = ["--drain-min", "60s", "--drain-max", "80s"];

/// Starts the next process on the same directory with these flags alone.
fn spawn(line: &Line<'_>, flags: &[&str], fault: &str) -> Guarded {
    spawn_gateway_with(line.inside, line.running.config.path(), flags, &[("SLUICE_FAULT", fault)])
}

fn with_drain(
    label: &str,
    steering: &'static str,
    drain: [&'static str; 4],
    body: impl FnOnce(&mut Line<'_>, &[&str]) + Send + 'static,
) {
    netns::run(label, move |inside: &Inside| {
        let flags = [&["--steering", steering][..], &drain].concat();
        let running = Running::start(inside, &flags);
        body(&mut Line { inside, running }, &flags);
    });
}

/// Asks the process to stop, and waits until it has begun to.
fn stop(line: &Line<'_>) {
    line.running.gateway.signal(Signal::SIGTERM).unwrap();
    wait::until("the end of readiness", || (!ready()).then_some(()));
}

fn a_successor_takes_over(label: &str, steering: &'static str) {
    with_drain(label, steering, LONG_DRAIN, |line, flags| {
        let steady = SteadyClients::start(HTTP);
        steady.wait_for_more(50);
        stop(line);
        steady.wait_for_more(50);
        let new = spawn(line, flags, "");
        ended_well(line.succeeded_by(new));
        assert!(ready());
        steady.wait_for_more(50);
        steady.must_be_clean();
        line.running.gateway.signal(Signal::SIGTERM).unwrap();
        line.running.gateway.wait_for_output("draining");
    });
}

#[test]
fn a_successor_takes_over_ebpf() {
    a_successor_takes_over("open-e", "ebpf");
}

#[test]
fn a_successor_takes_over_reuseport() {
    a_successor_takes_over("open-r", "reuseport");
}

/// The pod's containers are all asked to stop at once: the helper is gone by then, and the next pod has its own.
fn with_helpers(label: &str, steering: &'static str) {
    netns::run(label, move |inside| {
        let flags = [&["--steering", steering][..], &LONG_DRAIN].concat();
        let (mut helper, mut running) = helper::start(inside, &[], &flags);
        let steady = SteadyClients::start(HTTP);
        steady.wait_for_more(50);
        running.gateway.signal(Signal::SIGTERM).unwrap();
        helper.signal(Signal::SIGTERM).unwrap();
        assert!(helper.wait().success());
        wait::until("the end of readiness", || (!ready()).then_some(()));
        let _next = helper::start_helper(inside, &[]);
        let mut new =
            Guarded::spawn(&mut helper::node_command(inside, running.config.path(), &flags)).unwrap();
        new.wait_for_output("took over from sluice");
        ended_well(std::mem::replace(&mut running.gateway, new));
        steady.wait_for_more(50);
        steady.must_be_clean();
    });
}

#[test]
fn a_successor_with_a_helper_of_its_own_ebpf() {
    with_helpers("open-he", "ebpf");
}

#[test]
fn a_successor_with_a_helper_of_its_own_reuseport() {
    with_helpers("open-hr", "reuseport");
}

/// It starts for longer than the sockets were to stay open.
fn a_slow_successor(label: &str, steering: &'static str, point: &'static str) {
    let drain = ["--drain-min", "10s", "--drain-max", "30s"];
    with_drain(label, steering, drain, move |line, flags| {
        let steady = SteadyClients::start(HTTP);
        let gate = StopPoint::closed(line.inside, point);
        stop(line);
        let mut new = spawn(line, flags, gate.fault());
        new.wait_for_output("injected: stopped");
        thread::sleep(Duration::from_secs(12));
        steady.wait_for_more(50);
        gate.open();
        ended_well(line.succeeded_by(new));
        steady.wait_for_more(50);
        steady.must_be_clean();
    });
}

#[test]
fn a_slow_successor_ebpf() {
    a_slow_successor("open-se", "ebpf", "live");
}

#[test]
fn a_slow_successor_reuseport() {
    a_slow_successor("open-sr", "reuseport", "received");
}

#[test]
fn after_a_successor_that_fails_another_one_takes_over() {
    with_drain("open-fail", "ebpf", LONG_DRAIN, |line, flags| {
        let steady = SteadyClients::start(HTTP);
        stop(line);
        for point in ["received", "live"] {
            let mut broken = spawn(line, flags, &format!("takeover:{point}"));
            broken.wait_for_output("injected: stopped");
            broken.signal(Signal::SIGKILL).unwrap();
            broken.wait();
            let failures = || metric("sluice_takeover_failures_total", &["reason=\"ended\""]);
            wait::until("the failure", || (failures() >= 1.0).then_some(()));
            steady.wait_for_more(50);
        }
        let new = spawn(line, flags, "");
        ended_well(line.succeeded_by(new));
        steady.wait_for_more(50);
        steady.must_be_clean();
    });
}

/// The old one notices by its time limit, and serves on as if nobody had come.
fn one_that_hangs_is_given_up(label: &str, steering: &'static str, point: &'static str) {
    netns::run(label, move |inside| {
        let flags = ["--steering", steering, "--drain-min", "0s", "--drain-max", "25s"];
        let running = Running::start_with(inside, &flags, &[("SLUICE_FAULT", "takeover:ready=20000")]);
        let mut line = Line { inside, running };
        let pins = line.pin_directories();
        let steady = SteadyClients::start(HTTP);
        let gate = StopPoint::closed(inside, point);
        let mut hung = spawn(&line, &flags, gate.fault());
        hung.wait_for_output("injected: stopped");
        line.running.gateway.wait_for_output("its configuration was not live in time");
        assert_eq!(metric("sluice_takeover_failures_total", &["reason=\"timeout\""]), 1.0);
        // While it hangs it has the sockets still, and accepts nothing from them.
        steady.wait_for_more(100);
        gate.open();
        assert!(!hung.wait().success(), "{}", hung.output());
        steady.wait_for_more(50);
        steady.must_be_clean();
        serves_on(&mut line, &["--steering", steering], &pins);
    });
}

#[test]
fn one_that_hangs_with_the_sockets_is_given_up_ebpf() {
    one_that_hangs_is_given_up("open-h1", "ebpf", "received");
}

#[test]
fn one_that_hangs_before_its_word_is_given_up_ebpf() {
    one_that_hangs_is_given_up("open-h2", "ebpf", "live");
}

#[test]
fn one_that_hangs_with_the_sockets_is_given_up_reuseport() {
    one_that_hangs_is_given_up("open-h3", "reuseport", "received");
}

#[test]
fn one_that_hangs_before_its_word_is_given_up_reuseport() {
    one_that_hangs_is_given_up("open-h4", "reuseport", "live");
}

#[test]
fn one_that_comes_too_late_waits_for_the_end_of_the_drain() {
    let drain = ["--drain-min", "0s", "--drain-max", "80s"];
    with_drain("open-late", "ebpf", drain, |line, flags| {
        let mut busy = Client::connect(HTTP.parse().unwrap()).unwrap();
        busy.send("GET /httpbin/delay/40 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        stop(line);
        wait::until("closed sockets", || get("/httpbin/get").is_err().then_some(()));
        let mut new = spawn(line, flags, "");
        new.wait_for_output("drains; waits for its end");
        assert_eq!(busy.response().unwrap().status, 200);
        assert!(line.running.gateway.wait().success());
        wait::until("the next one", || ready().then_some(()));
        line.running.gateway = new;
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
    });
}

/// A kubelet starts a container again that ends: it must not take over from its successor, and must be there to take its
/// place should that one die.
#[test]
fn one_that_waits_ends_when_its_successor_is_gone() {
    let drain = ["--drain-min", "0s", "--drain-max", "25s"];
    netns::run("open-wait", move |inside| {
        let flags = [&["--after-take-over", "wait"][..], &drain].concat();
        let running = Running::start(inside, &flags);
        let mut line = Line { inside, running };
        let new = spawn(&line, &flags, "");
        let mut first = line.succeeded_by(new);
        first.wait_for_output("drained; waits for a signal");
        // A hot restart later it is still there: somebody has the directory.
        let new = spawn(&line, &flags, "");
        let mut second = line.succeeded_by(new);
        second.wait_for_output("drained; waits for a signal");
        assert!(first.try_wait().unwrap().is_none());
        line.running.gateway.signal(Signal::SIGKILL).unwrap();
        line.running.gateway.wait();
        assert!(first.wait().success() && second.wait().success());
        first.wait_for_output("the process that took over is gone");
        let new = spawn(&line, &flags, "");
        line.running.gateway = new;
        wait::until("the next one", || ready().then_some(()));
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
    });
}
