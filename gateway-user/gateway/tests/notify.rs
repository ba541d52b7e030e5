//! Messages to the service manager: readiness, reloads, the end, a take-over, the watchdog. It is a socket of
//! the test's.

mod common;
#[path = "common/manager.rs"]
mod manager;

use std::path::Path;

use common::{Running, get, spawn_gateway_with, start_backend, start_gateway};
use gateway_testkit::netns::{self, Inside};
use gateway_testkit::process::Guarded;
use gateway_testkit::scratch::Scratch;
use gateway_testkit::{http, wait};
use manager::{Manager, Message};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

fn config() -> Scratch {
    let config = Scratch::new("config").unwrap();
    config.copy_from(&common::example()).unwrap();
    config
}

fn start(inside: &Inside, config: &Path, manager: &Manager, more: &[(&str, &str)]) -> Guarded {
    let mut environment = vec![("NOTIFY_SOCKET", manager.name())];
    environment.extend(more);
    // Two workers, however many cores there are: one may stand still while the other serves.
    let flags = ["--steering", "ebpf", "--drain-max", "7s", "--workers", "2"];
    spawn_gateway_with(inside, config, &flags, &environment)
}

fn ready_status() -> u16 {
    http::get("127.0.0.1:15021".parse().unwrap(), "localhost", "/healthz/ready")
        .map_or(0, |response| response.status)
}

/// From readiness to the end, with the manager at a socket with this name.
fn hears_all(inside: &Inside, manager: &Manager) {
    let config = config();
    let _backend = start_backend();
    let mut gateway = start(inside, config.path(), manager, &[]);
    let ready = manager.wait_for("READY");
    assert_eq!((ready_status(), get("/httpbin/get").unwrap().status), (200, 200), "ready means ready");
    assert_eq!(ready.field("READY"), Some("1"));
    assert_eq!(ready.pid, gateway.pid());
    let status = ready.field("STATUS").unwrap();
    assert!(status.starts_with("ready: generation 1 on 1 port, 0 refused; ebpf steering"), "{status}");
    assert_eq!(manager.heard().len(), 1, "nothing before: {:?}", manager.heard());

    // An edit's change is reported, and SIGHUP has a beginning and an end.
    let text = std::fs::read_to_string(config.join("gateway.yaml")).unwrap();
    config.write("gateway.yaml", &text.replace("port: 80", "port: 81")).unwrap();
    manager
        .wait_until("the next generation", |m| m.field("STATUS").is_some_and(|s| s.contains("generation 2")));
    let before = manager.heard().len();
    gateway.signal(Signal::SIGHUP).unwrap();
    let reloading = manager.wait_for("RELOADING");
    assert!(reloading.field("MONOTONIC_USEC").unwrap().parse::<u64>().unwrap() > 0);
    manager.wait_until_after(before + 1, "the end of the reload", |m| m.field("READY") == Some("1"));
    assert!(gateway.output().contains("reloading the configuration, as requested"));

    gateway.signal(Signal::SIGTERM).unwrap();
    let stopping = manager.wait_for("STOPPING");
    // 7 s of draining and 15 s for the rest, in microseconds.
    assert_eq!(stopping.field("EXTEND_TIMEOUT_USEC"), Some("22000000"));
    assert!(stopping.field("STATUS").unwrap().contains("draining"), "{stopping:?}");
    assert!(gateway.wait().success());
    let last = manager.heard().pop().unwrap();
    assert!(last.field("STOPPING").is_some(), "nothing after: {last:?}");
}

#[test]
fn from_readiness_to_the_end_at_a_path() {
    netns::run("notify", |inside| hears_all(inside, &Manager::at_path(&inside.scratch().join("notify"))));
}

#[test]
fn from_readiness_to_the_end_at_an_abstract_name() {
    netns::run("notify-abstract", |inside| {
        // Abstract names belong to the network namespace, which is the test's own.
        hears_all(inside, &Manager::at_abstract_name("sluice/notify"));
    });
}

#[test]
fn who_has_not_taken_over_yet_says_nothing() {
    netns::run("notify-unready", |inside| {
        let manager = Manager::at_path(&inside.scratch().join("notify"));
        let config = config();
        let mut old = start(inside, config.path(), &manager, &[]);
        manager.wait_for("READY");
        let mut new = start(inside, config.path(), &manager, &[("SLUICE_FAULT", "takeover:live")]);
        new.wait_for_output("injected: stopped at live");
        new.signal(Signal::SIGKILL).unwrap();
        new.wait();
        old.wait_for_output("this process serves on");
        assert!(manager.heard().iter().all(|m| m.pid == old.pid()), "{:?}", manager.heard());
        old.signal(Signal::SIGTERM).unwrap();
        assert!(old.wait().success());
        manager.wait_for("STOPPING");
        assert!(manager.heard().last().unwrap().field("STOPPING").is_some(), "its last word");
    });
}

#[test]
fn after_a_take_over_the_new_process_is_the_main_one() {
    netns::run("notify-takeover", |inside| {
        let manager = Manager::at_path(&inside.scratch().join("notify"));
        let config = config();
        let mut old = start(inside, config.path(), &manager, &[]);
        manager.wait_for("READY");
        let mut new = start(inside, config.path(), &manager, &[]);
        let said = |pid: u32| move |m: &Message| m.field("MAINPID") == Some(pid.to_string().as_str());
        manager.wait_until("the new main process", |m| said(new.pid())(m) && m.pid == new.pid());
        let heard = manager.heard();
        // Both say it, the old one first, so that a manager that listens to the main process alone follows.
        let at = |pid| heard.iter().position(|m| said(new.pid())(m) && m.pid == pid).unwrap();
        assert!(at(old.pid()) < at(new.pid()), "{heard:?}");
        assert_eq!(heard[at(new.pid())].field("READY"), Some("1"));
        assert!(old.wait().success());
        let heard = manager.heard();
        let last = heard.iter().rposition(|m| m.pid == old.pid()).unwrap();
        assert!(said(new.pid())(&heard[last]), "the old one says no more: {heard:?}");
        new.signal(Signal::SIGTERM).unwrap();
        assert!(new.wait().success());
    });
}

#[test]
fn a_take_over_works_where_only_one_of_the_two_has_a_manager() {
    netns::run("notify-half", |inside| {
        let manager = Manager::at_path(&inside.scratch().join("notify"));
        let config = config();
        let mut first = start_gateway(inside, config.path(), &["--steering", "ebpf"]);
        let mut second = start(inside, config.path(), &manager, &[]);
        let ready = manager.wait_for("READY");
        assert_eq!(ready.field("MAINPID"), Some(second.pid().to_string().as_str()));
        assert!(first.wait().success());
        let mut third = start_gateway(inside, config.path(), &["--steering", "ebpf"]);
        assert!(second.wait().success());
        manager.wait_until("the third", |m| m.field("MAINPID") == Some(third.pid().to_string().as_str()));
        third.signal(Signal::SIGTERM).unwrap();
        assert!(third.wait().success());
    });
}

#[test]
fn the_watchdog_is_fed_while_every_worker_answers() {
    netns::run("notify-watchdog", |inside| {
        let manager = Manager::at_path(&inside.scratch().join("notify"));
        let config = config();
        let mut gateway = start(inside, config.path(), &manager, &[("WATCHDOG_USEC", "2000000")]);
        let fed = |m: &Message| m.field("WATCHDOG") == Some("1");
        manager.wait_for("READY");
        manager.wait_until("food", fed);
        // A debugger stops one thread of a process and leaves the others alone (ptrace(2)).
        let worker = thread_named(gateway.pid(), "sluice-worker-1");
        ptrace::attach(worker).unwrap();
        waitpid(worker, Some(nix::sys::wait::WaitPidFlag::__WALL)).unwrap();
        let stuck = manager.wait_until("the stuck worker", |m| {
            m.field("STATUS").is_some_and(|s| s.contains("worker 1 does not respond"))
        });
        // As long as a manager waits for food: several rounds of asking the workers.
        std::thread::sleep(std::time::Duration::from_secs(2));
        assert!(gateway.try_wait().unwrap().is_none());
        ptrace::detach(worker, None).unwrap();
        let well =
            manager.wait_until_after(stuck + 1, "the state of before", |m| m.field("STATUS").is_some());
        let between = manager.heard().into_iter().take(well).skip(stuck).filter(fed).count();
        assert_eq!(between, 0, "fed although a worker did not respond");
        manager.wait_until_after(well, "food again", fed);
        gateway.signal(Signal::SIGTERM).unwrap();
        assert!(gateway.wait().success());
    });
}

#[test]
fn another_processes_watchdog_is_not_ours() {
    netns::run("notify-other", |inside| {
        let manager = Manager::at_path(&inside.scratch().join("notify"));
        let config = config();
        let more = [("WATCHDOG_USEC", "2000"), ("WATCHDOG_PID", "1")];
        let mut gateway = start(inside, config.path(), &manager, &more);
        manager.wait_for("READY");
        gateway.signal(Signal::SIGTERM).unwrap();
        assert!(gateway.wait().success());
        assert!(!gateway.output().contains("watchdog is fed"));
        assert!(manager.heard().iter().all(|m| m.field("WATCHDOG").is_none()));
    });
}

fn thread_named(pid: u32, name: &str) -> Pid {
    wait::until(name, || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        tasks.flatten().find_map(|task| {
            let comm = std::fs::read_to_string(task.path().join("comm")).ok()?;
            (comm.trim_end() == name)
                .then(|| Pid::from_raw(task.file_name().to_str()?.parse().ok()?).into())?
        })
    })
}

#[test]
fn without_a_manager_nothing_is_missing() {
    netns::run("notify-none", |inside| {
        let mut running = Running::start(inside, &["--steering", "ebpf"]);
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        running.gateway.signal(Signal::SIGHUP).unwrap();
        running.gateway.wait_for_output("reloading the configuration, as requested");
        running.gateway.signal(Signal::SIGTERM).unwrap();
        assert!(running.gateway.wait().success());
    });
}
