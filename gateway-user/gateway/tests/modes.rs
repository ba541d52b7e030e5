//! Every steering and I/O path serves alike, says which it is, and a forced one refuses to be another.

mod common;

use std::process::Command;

use common::{SLUICE, get, metric, sluice, text, with_gateway_flags};
use gateway_testkit::{http, netns, wait};

/// Requests over IPv4 and IPv6, on one connection and on many.
fn serves_the_scenario(port: u16) {
    for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        let address = address.parse().unwrap();
        let mut kept = http::Client::connect(address).unwrap();
        for _ in 0..20 {
            assert_eq!(kept.get("a", "/httpbin/get").unwrap().status, 200);
            assert_eq!(http::get(address, "a", "/httpbin/get").unwrap().status, 200);
        }
        assert_eq!(http::get(address, "a", "/nothing").unwrap().status, 404);
    }
}

fn status() -> String {
    text(&sluice(&["status"]))
}

#[test]
fn ebpf_over_io_uring() {
    with_gateway_flags("ebpf-uring", &["--steering", "ebpf", "--io", "uring"], |_, _| {
        serves_the_scenario(80);
        assert!(metric("sluice_steering_verdicts_total", &["verdict=\"steered\""]) >= 40.0);
        let said = status();
        assert!(said.contains("ebpf") && said.contains("uring"), "{said}");
    });
}

#[test]
fn ebpf_over_epoll() {
    with_gateway_flags("ebpf-epoll", &["--steering", "ebpf", "--io", "epoll"], |_, _| {
        serves_the_scenario(80);
        assert!(status().contains("epoll"), "{}", status());
    });
}

#[test]
fn reuseport_over_io_uring() {
    with_gateway_flags("reuseport", &["--steering", "reuseport", "--io", "uring"], |_, _| {
        serves_the_scenario(80);
        assert!(status().contains("reuseport"), "{}", status());
        assert_eq!(metric("sluice_steering_verdicts_total", &["verdict=\"steered\""]), 0.0);
    });
}

#[test]
fn reuseport_over_epoll() {
    with_gateway_flags("reuseport-epoll", &["--steering", "reuseport", "--io", "epoll"], |_, _| {
        serves_the_scenario(80);
    });
}

/// Runs `sluice` with every capability dropped but those in `keep`.
fn without_rights(keep: &str, args: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", keep, "--inh-caps", keep, "--", SLUICE]).args(args);
    command
}

#[test]
fn without_bpf_rights_auto_serves_and_ebpf_refuses() {
    netns::run("no-bpf", |inside| {
        let config = common::example();
        let config = config.to_str().unwrap();
        let state = inside.scratch().join("state");
        let state = state.to_str().unwrap();
        common::remember_state(state.as_ref());
        let run = ["run", config, "--state-dir", state];
        let forced = without_rights("-all,+net_bind_service", &[&run[..], &["--steering", "ebpf"]].concat());
        let mut forced = gateway_testkit::process::Guarded::spawn(&mut { forced }).unwrap();
        let code = forced.wait();
        assert!(!code.success(), "--steering=ebpf must not start without rights: {}", forced.output());
        wait::until("the reason", || forced.output().contains("steering").then_some(()));

        let _backend = common::start_backend();
        let mut auto =
            without_rights("-all,+net_bind_service", &[&run[..], &["--steering", "auto"]].concat());
        let auto = gateway_testkit::process::Guarded::spawn(&mut auto).unwrap();
        wait::until("a response on port 80", || {
            get("/httpbin/get").ok().filter(|response| response.status == 200)
        });
        assert!(status().contains("reuseport"), "{}\n{}", status(), auto.output());
    });
}

#[test]
fn without_low_ports_an_offset_is_added_and_shown() {
    netns::run("offset", |inside| {
        // A namespace that reserves nothing would let everybody bind port 80.
        std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "1024").unwrap();
        let config = common::example();
        let state = inside.scratch().join("state");
        common::remember_state(&state);
        let args = ["run", config.to_str().unwrap(), "--state-dir", state.to_str().unwrap()];
        let _backend = common::start_backend();
        let gateway = gateway_testkit::process::Guarded::spawn(&mut without_rights("-all", &args)).unwrap();
        let address = "127.0.0.1:8080".parse().unwrap();
        wait::until("a response on port 8080", || {
            http::get(address, "a", "/httpbin/get").ok().filter(|response| response.status == 200)
        });
        serves_the_scenario(8080);
        assert!(status().contains("8080"), "{}\n{}", status(), gateway.output());
    });
}
