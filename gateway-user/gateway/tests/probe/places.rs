//! The socket's place: leftovers, other files, other users, other processes, other commands.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use gateway_testkit::netns;
use gateway_testkit::process::Guarded;
use nix::sys::signal::Signal;

use super::{fails, probe, socket, succeeds};
use crate::common::{Running, SLUICE, example, helper, spawn_gateway, start_gateway};
use crate::line::{ended_well, with_line};

#[test]
fn what_a_killed_process_left_is_taken_away() {
    netns::run("probe-stale", |inside| {
        let probes = socket(inside, "pod");
        let flags = ["--probe-socket", probes.to_str().unwrap()];
        let mut running = Running::start(inside, &flags);
        succeeds("ready", &probes, "ready");
        let mode = std::fs::metadata(&probes).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        running.gateway.signal(Signal::SIGKILL).unwrap();
        running.gateway.wait();
        assert!(probes.exists());
        fails("ready", &probes, "nobody listens there");
        let _again = start_gateway(inside, running.config.path(), &flags);
        succeeds("ready", &probes, "ready");
    });
}

#[test]
fn a_file_or_a_missing_directory_is_a_mistake_that_is_named() {
    netns::run("probe-places", |inside| {
        let file = inside.scratch().join("file");
        std::fs::write(&file, "precious").unwrap();
        let missing = inside.scratch().join("nowhere/socket");
        for place in [&file, &missing] {
            let place = place.to_str().unwrap();
            let mut gateway = spawn_gateway(inside, &example(), &["--probe-socket", place]);
            assert_eq!(gateway.wait().code(), Some(1));
            gateway.wait_for_output(&format!("--probe-socket {place}: cannot listen there"));
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
        fails("ready", &missing, "nobody listens there");
        fails("ready", &file, "nobody listens there");
        let long = inside.scratch().join(&"d".repeat(108));
        fails("ready", &long, "at most 107");
    });
}

#[test]
fn another_user_may_not_ask() {
    netns::run("probe-user", |inside| {
        let probes = socket(inside, "pod");
        let _running = Running::start(inside, &["--probe-socket", probes.to_str().unwrap()]);
        succeeds("ready", &probes, "ready");
        let mut ask = Command::new(SLUICE);
        ask.args(["probe", "ready", "--socket"]).arg(&probes);
        let asked = helper::as_user(&ask, 1000).output().unwrap();
        let said = String::from_utf8_lossy(&asked.stderr).into_owned();
        assert_eq!(asked.status.code(), Some(1));
        assert!(said.contains("uid 1000 may not ask"), "{said}");
        let asked = helper::as_user(&ask, 65_532).output().unwrap();
        assert_eq!(asked.status.code(), Some(0), "the process's own user: {asked:?}");
    });
}

/// As where `sluice upgrade` starts the new process with the settings of the old one.
#[test]
fn a_place_that_both_processes_have_is_the_old_ones_until_the_new_one_serves() {
    with_line("probe-shared", &[], |line| {
        let probes = socket(line.inside, "shared");
        let flags = ["--probe-socket", probes.to_str().unwrap()];
        ended_well(line.begin_upgrade(&flags));
        succeeds("ready", &probes, "ready");
        let mut broken = line.spawn(&flags, &[("SLUICE_FAULT", "takeover:live")]);
        broken.wait_for_output("another process answers probes there until this one serves");
        broken.wait_for_output("injected: stopped");
        assert_eq!(probe("ready", &probes).status.code(), Some(0), "the old one answers");
        broken.signal(Signal::SIGKILL).unwrap();
        broken.wait();
        assert_eq!(probe("ready", &probes).status.code(), Some(0), "and goes on");
        ended_well(line.begin_upgrade(&flags));
        succeeds("ready", &probes, "ready");
    });
}

#[test]
fn controllers_and_helpers_answer_too() {
    netns::run("probe-roles", |inside| {
        let (controller, helper) = (socket(inside, "controller-pod"), inside.scratch().join("helper-probe"));
        let state = inside.scratch().join("controller");
        let mut command = Command::new(SLUICE);
        command.arg("controller").arg(example()).arg("--state-dir").arg(&state);
        command.arg("--probe-socket").arg(&controller).args(["--health-address", "off"]);
        let mut process = Guarded::spawn(&mut command).unwrap();
        succeeds("ready", &controller, "ready");
        succeeds("live", &controller, "live");
        process.signal(Signal::SIGTERM).unwrap();
        assert!(process.wait().success());
        fails("live", &controller, "nobody listens there");
        let process = helper::start_helper(inside, &["--probe-socket", helper.to_str().unwrap()]);
        succeeds("ready", &helper, "ready");
        succeeds("live", &helper, "live");
        helper::must_be_confined(&process);
    });
}
