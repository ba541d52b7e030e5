//! A process without a file descriptor left pauses accepting, and serves who waited.
//!
//! A program of its own: the limit is the process's. The clients are a child process, with a limit of its own.

mod support;

use std::process::Command;

use gateway_io::Driver;
use gateway_testkit::http::{Client, Response};
use gateway_testkit::process::Guarded;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use support::Gateway;
use support::backend::Backend;
use support::ir::Config;

/// Tells the child where to connect to.
const TARGET: &str = "TEST_DESCRIPTORS_TARGET";
/// Connections the child opens at once.
const CLIENTS: u64 = 120;
/// Descriptors the gateway has left when they come.
const LEFT: u64 = 60;

/// The child: all connect, then each asks and goes, so that the gateway gets its descriptors back one by one.
fn clients(target: &str) {
    let mut open: Vec<_> = (0..CLIENTS).map(|_| Client::connect(target.parse().unwrap()).unwrap()).collect();
    open.iter_mut().for_each(|client| client.send("GET /none HTTP/1.1\r\nHost: a\r\n\r\n").unwrap());
    let answers: Vec<Response> = open.into_iter().map(|mut client| client.response().unwrap()).collect();
    assert!(answers.iter().all(|answer| answer.status == 404));
}

fn waits_and_serves(driver: Driver) {
    let backend = Backend::named("unreached");
    let config =
        Config::default().rule(support::ir::forward("/app", "app")).endpoints("app", &[backend.address()]);
    let gateway = Gateway::start(driver, &config);
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new(program);
    child.env(TARGET, gateway.address.to_string()).args(["--exact", "clients_wait_for_descriptors"]);
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let used = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let mut child = Guarded::spawn(&mut child).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, used + LEFT, hard).unwrap();
    let status = child.wait();
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    assert!(status.success(), "{}", child.output());
    let counters = gateway.until("all connections' end", |counters| counters.connections == 0);
    assert_eq!((counters.accepted, counters.requests), (CLIENTS, CLIENTS));
    assert!(counters.accept_paused > 0, "the limit was reached");
}

#[test]
fn clients_wait_for_descriptors() {
    if let Ok(target) = std::env::var(TARGET) {
        return clients(&target);
    }
    waits_and_serves(Driver::UringDefer);
    waits_and_serves(Driver::Epoll);
}
