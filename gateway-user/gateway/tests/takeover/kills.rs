//! One of the two is killed in the midst of a take-over, while clients send.

use gateway_testkit::http::{self, Client};
use gateway_testkit::wait;
use nix::sys::signal::Signal;

use crate::common::steady::SteadyClients;
use crate::common::{HTTP, get, metric, sluice, text};
use crate::line::{Line, StopPoint, ended_well, serves_on, with_line};

const EBPF_URING: &[&str] = &["--steering", "ebpf", "--io", "uring"];
const EBPF_EPOLL: &[&str] = &["--steering", "ebpf", "--io", "epoll"];
const REUSEPORT_URING: &[&str] = &["--steering", "reuseport", "--io", "uring"];
const REUSEPORT_EPOLL: &[&str] = &["--steering", "reuseport", "--io", "epoll"];

fn kill(gateway: &mut gateway_testkit::process::Guarded) {
    gateway.signal(Signal::SIGKILL).unwrap();
    gateway.wait();
}

/// Clients that come while two processes have the sockets, and keep half of their connections: whoever
/// accepts some must not die.
fn newcomers() -> Vec<SteadyClients> {
    (0..4).map(|_| SteadyClients::start(HTTP)).collect()
}

fn still_clean(clients: impl IntoIterator<Item = SteadyClients>) {
    for steady in clients {
        steady.wait_for_more(50);
        steady.must_be_clean();
    }
}

/// The new one has more workers, and so sockets that the old one has not: nothing may wait in them when it
/// dies.
fn new_one_killed_at(label: &str, point: &'static str, flags: &'static [&'static str]) {
    with_line(label, flags, move |line| {
        let pins = line.pin_directories();
        let steady = SteadyClients::start(HTTP);
        let more = [flags, &["--workers", "5"]].concat();
        let mut new = line.spawn(&more, &[("SLUICE_FAULT", &format!("takeover:{point}"))]);
        new.wait_for_output("injected: stopped");
        let later = newcomers();
        steady.wait_for_more(300);
        kill(&mut new);
        line.running.gateway.wait_for_output("did not take over");
        still_clean(later);
        still_clean([steady]);
        assert_eq!(metric("sluice_takeover_failures_total", &["reason=\"ended\""]), 1.0);
        let said = text(&sluice(&["status"]));
        assert!(said.contains("failed take-overs:") && said.contains("1 (ended)"), "{said}");
        serves_on(line, flags, &pins);
    });
}

#[test]
fn new_one_with_the_sockets_in_hand_ebpf_uring() {
    new_one_killed_at("take-k1", "received", EBPF_URING);
}

#[test]
fn new_one_with_the_sockets_in_hand_ebpf_epoll() {
    new_one_killed_at("take-k2", "received", EBPF_EPOLL);
}

#[test]
fn new_one_with_the_sockets_in_hand_reuseport_uring() {
    new_one_killed_at("take-k3", "received", REUSEPORT_URING);
}

#[test]
fn new_one_with_the_sockets_in_hand_reuseport_epoll() {
    new_one_killed_at("take-k4", "received", REUSEPORT_EPOLL);
}

#[test]
fn new_one_just_before_it_is_ready_ebpf_uring() {
    new_one_killed_at("take-k5", "live", EBPF_URING);
}

#[test]
fn new_one_just_before_it_is_ready_ebpf_epoll() {
    new_one_killed_at("take-k6", "live", EBPF_EPOLL);
}

#[test]
fn new_one_just_before_it_is_ready_reuseport_uring() {
    new_one_killed_at("take-k7", "live", REUSEPORT_URING);
}

#[test]
fn new_one_just_before_it_is_ready_reuseport_epoll() {
    new_one_killed_at("take-k8", "live", REUSEPORT_EPOLL);
}

/// Between processes that steer by different means everything that the new one has is its own.
fn new_one_killed_steering_otherwise(
    label: &str,
    old: &'static [&'static str],
    new: &'static [&'static str],
) {
    with_line(label, old, move |line| {
        let pins = line.pin_directories();
        let steady = SteadyClients::start(HTTP);
        let mut new = line.spawn(new, &[("SLUICE_FAULT", "takeover:live")]);
        new.wait_for_output("injected: stopped");
        let later = newcomers();
        steady.wait_for_more(300);
        kill(&mut new);
        line.running.gateway.wait_for_output("did not take over");
        still_clean(later);
        still_clean([steady]);
        serves_on(line, old, &pins);
    });
}

#[test]
fn new_one_that_is_to_steer_by_programs() {
    new_one_killed_steering_otherwise("take-k9", REUSEPORT_URING, EBPF_URING);
}

#[test]
fn new_one_that_is_to_steer_by_sockets() {
    new_one_killed_steering_otherwise("take-k10", EBPF_URING, REUSEPORT_URING);
}

#[test]
fn a_port_that_only_the_new_one_has_is_closed_until_it_serves() {
    with_line("take-port", REUSEPORT_URING, |line| {
        let other = "127.0.0.1:8099".parse().unwrap();
        let (received, live) =
            (StopPoint::closed(line.inside, "received"), StopPoint::closed(line.inside, "live"));
        let faults = format!("{},{}", received.fault(), live.fault());
        let mut new = line.spawn(REUSEPORT_URING, &[("SLUICE_FAULT", &faults)]);
        new.wait_for_output("stopped at received");
        // The old one holds its configuration, so only the new one will have it.
        line.running.edit("gateway.yaml", "port: 80\n", "port: 8099\n");
        received.open();
        new.wait_for_output("stopped at live");
        let refused = http::get(other, "a", "/httpbin/get").unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "nobody may wait there: {refused}");
        assert_eq!(get("/httpbin/get").unwrap().status, 200, "the old one serves what it did");
        live.open();
        let old = line.succeeded_by(new);
        assert_eq!(http::get(other, "a", "/httpbin/get").unwrap().status, 200);
        ended_well(old);
        wait::until("the end of the old port", || get("/httpbin/get").is_err().then_some(()));
    });
}

/// It was ready and is gone before the old one has let go.
fn new_one_killed_after_its_word(label: &str, flags: &'static [&'static str]) {
    with_line(label, flags, move |line| {
        // A process that is to stop when it lets go, in place of the one that runs.
        let gate = StopPoint::closed(line.inside, "letting-go");
        let old = line.begin_upgrade_with(flags, &[("SLUICE_FAULT", gate.fault())]);
        ended_well(old);
        let pins = line.pin_directories();
        let steady = SteadyClients::start(HTTP);
        let mut new = line.spawn(&[flags, &["--workers", "5"]].concat(), &[]);
        line.running.gateway.wait_for_output("injected: stopped");
        let later = newcomers();
        steady.wait_for_more(100);
        kill(&mut new);
        gate.open();
        line.running.gateway.wait_for_output("it ended before this process had let go");
        still_clean(later);
        still_clean([steady]);
        assert_eq!(metric("sluice_takeover_failures_total", &["reason=\"vanished\""]), 1.0);
        serves_on(line, flags, &pins);
    });
}

#[test]
fn new_one_after_its_word_ebpf() {
    new_one_killed_after_its_word("take-k11", EBPF_URING);
}

#[test]
fn new_one_after_its_word_reuseport() {
    new_one_killed_after_its_word("take-k12", REUSEPORT_EPOLL);
}

/// A connection that nobody accepts at the moment is served by the process that is left.
fn the_new_one_serves(line: &mut Line<'_>, new: gateway_testkit::process::Guarded, go_on: impl FnOnce()) {
    let mut waiting = Client::connect(HTTP.parse().unwrap()).unwrap();
    waiting.send("GET /httpbin/get HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    go_on();
    let mut dead = line.succeeded_by(new);
    assert!(!dead.wait().success());
    assert_eq!(waiting.response().unwrap().status, 200);
    let steady = SteadyClients::start(HTTP);
    steady.wait_for_more(100);
    steady.must_be_clean();
}

fn old_one_killed(label: &str, flags: &'static [&'static str]) {
    with_line(label, flags, move |line| {
        // Between offer and ready.
        let gate = StopPoint::closed(line.inside, "received");
        let mut new = line.spawn(flags, &[("SLUICE_FAULT", gate.fault())]);
        new.wait_for_output("injected: stopped");
        kill(&mut line.running.gateway);
        the_new_one_serves(line, new, || gate.open());
        assert!(line.pin_directories().len() <= 1, "what the dead one had is gone");

        // Between ready and released.
        let gate = StopPoint::closed(line.inside, "letting-go");
        let old = line.begin_upgrade_with(flags, &[("SLUICE_FAULT", gate.fault())]);
        ended_well(old);
        let new = line.spawn(flags, &[]);
        line.running.gateway.wait_for_output("injected: stopped");
        kill(&mut line.running.gateway);
        the_new_one_serves(line, new, || {});
        serves_on(line, flags, &line.pin_directories());
    });
}

#[test]
fn old_one_ebpf_uring() {
    old_one_killed("take-o1", EBPF_URING);
}

#[test]
fn old_one_ebpf_epoll() {
    old_one_killed("take-o2", EBPF_EPOLL);
}

#[test]
fn old_one_reuseport_uring() {
    old_one_killed("take-o3", REUSEPORT_URING);
}

#[test]
fn old_one_reuseport_epoll() {
    old_one_killed("take-o4", REUSEPORT_EPOLL);
}
