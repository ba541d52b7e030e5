//! `sluice probe` asks one process, whatever its predecessor or its successor answers elsewhere.

mod common;
#[path = "takeover/line.rs"]
mod line;
#[path = "probe/places.rs"]
mod places;

use std::path::PathBuf;
use std::process::{Command, Output};

use common::{SLUICE, get, sluice, text};
use gateway_testkit::netns::Inside;
use gateway_testkit::process::Guarded;
use gateway_testkit::wait;
use line::{Line, StopPoint, ended_well, ready, with_line};
use nix::sys::signal::Signal;

/// One directory for each process, as a pod has.
pub fn socket(inside: &Inside, name: &str) -> PathBuf {
    let dir = inside.scratch().join(name);
    std::fs::create_dir_all(&dir).unwrap();
    std::os::unix::fs::chown(&dir, Some(65_532), Some(65_532)).unwrap();
    dir.join("socket")
}

/// The call of a probe.
pub fn probe(of: &str, socket: &std::path::Path) -> Output {
    Command::new(SLUICE).args(["probe", of, "--socket"]).arg(socket).output().unwrap()
}

/// Waits for an exit code of 1 whose one line has these words.
#[track_caller]
pub fn fails(of: &str, socket: &std::path::Path, words: &str) {
    wait::until(&format!("{of}: {words}"), || {
        let said = probe(of, socket);
        let error = String::from_utf8_lossy(&said.stderr).into_owned();
        (said.status.code() == Some(1) && error.lines().count() == 1 && error.contains(words)).then_some(())
    });
}

/// Waits for an exit code of 0 and these words.
#[track_caller]
pub fn succeeds(of: &str, socket: &std::path::Path, words: &str) {
    wait::until(&format!("{of}: {words}"), || {
        let said = probe(of, socket);
        (said.status.code() == Some(0) && text(&said).starts_with(words)).then_some(())
    });
}

/// Starts the next process with a probe socket of its own, and a fault.
fn next(line: &Line<'_>, name: &str, fault: &str) -> (Guarded, PathBuf) {
    let socket = socket(line.inside, name);
    let new = line.spawn(&["--probe-socket", socket.to_str().unwrap()], &[("SLUICE_FAULT", fault)]);
    (new, socket)
}

#[test]
fn ready_once_this_process_serves_and_until_a_signal() {
    with_line("probe-own", &[], |line| {
        let gate = StopPoint::closed(line.inside, "live");
        let (mut new, probes) = next(line, "second", gate.fault());
        fails("ready", &probes, "serves until this process has taken over");
        new.wait_for_output("injected: stopped");
        fails("ready", &probes, &format!("(pid {}) serves until", line.running.gateway.pid()));
        succeeds("live", &probes, "live");
        assert!(ready(), "the port is still the first one's");
        gate.open();
        let first = line.succeeded_by(new);
        succeeds("ready", &probes, "ready");
        ended_well(first);
        let mut busy = gateway_testkit::http::Client::connect(common::HTTP.parse().unwrap()).unwrap();
        busy.send("GET /httpbin/delay/5 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        line.running.gateway.signal(Signal::SIGTERM).unwrap();
        fails("ready", &probes, "not ready: draining: a signal asked this process to stop");
        succeeds("live", &probes, "live");
        assert_eq!(busy.response().unwrap().status, 200);
        assert!(line.running.gateway.wait().success());
        fails("live", &probes, "nobody listens there");
        assert!(!probes.exists());
    });
}

#[test]
fn one_that_hangs_before_it_serves_is_never_ready() {
    with_line("probe-hangs", &[], |line| {
        for (point, words) in [("asking", "it starts"), ("received", "it starts"), ("live", "serves until")] {
            let (mut new, probes) = next(line, point, &format!("takeover:{point}"));
            new.wait_for_output("injected: stopped");
            fails("ready", &probes, words);
            succeeds("live", &probes, "live");
            assert!(ready(), "the first one answers on the port");
            new.signal(Signal::SIGTERM).unwrap();
            assert!(new.wait().success(), "{}", new.output());
            fails("ready", &probes, "nobody listens there");
            if point != "asking" {
                line.running.gateway.wait_for_output("ended before its configuration was live");
            }
        }
        let (mut new, probes) = next(line, "ends", "ends");
        assert_eq!(new.wait().code(), Some(1));
        assert!(new.output().contains("injected: ended as it began"), "{}", new.output());
        fails("ready", &probes, "nobody listens there");
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
    });
}

#[test]
fn one_that_is_stopped_says_nothing_and_the_probe_gives_up() {
    with_line("probe-stopped", &[], |line| {
        let (new, probes) = next(line, "second", "");
        ended_well(line.succeeded_by(new));
        succeeds("ready", &probes, "ready");
        line.running.gateway.signal(Signal::SIGSTOP).unwrap();
        fails("live", &probes, "no answer within 2 s: the process hangs");
        line.running.gateway.signal(Signal::SIGCONT).unwrap();
        succeeds("live", &probes, "live");
    });
}

#[test]
fn the_old_one_of_a_pair_stays_ready_while_it_waits_for_its_signal() {
    with_line("probe-wait", &["--after-take-over", "wait"], |line| {
        let first = socket(line.inside, "first");
        let flags = ["--probe-socket", first.to_str().unwrap(), "--after-take-over", "wait"];
        line.begin_upgrade(&flags).signal(Signal::SIGTERM).unwrap();
        let (new, second) = next(line, "second", "");
        let mut old = line.succeeded_by(new);
        old.wait_for_output("drained; waits for a signal");
        succeeds("ready", &first, "ready: sluice (pid");
        succeeds("live", &first, "live");
        succeeds("ready", &second, "ready");
        old.signal(Signal::SIGTERM).unwrap();
        assert!(old.wait().success(), "{}", old.output());
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
    });
}

#[test]
fn the_environment_names_the_socket_of_both_sides() {
    with_line("probe-env", &[], |line| {
        let probes = socket(line.inside, "pod");
        let new = line.spawn(&[], &[("SLUICE_PROBE_SOCKET", probes.to_str().unwrap())]);
        ended_well(line.succeeded_by(new));
        let asked = Command::new(SLUICE)
            .args(["probe", "ready"])
            .env("SLUICE_PROBE_SOCKET", &probes)
            .output()
            .unwrap();
        assert_eq!((asked.status.code(), text(&asked).as_str()), (Some(0), "ready\n"));
        let unset = sluice(&["probe", "ready"]);
        assert!(String::from_utf8_lossy(&unset.stderr).contains("/run/sluice-probe/socket"));
    });
}
