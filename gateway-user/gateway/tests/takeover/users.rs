//! Processes of root and of the user that root becomes follow each other, in both directions.
//!
//! Sockets of one `SO_REUSEPORT` group must have one owner, or bind(2) refuses: that shows when workers are
//! added, and when the successor of one that died needs a socket.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use gateway_testkit::http::Client;
use gateway_testkit::{netns, wait};

use crate::common::steady::SteadyClients;
use crate::common::{HTTP, Running, get, metric};
use crate::line::{DRAIN, Line, ended_well};

/// The user of `--user=auto`.
const UID: u32 = 65_532;

/// Users and groups of all threads, by what /proc says.
fn ids(pid: u32) -> BTreeSet<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let status = tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
    let field = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    status.flat_map(|status| field(&status, "Uid:").into_iter().chain(field(&status, "Gid:"))).collect()
}

/// A worker panics outside of any connection, and another one takes its place.
#[track_caller]
fn a_worker_dies_and_is_replaced(line: &Line<'_>) {
    let now = line.inside.scratch().join("now");
    fs::write(&now, "").unwrap();
    let mut victim = Client::connect(HTTP.parse().unwrap()).unwrap();
    let fault = format!("X-Sluice-Fault: worker {}", now.display());
    victim.send(format!("GET /httpbin/get HTTP/1.1\r\nHost: a\r\n{fault}\r\n\r\n")).unwrap();
    let log = || line.running.log();
    wait::until("a worker to die", || log().contains("a worker died").then_some(()));
    wait::until("its successor", || {
        let log = log();
        assert!(!log.contains("Address already in use"), "{log}");
        log.contains("replacement worker is serving").then_some(())
    });
    assert_eq!(metric("sluice_worker_deaths_total", &[]), 1.0);
    assert_eq!(get("/httpbin/get").unwrap().status, 200);
}

fn root_and_user_in_turn(label: &str, steering: &'static str, io: &'static str) {
    netns::run(label, move |inside| {
        let flags = |user, workers| {
            [["--steering", steering], ["--io", io], ["--user", user], ["--workers", workers]].concat()
        };
        let fault = [("SLUICE_FAULT", "requests")];
        let first = [&flags("keep", "2")[..], &DRAIN].concat();
        let mut line = Line { inside, running: Running::start_with(inside, &first, &fault) };
        let state = inside.scratch().join("state");
        let takeover = state.join("takeover.sock");
        for (user, workers, dies) in [
            ("auto", "3", true),
            ("auto", "1", false),
            ("auto", "4", true),
            ("keep", "2", false),
            ("keep", "5", true),
            ("auto", "2", false),
        ] {
            let steady = SteadyClients::start(HTTP);
            ended_well(line.begin_upgrade_with(&flags(user, workers), &fault));
            steady.wait_for_more(50);
            steady.must_be_clean();
            let uid = if user == "auto" { UID } else { 0 };
            let pid = line.running.gateway.pid();
            assert_eq!(ids(pid), BTreeSet::from([uid.to_string()]), "{user} {workers}");
            assert_eq!(metric("sluice_workers", &[]).to_string(), workers);
            assert!(takeover.exists());
            if uid == UID {
                assert_eq!(fs::metadata(&state).unwrap().uid(), UID);
                assert_eq!(fs::metadata(state.join("lock")).unwrap().uid(), UID);
            }
            if dies {
                a_worker_dies_and_is_replaced(&line);
            }
        }
        assert_eq!(metric("sluice_takeover_failures_total", &[]), 0.0);
    });
}

#[test]
fn root_and_user_follow_each_other_ebpf_uring() {
    root_and_user_in_turn("take-u1", "ebpf", "uring");
}

#[test]
fn root_and_user_follow_each_other_ebpf_epoll() {
    root_and_user_in_turn("take-u2", "ebpf", "epoll");
}

#[test]
fn root_and_user_follow_each_other_reuseport_uring() {
    root_and_user_in_turn("take-u3", "reuseport", "uring");
}

#[test]
fn root_and_user_follow_each_other_reuseport_epoll() {
    root_and_user_in_turn("take-u4", "reuseport", "epoll");
}
