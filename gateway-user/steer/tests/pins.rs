//! Contents of bpffs while a process lives, after it left, and after it crashed.
#![allow(missing_docs)]

mod common;

use std::env;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use aya::programs::links::{FdLink, PinnedLink};
use common::{Workers, ask, one_each, open, options, plan, refused};
use gateway_steer::{PinState, SteerError, SteerOptions, Steering, SteeringMode, SteeringPath, cleanup};
use gateway_testkit::netns::{self, Inside};
use gateway_testkit::process::Guarded;
use gateway_testkit::wait::{self, WAIT_TIMEOUT};
use nix::sys::signal::Signal;

/// Set for the child that [`crashing`] starts: the bpffs to pin in.
const CHILD: &str = "SLUICE_STEER_TEST_CHILD_BPFFS";

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Starts this test again as a child in the same namespaces, which steers port 80 and then waits to be
/// killed. `None` in that child, once it is no longer wanted.
fn crashing(test: &str, inside: &Inside) -> Guarded {
    let mut command = Command::new(env::current_exe().unwrap());
    let mut child =
        Guarded::spawn(command.args([test, "--exact", "--nocapture"]).env(CHILD, inside.bpffs())).unwrap();
    child.wait_for_output("steering\n");
    child
}

/// In the child: steers port 80 until it is killed. False in the test itself.
#[allow(clippy::print_stdout, reason = "the parent waits for it")]
fn is_child() -> bool {
    let Some(bpffs) = env::var_os(CHILD) else {
        return false;
    };
    let options = SteerOptions { bpffs: PathBuf::from(bpffs), ..SteerOptions::new(1, "test") };
    let mut steering = Steering::open(SteeringMode::Ebpf, options).unwrap();
    let _workers = Workers::start(one_each(&mut steering));
    steering.apply(&plan(&["*:80"])).unwrap();
    println!("\nsteering");
    thread::sleep(2 * WAIT_TIMEOUT);
    true
}

fn kill(mut child: Guarded) {
    child.signal(Signal::SIGKILL).unwrap();
    child.wait();
}

#[test]
fn pins_are_versioned_and_go_with_their_owner() {
    netns::run("pins", |inside| {
        let steering = open(inside, 1);
        let dir = inside.bpffs().join("sluice/v3/test");
        assert_eq!(
            names(&dir),
            [
                "BINDS",
                "CONFIG",
                "LOADS",
                "SOCKETS",
                "VERDICTS",
                "lookup_link",
                "sluice_lookup",
                "sluice_reuse"
            ]
        );
        assert!(matches!(steering.path(), SteeringPath::Ebpf { pins: PinState::Pinned(d), .. } if *d == dir));
        steering.close();
        assert!(!inside.bpffs().join("sluice").exists());
    });
}

#[test]
fn without_a_bpffs_steering_works_and_says_so() {
    netns::run("unpinned", |inside| {
        let none = inside.scratch().path().to_owned();
        let options = SteerOptions { bpffs: none, ..SteerOptions::new(1, "test") };
        let mut steering = Steering::open(SteeringMode::Ebpf, options).unwrap();
        assert!(steering.path().to_string().contains("not a bpffs"), "{}", steering.path());
        let _workers = Workers::start(one_each(&mut steering));
        steering.apply(&plan(&["*:80"])).unwrap();
        assert!(ask("127.0.0.1:80").is_ok());
        steering.close();
        refused("127.0.0.1:80");
    });
}

#[test]
fn a_living_instance_is_not_disturbed() {
    netns::run("busy", |inside| {
        let mut steering = open(inside, 1);
        let _workers = Workers::start(one_each(&mut steering));
        steering.apply(&plan(&["*:80"])).unwrap();
        // Whatever the mode: falling back would leave two processes with one name.
        for mode in [SteeringMode::Ebpf, SteeringMode::Auto] {
            let error = Steering::open(mode, options(inside, 1)).unwrap_err();
            assert!(
                matches!(error, SteerError::InstanceBusy { pid: Some(pid), .. } if pid == std::process::id())
            );
        }
        let report = cleanup(inside.bpffs()).unwrap();
        assert_eq!((report.removed.len(), report.in_use.len()), (0, 1));
        let other = SteerOptions { instance: "other".into(), ..options(inside, 1) };
        drop(Steering::open(SteeringMode::Ebpf, other).unwrap());
        assert!(ask("127.0.0.1:80").is_ok());
    });
}

#[test]
fn a_crash_leaves_the_port_to_whoever_comes_next() {
    if is_child() {
        return;
    }
    netns::run("crash", |inside| {
        let child = crashing("a_crash_leaves_the_port_to_whoever_comes_next", inside);
        assert!(ask("127.0.0.1:80").is_ok() && ask("[::1]:80").is_ok());
        kill(child);
        let dir = inside.bpffs().join("sluice/v3/test");
        assert!(names(&dir).contains(&"lookup_link".to_owned()), "a killed process removes nothing");

        // The leftover program runs for these and lets them pass.
        refused("127.0.0.1:80");
        let next = TcpListener::bind("[::]:80").unwrap();
        let _next = Workers::start(vec![vec![next]]);
        assert!(ask("127.0.0.1:80").is_ok() && ask("[::1]:80").is_ok());

        let report = cleanup(inside.bpffs()).unwrap();
        assert_eq!((report.removed, report.in_use), (vec![dir], vec![]));
        assert!(!inside.bpffs().join("sluice").exists());
        assert!(ask("127.0.0.1:80").is_ok());
    });
}

#[test]
fn the_next_start_removes_what_a_crash_left() {
    if is_child() {
        return;
    }
    netns::run("restart", |inside| {
        kill(crashing("the_next_start_removes_what_a_crash_left", inside));
        let left = PinnedLink::from_pin(inside.bpffs().join("sluice/v3/test/lookup_link")).unwrap();
        let left = FdLink::from(left).info().unwrap().id();
        let mut steering = open(inside, 1);
        wait::until("the leftover link to go", || {
            let mut links = aya::programs::loaded_links().filter_map(Result::ok);
            (!links.any(|link| link.id() == left)).then_some(())
        });
        let _workers = Workers::start(one_each(&mut steering));
        steering.apply(&plan(&["*:80"])).unwrap();
        assert!(ask("127.0.0.1:80").is_ok());
        assert_eq!(steering.counters().unwrap().get(gateway_steer::Verdict::Steered), 1, "fresh maps");
    });
}

#[test]
fn files_of_others_are_not_cleaned_up() {
    netns::run("foreign-dir", |inside| {
        // Looks like ours, but is no bpffs.
        let dir = inside.scratch().join("sluice/v3/test");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("precious"), "").unwrap();
        assert_eq!(cleanup(inside.scratch().path()).unwrap(), gateway_steer::CleanupReport::default());
        assert!(dir.join("precious").exists());
    });
}
