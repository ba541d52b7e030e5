//! A spare (`--take-over=spare`): it serves in place of a gateway that is killed, and hands over to the next one.

use std::net::SocketAddr;

use gateway_testkit::http::Client;
use gateway_testkit::netns::{self, Inside};
use gateway_testkit::process::Guarded;
use gateway_testkit::wait;
use nix::sys::signal::Signal;

use crate::common::helper::{self, node_command, start_helper, start_node};
use crate::common::steady::SteadyClients;
use crate::common::{HTTP, Running, sluice, text};

const KILLS: u32 = 3;

/// A spare, and the way to ask it.
struct Spare {
    process: Guarded,
    probes: String,
}

impl Spare {
    fn start(inside: &Inside, running: &Running, flags: &[&str]) -> Self {
        let probes = inside.scratch().join("state/spare.sock").display().to_string();
        let own = ["--take-over", "spare", "--probe-socket", &probes];
        let mut command = node_command(inside, running.config.path(), &[flags, &own].concat());
        let process = Guarded::spawn(&mut command).unwrap();
        let spare = Self { process, probes };
        spare.is_ready("ready: a spare");
        spare
    }

    /// Waits until it says so of itself.
    #[track_caller]
    fn is_ready(&self, words: &str) {
        wait::until(words, || {
            let said = sluice(&["probe", "ready", "--socket", &self.probes]);
            (said.status.success() && text(&said).trim_end().starts_with(words)).then_some(())
        });
        assert!(sluice(&["probe", "live", "--socket", &self.probes]).status.success());
    }

    /// Waits until it serves, as another process has died.
    #[track_caller]
    fn serves(&self) {
        wait::until("ready", || {
            let said = text(&sluice(&["probe", "ready", "--socket", &self.probes]));
            (said.trim_end() == "ready").then_some(())
        });
    }
}

fn kill(gateway: &mut Guarded) {
    gateway.signal(Signal::SIGKILL).unwrap();
    gateway.wait();
}

/// Kills gateways that have a spare; whoever starts them again comes later.
fn serves_meanwhile(label: &'static str, steering: &'static str, io: &'static str) {
    netns::run(label, move |inside| {
        let flags = ["--steering", steering, "--io", io, "--workers", "2", "--drain-min", "0s"];
        let (helper, mut running) = helper::start(inside, &["--hold-connections", "1h"], &flags);
        for _ in 0..KILLS {
            let mut spare = Spare::start(inside, &running, &flags);
            running.wait_for_status("/httpbin/get", 200);
            assert!(!spare.process.output().contains("serving "), "{}", spare.process.output());
            kill(&mut running.gateway);
            if steering == "ebpf" {
                let mut waiting = Client::connect(HTTP.parse::<SocketAddr>().unwrap()).unwrap();
                waiting.send("GET /httpbin/get HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
                assert_eq!(waiting.response().unwrap().status, 200, "{}", spare.process.output());
            }
            spare.serves();
            let steady = SteadyClients::start(HTTP);
            running.gateway = start_node(inside, running.config.path(), &flags);
            running.gateway.wait_for_output("took over from sluice");
            steady.wait_for_more(100);
            steady.must_be_clean();
            assert!(spare.process.wait().success(), "{}", spare.process.output());
        }
        assert!(!helper.output().contains("no gateway has come"), "{}", helper.output());
    });
}

#[test]
fn a_spare_serves_until_the_gateway_is_started_again_ebpf_uring() {
    serves_meanwhile("spare-eu", "ebpf", "uring");
}

#[test]
fn a_spare_serves_until_the_gateway_is_started_again_ebpf_epoll() {
    serves_meanwhile("spare-ee", "ebpf", "epoll");
}

#[test]
fn a_spare_serves_until_the_gateway_is_started_again_reuseport_uring() {
    serves_meanwhile("spare-ru", "reuseport", "uring");
}

#[test]
fn a_spare_serves_until_the_gateway_is_started_again_reuseport_epoll() {
    serves_meanwhile("spare-re", "reuseport", "epoll");
}

#[test]
fn a_spare_waits_through_take_overs_and_the_end_of_its_helper() {
    netns::run("spare-waits", |inside| {
        let flags = ["--steering", "ebpf", "--drain-min", "0s"];
        let (mut helper, mut running) = helper::start(inside, &[], &flags);
        let spare = Spare::start(inside, &running, &flags);
        let new = start_node(inside, running.config.path(), &flags);
        let mut old = std::mem::replace(&mut running.gateway, new);
        running.gateway.wait_for_output("took over from sluice");
        assert!(old.wait().success(), "{}", old.output());
        spare.is_ready("ready: a spare");
        kill(&mut helper);
        let helper = start_helper(inside, &[]);
        spare.is_ready("ready: a spare");
        kill(&mut running.gateway);
        spare.serves();
        running.gateway = spare.process;
        running.wait_for_status("/httpbin/get", 200);
        assert!(!helper.output().contains("closed:"), "{}", helper.output());
    });
}

#[test]
fn a_spare_that_is_asked_to_stop_ends_at_once_and_touches_nothing() {
    netns::run("spare-stop", |inside| {
        let flags = ["--steering", "ebpf"];
        let (_helper, running) = helper::start(inside, &[], &flags);
        let mut spare = Spare::start(inside, &running, &flags);
        spare.process.signal(Signal::SIGTERM).unwrap();
        assert!(spare.process.wait().success(), "{}", spare.process.output());
        running.wait_for_status("/httpbin/get", 200);
        let said = text(&sluice(&["status"]));
        assert!(said.contains(&format!("pid {}", running.gateway.pid())), "{said}");
    });
}
