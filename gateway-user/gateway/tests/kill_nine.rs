//! The process is killed under load again and again, and a supervisor starts it again: who loses what.

mod common;

use std::process::Command;

use common::{HTTP, SLUICE};
use gateway_testkit::crash::{CrashRun, Verdict};
use gateway_testkit::netns;
use gateway_testkit::scratch::Scratch;

const CLIENTS: usize = 8;
const KILLS: u32 = 3;

/// Only requests under way are lost, and those that come while there is no process.
fn killed(label: &str, steering: &'static str, io: &'static str) {
    netns::run(label, move |inside| {
        let _backend = common::start_backend();
        let (state, bpffs) = (inside.scratch().join("state"), inside.bpffs().to_owned());
        let config = Scratch::new("config").unwrap();
        config.copy_from(&common::example()).unwrap();
        let gateway = move || {
            let mut command = Command::new(SLUICE);
            command.arg("run").arg(config.path()).arg("--state-dir").arg(&state).arg("--bpffs").arg(&bpffs);
            command.args(["--steering", steering, "--io", io, "--access-log", "off"]);
            command
        };
        let crash_run = CrashRun { to: HTTP.parse().unwrap(), kills: KILLS, clients: CLIENTS, between: 200 };
        let Verdict { served, cut, lost, recovery, .. } = crash_run.run(gateway).unwrap();
        assert!(lost.is_empty(), "{} lost for no reason: {lost:?}", lost.len());
        assert!(cut <= u64::from(KILLS) * CLIENTS as u64, "each client has one request under way: {cut}");
        assert_eq!(recovery.len(), KILLS as usize);
        assert!(served > 0);
        if steering == "ebpf" {
            let left = common::pins::owners(inside.bpffs());
            assert_eq!(left.len(), 1, "only the last process's: {left:?}");
        }
    });
}

#[test]
fn with_ebpf_and_uring_only_requests_under_way_are_lost() {
    killed("nine-eu", "ebpf", "uring");
}

#[test]
fn with_ebpf_and_epoll_only_requests_under_way_are_lost() {
    killed("nine-ee", "ebpf", "epoll");
}

#[test]
fn with_reuseport_and_uring_only_requests_under_way_are_lost() {
    killed("nine-ru", "reuseport", "uring");
}

#[test]
fn with_reuseport_and_epoll_only_requests_under_way_are_lost() {
    killed("nine-re", "reuseport", "epoll");
}
