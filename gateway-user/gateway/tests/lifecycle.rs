//! Start, readiness, drain, crash and clean-up.

mod common;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use common::{HTTP, get, start_gateway, with_gateway, with_gateway_flags};
use gateway_testkit::http::{self, Client};
use gateway_testkit::{netns, wait};
use nix::sys::signal::Signal;

#[test]
fn sigterm_answers_what_is_in_flight_and_leaves_nothing() {
    with_gateway("drain", |inside, running| {
        let mut busy = Client::connect(HTTP.parse().unwrap()).unwrap();
        busy.send("GET /httpbin/delay/2 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        // The backend has the request once a second one, sent later, has been served.
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        running.gateway.signal(Signal::SIGTERM).unwrap();
        let response = busy.response().unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(response.header("connection").map(str::to_ascii_lowercase).as_deref(), Some("close"));
        let ended = running.gateway.wait();
        assert!(ended.success(), "{ended}: {}", running.log());
        assert!(!inside.bpffs().join("sluice").exists());
        assert!(TcpStream::connect(HTTP).is_err(), "port 80 is free again");
        TcpListener::bind(HTTP).unwrap();
    });
}

#[test]
fn readiness_goes_before_the_listeners_do() {
    with_gateway_flags("ready", &["--drain-min", "3s"], |_, running| {
        let health: SocketAddr = "127.0.0.1:15021".parse().unwrap();
        assert_eq!(http::get(health, "a", "/healthz/live").unwrap().status, 200);
        running.gateway.signal(Signal::SIGTERM).unwrap();
        wait::until("readiness to go", || {
            http::get(health, "a", "/healthz/ready").ok().filter(|response| response.status == 503)
        });
        assert_eq!(get("/httpbin/get").unwrap().status, 200, "new connections are still served meanwhile");
        assert!(running.gateway.wait().success());
    });
}

#[test]
fn a_second_sigterm_ends_at_once() {
    with_gateway_flags("second", &["--drain-min", "10m", "--drain-max", "11m"], |_, running| {
        running.gateway.signal(Signal::SIGTERM).unwrap();
        let health: SocketAddr = "127.0.0.1:15021".parse().unwrap();
        wait::until("draining", || http::get(health, "a", "/healthz/ready").ok().filter(|a| a.status == 503));
        running.gateway.signal(Signal::SIGTERM).unwrap();
        running.gateway.wait();
    });
}

#[test]
fn not_ready_before_a_configuration_was_applied() {
    netns::run("unready", |inside| {
        let empty = inside.scratch().join("empty");
        std::fs::create_dir(&empty).unwrap();
        // An empty directory is a whole configuration too: it is applied, and then the gateway is ready.
        let gateway = start_gateway(inside, &empty, &[]);
        drop(gateway);
        let missing = inside.scratch().join("missing");
        let mut gateway = common::spawn_gateway(inside, &missing, &[]);
        let ended = gateway.wait();
        wait::until("the name of the directory", || gateway.output().contains("missing").then_some(()));
        assert!(!ended.success());
    });
}

#[test]
fn after_a_crash_the_port_is_not_eaten_and_the_next_start_is_clean() {
    with_gateway("crash", |inside, running| {
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        running.gateway.signal(Signal::SIGKILL).unwrap();
        running.gateway.wait();
        let other = wait::until("the dead process's port", || TcpListener::bind(HTTP).ok());
        other.set_nonblocking(true).unwrap();
        // The kernel takes a dead process's ring apart after the process is gone; until then its sockets
        // still accept.
        wait::until("a connection that reaches the port's new owner", || {
            let client = TcpStream::connect(HTTP).ok()?;
            std::thread::sleep(Duration::from_millis(20));
            let (_, from) = other.accept().ok()?;
            (from == client.local_addr().ok()?).then_some(())
        });
        drop(other);
        let mut again = start_gateway(inside, running.config.path(), &[]);
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        again.signal(Signal::SIGTERM).unwrap();
        assert!(again.wait().success());
        assert!(!inside.bpffs().join("sluice").exists());
    });
}

#[test]
fn two_on_one_state_directory_do_not_fight() {
    with_gateway("two", |inside, running| {
        let flags = ["--take-over", "never"];
        let mut second = common::spawn_gateway(inside, running.config.path(), &flags);
        let ended = second.wait();
        assert!(!ended.success());
        let pid = running.gateway.pid().to_string();
        wait::until("who is there already", || second.output().contains(&pid).then_some(()));
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
    });
}
