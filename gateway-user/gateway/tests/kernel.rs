//! Behaviour with kernel programs alone: ports that nobody binds, verdicts, pins and their clean-up.

mod common;

use std::process::Command;

use common::pins::{owners, pins};
use common::{Running, SLUICE, get, metric, sluice, text, with_gateway_flags};
use gateway_testkit::process::Guarded;
use gateway_testkit::scratch::Scratch;
use gateway_testkit::{http, netns, wait};
use nix::sys::signal::Signal;

#[test]
fn port_80_is_served_with_no_socket_listening_on_it() {
    with_gateway_flags("no-socket", &["--steering", "ebpf"], |_, _| {
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        let tables = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"];
        for table in tables {
            let text = std::fs::read_to_string(table).unwrap();
            // Columns: slot, local address:port, remote, state; 0050 is port 80 and 0A is LISTEN (proc(5)).
            let bound = text.lines().skip(1).any(|line| {
                let mut columns = line.split_whitespace().skip(1);
                let local = columns.next().unwrap_or_default();
                local.ends_with(":0050") && columns.nth(1) == Some("0A")
            });
            assert!(!bound, "{table} shows a listening socket on port 80:\n{text}");
        }
        assert!(metric("sluice_steering_verdicts_total", &["verdict=\"steered\""]) >= 1.0);
        let over_v6 = http::get("[::1]:80".parse().unwrap(), "localhost", "/httpbin/get").unwrap();
        assert_eq!(over_v6.status, 200);
    });
}

#[test]
fn programs_and_maps_are_pinned_while_it_runs_and_no_longer() {
    with_gateway_flags("pins", &["--steering", "ebpf"], |inside, running| {
        let names: Vec<_> = pins(inside.bpffs())
            .into_iter()
            .filter_map(|pin| pin.file_name()?.to_str().map(str::to_owned))
            .collect();
        for name in ["lookup_link", "sluice_lookup", "sluice_reuse", "BINDS", "VERDICTS"] {
            assert!(names.iter().any(|pinned| pinned == name), "{name} is not among {names:?}");
        }
        running.gateway.signal(Signal::SIGTERM).unwrap();
        assert!(running.gateway.wait().success());
        assert!(!inside.bpffs().join("sluice").exists());
    });
}

#[test]
fn cleanup_removes_what_a_crash_left() {
    with_gateway_flags("cleanup", &["--steering", "ebpf"], |inside, running| {
        running.gateway.signal(Signal::SIGKILL).unwrap();
        running.gateway.wait();
        assert!(!pins(inside.bpffs()).is_empty());
        let bpffs = inside.bpffs().to_str().unwrap();
        let state = inside.scratch().join("state");
        let done = sluice(&["cleanup", "--bpffs", bpffs, "--state-dir", state.to_str().unwrap()]);
        assert!(done.status.success(), "{}", text(&done));
        assert!(text(&done).contains("removed"), "{}", text(&done));
        assert_eq!(pins(inside.bpffs()), Vec::<std::path::PathBuf>::new());
    });
}

#[test]
fn what_dead_processes_left_pinned_is_cleared_at_the_next_start() {
    netns::run("stale", |inside| {
        let mut dead = Running::start(inside, &["--steering", "ebpf"]);
        assert_eq!(owners(inside.bpffs()).len(), 1);
        dead.gateway.signal(Signal::SIGKILL).unwrap();
        dead.gateway.wait();
        let left = owners(inside.bpffs());
        assert_eq!(left.len(), 1, "a killed process cannot unpin");
        // And one of another layout, whose maps nobody here could read.
        let foreign = inside.bpffs().join("sluice").join("v999").join("i0123456789abcdef");
        std::fs::create_dir_all(&foreign).unwrap();
        drop(dead);
        // Another state directory: another name, so that nothing is taken over and all is cleared.
        let config = Scratch::new("config").unwrap();
        config.copy_from(&common::example()).unwrap();
        let mut command = Command::new(SLUICE);
        command.arg("run").arg(config.path()).arg("--state-dir").arg(inside.scratch().join("other"));
        command.arg("--bpffs").arg(inside.bpffs()).args(["--steering", "ebpf"]);
        let gateway = Guarded::spawn(&mut command).unwrap();
        let _backend = common::start_backend();
        wait::until("a response", || get("/httpbin/get").ok().filter(|response| response.status == 200));
        let now = owners(inside.bpffs());
        assert_eq!(now.len(), 1, "{now:?}\n{}", gateway.output());
        assert_ne!(now, left);
        assert!(!foreign.exists());
    });
}
