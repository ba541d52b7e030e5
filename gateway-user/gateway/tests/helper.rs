//! `sluice run --helper` as a user without any right, and the helper that does for it what takes one.

mod common;
#[path = "helper/datagrams.rs"]
mod datagrams;
#[path = "helper/killed.rs"]
mod killed;
#[path = "helper/liars.rs"]
mod liars;
#[path = "helper/line.rs"]
mod line;
#[path = "helper/pool.rs"]
mod pool;
#[path = "helper/spare.rs"]
mod spare;
#[path = "common/udp.rs"]
mod udp;

use std::net::TcpListener;

use common::helper::{self, NODE, must_be_confined, must_have_no_right, start_helper, start_node};
use common::steady::SteadyClients;
use common::{HTTP, get, metric, metrics, pins, sluice, text};
use gateway_testkit::netns;
use gateway_testkit::process::Guarded;
use gateway_testkit::scratch::Scratch;
use gateway_testkit::{http, wait};
use nix::sys::signal::Signal;

/// Verdicts of the kernel programs that sent a connection to a worker.
fn steered() -> f64 {
    metric("sluice_steering_verdicts_total", &["program=\"sk_lookup\"", "verdict=\"steered\""])
}

fn is_served(port: u16) -> Option<()> {
    let to = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    http::get(to, "127.0.0.1", "/httpbin/get").ok().filter(|response| response.status == 200).map(drop)
}

/// Listeners that come and go, low ports included, under a process that holds nothing.
fn serves_without_any_right(label: &'static str, steering: &'static str) {
    netns::run(label, move |inside| {
        let (mut helper, mut running) =
            helper::start(inside, &[], &["--steering", steering, "--drain-min", "0s"]);
        must_have_no_right(running.gateway.pid());
        running.wait_for_status("/httpbin/get", 200);
        assert!(metrics().contains(&format!("path=\"{steering}\"")), "{}", metrics());
        assert!(metric("sluice_helper_connected", &[]) == 1.0);
        if steering == "ebpf" {
            let before = steered();
            get("/httpbin/get").unwrap();
            wait::until("a steered connection", || (steered() > before).then_some(()));
            assert!(!pins::pins(inside.bpffs()).is_empty(), "the helper pins");
            let placeholder = TcpListener::bind("0.0.0.0:80").unwrap_err();
            assert_eq!(placeholder.kind(), std::io::ErrorKind::AddrInUse, "a placeholder keeps others out");
        } else {
            assert!(metrics().contains("asked for"));
        }
        running.edit("gateway.yaml", "port: 80", "port: 81");
        wait::until("the new listener", || is_served(81));
        running.edit("gateway.yaml", "port: 81", "port: 80");
        running.wait_for_status("/httpbin/get", 200);
        datagrams::are_served(&running);
        must_have_no_right(running.gateway.pid());
        must_be_confined(&helper);
        assert!(!text(&sluice(&["status"])).contains("CAP_"));
        running.gateway.signal(Signal::SIGTERM).unwrap();
        assert!(running.gateway.wait().success(), "{}", running.log());
        helper.wait_for_output("the gateway has ended");
        assert!(!helper.output().contains("wait for the next gateway"), "{}", helper.output());
        assert!(pins::pins(inside.bpffs()).is_empty(), "{:?}", pins::pins(inside.bpffs()));
        helper.signal(Signal::SIGTERM).unwrap();
        assert!(helper.wait().success(), "{}", helper.output());
        for log in [running.log(), helper.output()] {
            assert!(!log.contains("a system call failed"), "{log}");
        }
        assert!(!helper::socket(inside).exists());
    });
}

#[test]
fn a_user_without_any_right_steers_by_kernel_programs() {
    serves_without_any_right("helper-ebpf", "ebpf");
}

#[test]
fn a_user_without_any_right_binds_low_ports() {
    serves_without_any_right("helper-reuseport", "reuseport");
}

/// One more listener, before the others.
fn listen_on(running: &common::Running, port: u16) {
    let listener = format!(
        "  listeners:\n    - name: more-{port}\n      protocol: HTTP\n      port: {port}\n      allowedRoutes: {{namespaces: \
         {{from: Selector, selector: {{matchLabels: {{purpose: workloads}}}}}}}}\n"
    );
    running.edit("gateway.yaml", "  listeners:\n", &listener);
}

/// Ends the helper by `signal` under load and starts it again, twice.
fn helper_ends(label: &'static str, steering: &'static str, signal: Signal) {
    netns::run(label, move |inside| {
        let (mut helper, running) = helper::start(inside, &[], &["--steering", steering]);
        running.wait_for_status("/httpbin/get", 200);
        let steady = SteadyClients::start(HTTP);
        for round in 1..=2_u16 {
            helper.signal(signal).unwrap();
            helper.wait();
            wait::until("the loss to be noticed", || {
                (metric("sluice_helper_connected", &[]) == 0.0).then_some(())
            });
            let health = "127.0.0.1:15021".parse().unwrap();
            let ready = wait::until("the remark", || {
                let ready = http::get(health, "localhost", "/healthz/ready").ok()?;
                ready.text().contains("the helper is away").then_some(ready)
            });
            assert_eq!(ready.status, 200, "{}", ready.text());
            steady.wait_for_more(100);
            // What takes no right goes on; what does waits.
            listen_on(&running, 8080 + round);
            wait::until("a high port", || is_served(8080 + round));
            listen_on(&running, 80 + round);
            if steering == "reuseport" {
                wait::until("the refusal", || running.log().contains("the helper is away").then_some(()));
            }
            helper = start_helper(inside, &[]);
            wait::until("the connection", || {
                (metric("sluice_helper_connections_total", &[]) == f64::from(round) + 1.0).then_some(())
            });
            wait::until("a low port once it is back", || is_served(80 + round));
            steady.wait_for_more(100);
        }
        assert!(steady.must_be_clean() > 300);
        must_have_no_right(running.gateway.pid());
        drop(helper);
    });
}

#[test]
fn a_helper_that_is_killed_is_missed_by_no_client_of_kernel_programs() {
    helper_ends("helper-killed-e", "ebpf", Signal::SIGKILL);
}

#[test]
fn a_helper_that_is_killed_is_missed_by_no_client_of_sockets() {
    helper_ends("helper-killed-r", "reuseport", Signal::SIGKILL);
}

#[test]
fn a_helper_that_is_asked_to_stop_takes_nothing_off() {
    helper_ends("helper-stopped", "ebpf", Signal::SIGTERM);
}

#[test]
fn a_helper_that_hangs_holds_nothing_up_and_is_asked_again() {
    netns::run("helper-hangs", |inside| {
        let (helper, running) = helper::start(inside, &[], &["--steering", "ebpf"]);
        running.wait_for_status("/httpbin/get", 200);
        let steady = SteadyClients::start(HTTP);
        helper.signal(Signal::SIGSTOP).unwrap();
        for port in [83, 84, 8085] {
            listen_on(&running, port);
        }
        // Served though nothing holds them against other programs.
        for port in [83, 84, 8085] {
            wait::until("a port", || is_served(port));
        }
        let missing = || metric("sluice_steering_placeholders", &["missing"]);
        wait::until("placeholders to be missing", || (missing() == 2.0).then_some(()));
        steady.wait_for_more(50);
        helper.signal(Signal::SIGCONT).unwrap();
        wait::until("placeholders", || (missing() == 0.0).then_some(()));
        assert!(metric("sluice_helper_connections_total", &[]) == 1.0, "the connection was kept");
        steady.must_be_clean();
    });
}

#[test]
fn a_gateway_that_is_cut_off_says_that_it_reaches_nobody_and_a_new_process_cures_it() {
    netns::run("helper-cut", |inside| {
        let (mut helper, mut running) = helper::start(inside, &[], &["--steering", "ebpf"]);
        running.wait_for_status("/httpbin/get", 200);
        helper::cut_off(&helper);
        helper.wait_for_output("programs are taken off");
        let health = "127.0.0.1:15021".parse().unwrap();
        let ready = wait::until("unreadiness", || {
            http::get(health, "localhost", "/healthz/ready").ok().filter(|ready| ready.status == 503)
        });
        assert!(ready.text().contains("the helper has taken its programs off"), "{}", ready.text());
        let live = http::get(health, "localhost", "/healthz/live").unwrap();
        assert_eq!(live.status, 503, "a restart helps: {}", live.text());
        assert!(get("/httpbin/get").is_err(), "nothing is steered");
        wait::until("a connection", || (metric("sluice_helper_connections_total", &[]) == 2.0).then_some(()));
        let mut new = Guarded::spawn(&mut helper::node_command(inside, running.config.path(), &[])).unwrap();
        new.wait_for_output("took over from sluice");
        let mut old = std::mem::replace(&mut running.gateway, new);
        assert!(old.wait().success(), "{}", old.output());
        running.wait_for_status("/httpbin/get", 200);
        common::wait_until_ready(&mut running.gateway);
    });
}

#[test]
fn a_helper_that_starts_later_is_waited_for() {
    netns::run("helper-late", |inside| {
        let config = common::example();
        let mut gateway = Guarded::spawn(&mut helper::node_command(inside, &config, &[])).unwrap();
        // It has started once it has a thread's name of its own, and waits for the helper first of all.
        wait::until("the start", || {
            let name = std::fs::read_to_string(format!("/proc/{}/comm", gateway.pid())).ok()?;
            (name.trim() == "sluice").then_some(())
        });
        assert!(!inside.scratch().join("state").exists());
        let _helper = start_helper(inside, &[]);
        common::wait_until_ready(&mut gateway);
        must_have_no_right(gateway.pid());
    });
}

#[test]
fn root_that_has_a_helper_keeps_no_right() {
    netns::run("helper-root", |inside| {
        let helper = start_helper(inside, &[]);
        let config = Scratch::new("config").unwrap();
        config.copy_from(&common::example()).unwrap();
        let backend = common::start_backend();
        let mut command = helper::helped_command(inside, config.path(), &["--steering", "reuseport"]);
        let mut gateway = Guarded::spawn(&mut command).unwrap();
        common::wait_until_ready(&mut gateway);
        must_have_no_right(gateway.pid());
        let running = common::Running { config, gateway, backend };
        running.wait_for_status("/httpbin/get", 200);
        listen_on(&running, 81);
        wait::until("a low port", || is_served(81));
        drop(helper);
        let _helper = start_helper(inside, &[]);
        wait::until("a connection as the user", || {
            (metric("sluice_helper_connections_total", &[]) == 2.0).then_some(())
        });
    });
}

#[test]
fn what_was_made_for_a_gateway_goes_with_it() {
    netns::run("helper-node-killed", |inside| {
        let (mut helper, mut running) = helper::start(inside, &[], &["--steering", "ebpf"]);
        running.wait_for_status("/httpbin/get", 200);
        assert!(!pins::pins(inside.bpffs()).is_empty());
        running.gateway.signal(Signal::SIGKILL).unwrap();
        running.gateway.wait();
        helper.wait_for_output("programs are taken off");
        wait::until("pins to go", || pins::pins(inside.bpffs()).is_empty().then_some(()));
        // The next one finds all free.
        running.gateway = start_node(inside, running.config.path(), &["--steering", "ebpf"]);
        running.wait_for_status("/httpbin/get", 200);
    });
}

#[test]
fn a_state_directory_of_root_is_given_to_the_user() {
    netns::run("helper-state", |inside| {
        let state = inside.scratch().join("state");
        std::fs::create_dir(&state).unwrap();
        std::fs::set_permissions(&state, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        std::fs::write(state.join("addresses-cluster"), "").unwrap();
        let (_helper, running) = helper::start(inside, &[], &[]);
        running.wait_for_status("/httpbin/get", 200);
        for path in [state.clone(), state.join("addresses-cluster")] {
            let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&path).unwrap());
            assert_eq!(owner, NODE, "{}", path.display());
        }
    });
}

#[test]
fn files_of_others_are_not_given_away_with_the_directory() {
    netns::run("helper-strange", |inside| {
        let state = inside.scratch().join("state");
        std::fs::create_dir(&state).unwrap();
        std::fs::write(state.join("passwd"), "").unwrap();
        let helper = start_helper(inside, &[]);
        let config = common::example();
        let output = helper::node_command(inside, &config, &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output).contains("passwd"), "{}", text(&output));
        let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&state).unwrap());
        assert_eq!(owner, 0, "{}", helper.output());
    });
}
