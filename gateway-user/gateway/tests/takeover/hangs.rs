//! The old process hangs in the midst of a take-over: the new one decides for itself, and the old one finds
//! out.
//!
//! Only limits of what a hung process does not do are shortened, so that no test depends on how fast the
//! others are.

use gateway_testkit::wait;
use nix::sys::signal::Signal;

use crate::common::steady::SteadyClients;
use crate::common::{HTTP, get, metric};
use crate::line::{StopPoint, ended_well, serves_on, with_line};

const LIMIT: &str = "takeover:receive=5000,takeover:release=5000";

#[test]
fn stopped_before_it_offers() {
    with_line("take-h1", &["--steering", "ebpf"], |line| {
        let pins = line.pin_directories();
        line.running.gateway.signal(Signal::SIGSTOP).unwrap();
        let mut new = line.spawn(&["--steering", "ebpf"], &[("SLUICE_FAULT", LIMIT)]);
        assert!(!new.wait().success());
        wait::until("the reason", || new.output().contains("does not respond").then_some(()));
        line.running.gateway.signal(Signal::SIGCONT).unwrap();
        line.running.gateway.wait_for_output("did not take over");
        serves_on(line, &["--steering", "ebpf"], &pins);
    });
}

fn stopped_after_the_offer(label: &str, flags: &'static [&'static str]) {
    with_line(label, flags, move |line| {
        let gate = StopPoint::closed(line.inside, "received");
        let faults = format!("{LIMIT},{}", gate.fault());
        let mut new = line.spawn(flags, &[("SLUICE_FAULT", &faults)]);
        new.wait_for_output("injected: stopped");
        line.running.gateway.signal(Signal::SIGSTOP).unwrap();
        gate.open();
        let old = line.succeeded_by(new);
        assert!(
            line.running.log().contains("hangs and has not released its sockets"),
            "{}",
            line.running.log()
        );
        let steady = SteadyClients::start(HTTP);
        steady.wait_for_more(100);
        // It finds that it has been taken over from, and goes.
        old.signal(Signal::SIGCONT).unwrap();
        ended_well(old);
        line.running.gateway.wait_for_output("has released its sockets");
        steady.wait_for_more(100);
        steady.must_be_clean();
        serves_on(line, flags, &line.pin_directories());
    });
}

#[test]
fn stopped_after_the_offer_ebpf() {
    stopped_after_the_offer("take-h2", &["--steering", "ebpf"]);
}

#[test]
fn stopped_after_the_offer_reuseport() {
    stopped_after_the_offer("take-h3", &["--steering", "reuseport"]);
}

/// Its control thread hangs when it has heard that the next one is ready, while its workers serve on.
fn hung_when_it_is_to_let_go(label: &str, flags: &'static [&'static str]) {
    with_line(label, flags, move |line| {
        let gate = StopPoint::closed(line.inside, "letting-go");
        ended_well(line.begin_upgrade_with(flags, &[("SLUICE_FAULT", gate.fault())]));
        let steady = SteadyClients::start(HTTP);
        let mut old = line.begin_upgrade_with(flags, &[("SLUICE_FAULT", LIMIT)]);
        old.wait_for_output("injected: stopped");
        steady.wait_for_more(100);
        gate.open();
        ended_well(old);
        line.running.gateway.wait_for_output("has released its sockets");
        steady.wait_for_more(100);
        steady.must_be_clean();
        serves_on(line, flags, &line.pin_directories());
    });
}

#[test]
fn hung_when_it_is_to_let_go_ebpf() {
    hung_when_it_is_to_let_go("take-h4", &["--steering", "ebpf"]);
}

#[test]
fn hung_when_it_is_to_let_go_reuseport() {
    hung_when_it_is_to_let_go("take-h5", &["--steering", "reuseport"]);
}

/// It sleeps through two take-overs: whom it would have to tell has ended, and still the directory is not its
/// own.
#[test]
fn hung_over_two_take_overs() {
    const FLAGS: &[&str] = &["--steering", "reuseport"];
    with_line("take-h6", FLAGS, |line| {
        let gate = StopPoint::closed(line.inside, "letting-go");
        ended_well(line.begin_upgrade_with(FLAGS, &[("SLUICE_FAULT", gate.fault())]));
        let oldest = line.begin_upgrade_with(FLAGS, &[("SLUICE_FAULT", LIMIT)]);
        line.upgrade(FLAGS);
        let steady = SteadyClients::start(HTTP);
        gate.open();
        let oldest = ended_well(oldest);
        assert!(!oldest.output().contains("serves on"), "{}", oldest.output());
        steady.wait_for_more(100);
        steady.must_be_clean();
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        assert_eq!(metric("sluice_takeover_failures_total", &[]), 0.0);
    });
}
