//! Every exit code of docs/cli.md, and no others.

mod common;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;

use common::{Running, SLUICE, example, get, sluice, start_gateway, text};
use gateway_testkit::http::Client;
use gateway_testkit::netns::{self, Inside};
use gateway_testkit::process::Guarded;
use gateway_testkit::scratch::Scratch;
use gateway_testkit::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const DONE: i32 = 0;
const FAILED: i32 = 1;
const USAGE: i32 = 2;

#[track_caller]
fn ends_with(code: i32, words: &[&str]) {
    let done = sluice(words);
    assert_eq!(done.status.code(), Some(code), "{words:?}: {}", text(&done));
    // A command that fails says so, on one line for each mistake.
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    let is_finding = words.first().is_some_and(|word| ["check", "explain"].contains(word));
    assert!(code == DONE || is_finding || !said.is_empty(), "{words:?} fails without a word");
}

/// A directory of resources in which one field is as given.
fn edited(from: &str, to: &str) -> Scratch {
    let config = Scratch::new("config").unwrap();
    config.copy_from(&example()).unwrap();
    let text = std::fs::read_to_string(config.join("gateway.yaml")).unwrap();
    assert!(text.contains(from));
    config.write("gateway.yaml", &text.replace(from, to)).unwrap();
    config
}

fn of(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_manual_knows_the_codes_and_the_commands_that_are_tried_here() {
    let page = "../../docs/cli.md";
    let page = std::fs::read_to_string(page).unwrap();
    let section = page.split("## Exit codes").nth(1).unwrap().split("\n## ").next().unwrap();
    let first_cells = |text: &str| -> BTreeSet<String> {
        let cells = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
        cells.map(str::to_owned).collect()
    };
    let codes: BTreeSet<i32> = first_cells(section).iter().filter_map(|cell| cell.parse().ok()).collect();
    assert_eq!(codes, BTreeSet::from([DONE, FAILED, USAGE]));
    let help = text(&sluice(&["--help"]));
    let listed = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    let commands = listed.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let commands: BTreeSet<&str> = commands.filter(|word| !word.is_empty() && *word != "help").collect();
    let tried = include_str!("exit_codes.rs");
    for command in &commands {
        assert!(page.contains(&format!("`sluice {command}")), "docs/cli.md says nothing of {command}");
        assert!(tried.contains(&format!("\"{command}\"")), "{command} is not tried");
    }
}

#[test]
fn commands_that_end_by_themselves() {
    let good = example();
    let (good, missing) = (of(&good), "/nowhere/at/all");
    let (wrong, unsound) = (edited("port: 80", "port: 0"), edited("port: 80", "port: 80\n      protocl: x"));
    for words in [&["--help"][..], &["version"], &["check", good], &["translate", good], &["config", "check"]]
    {
        ends_with(DONE, words);
    }
    ends_with(FAILED, &["check", of(wrong.path())]);
    ends_with(FAILED, &["check", of(unsound.path())]);
    ends_with(FAILED, &["check", missing]);
    ends_with(FAILED, &["translate", missing]);
    ends_with(DONE, &["explain", good, "GET", "http://127.0.0.1/httpbin/get"]);
    ends_with(FAILED, &["explain", good, "GET", "http://127.0.0.1/nothing"]);
    ends_with(FAILED, &["status", "--admin-address", "127.0.0.1:1"]);
    ends_with(USAGE, &["config", "check", "--workers", "many"]);
    let all = ["run", "upgrade", "check", "translate", "explain", "status", "cleanup", "echo", "version"];
    for command in all.into_iter().chain(["controller", "node", "helper", "probe"]) {
        ends_with(USAGE, &[command, "--no-such-flag"]);
    }
    ends_with(FAILED, &["node"]);
    ends_with(USAGE, &["node", "--workers", "many"]);
    for command in ["run", "upgrade", "controller"] {
        ends_with(USAGE, &[command, good, "--workers", "many"]);
    }
    ends_with(USAGE, &["status", "--admin-address", "here"]);
    ends_with(USAGE, &["probe"]);
    ends_with(USAGE, &["probe", "happy"]);
    ends_with(FAILED, &["probe", "ready", "--socket", missing]);
    ends_with(USAGE, &["no-such-command"]);
}

#[test]
fn commands_that_need_a_port_or_a_directory() {
    netns::run("codes", |inside| {
        let held = TcpListener::bind("127.0.0.1:8000").unwrap();
        ends_with(FAILED, &["echo", "--listen", "127.0.0.1:8000"]);
        drop(held);
        let (bpffs, state) = (of(inside.bpffs()).to_owned(), inside.scratch().join("state"));
        let places = ["--bpffs", &bpffs, "--state-dir", of(&state)];
        ends_with(DONE, &[&["cleanup"], &places[..]].concat());
        ends_with(FAILED, &[&["run", "/nowhere/at/all"], &places[..]].concat());
        ends_with(FAILED, &["controller", "/nowhere/at/all", "--state-dir", of(&state)]);
        ends_with(FAILED, &["controller", "--controller", "/run/x", "--state-dir", of(&state)]);
        ends_with(
            FAILED,
            &["controller", of(&example()), "--address-mode", "pool", "--state-dir", of(&state)],
        );
        ends_with(FAILED, &[&["run"], &places[..]].concat());
        ends_with(FAILED, &[&["upgrade", of(&example())], &places[..]].concat());
        ends_with(FAILED, &[&["upgrade", of(&example()), "--take-over", "never"], &places[..]].concat());
    });
}

/// Ends the process that has the state directory, which is no child of ours.
struct OrphanGuard<'a>(&'a Inside);

impl OrphanGuard<'_> {
    fn pid(&self) -> Option<i32> {
        std::fs::read_to_string(self.0.scratch().join("state/lock")).ok()?.lines().next()?.parse().ok()
    }
}

impl Drop for OrphanGuard<'_> {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

#[test]
fn run_and_upgrade_that_serve() {
    netns::run("codes-run", |inside| {
        let probes = inside.scratch().join("probes");
        std::fs::create_dir(&probes).unwrap();
        std::os::unix::fs::chown(&probes, Some(65_532), None).unwrap();
        let probes = probes.join("socket");
        let flags = ["--steering", "ebpf", "--drain-min", "0s", "--probe-socket", of(&probes)];
        let mut running = Running::start(inside, &flags);
        for what in ["ready", "live"] {
            ends_with(DONE, &["probe", what, "--socket", of(&probes)]);
        }
        let (bpffs, state) = (of(inside.bpffs()).to_owned(), inside.scratch().join("state"));
        let places =
            ["--bpffs", &bpffs, "--state-dir", of(&state), "--drain-min", "10m", "--drain-max", "11m"];
        ends_with(DONE, &["status"]);
        // A process that cannot start leaves the old one as it is.
        ends_with(FAILED, &[&["upgrade", "/nowhere/at/all"], &places[..]].concat());
        assert!(running.gateway.try_wait().unwrap().is_none() && get("/httpbin/get").unwrap().status == 200);

        let upgraded = OrphanGuard(inside);
        let mut upgrade = std::process::Command::new(SLUICE);
        upgrade.arg("upgrade").arg(running.config.path()).args(places);
        // Watched, since the new process goes on printing into what it inherited.
        let mut upgrade = Guarded::spawn(&mut upgrade).unwrap();
        assert_eq!(upgrade.wait().code(), Some(DONE), "{}", upgrade.output());
        assert_eq!(running.gateway.wait().code(), Some(DONE), "taken over from: {}", running.log());
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        let pid = upgraded.pid().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim();
        assert!(parent != upgrade.pid().to_string(), "it has left the command that started it");
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        wait::until("its end", || get("/httpbin/get").is_err().then_some(()));

        let mut again =
            start_gateway(inside, running.config.path(), &["--steering", "ebpf", "--drain-min", "0s"]);
        again.signal(Signal::SIGTERM).unwrap();
        assert_eq!(again.wait().code(), Some(DONE), "drained after a signal");

        let mut twice = start_gateway(inside, running.config.path(), &["--steering", "ebpf"]);
        let mut busy = Client::connect(common::HTTP.parse().unwrap()).unwrap();
        busy.send("GET /httpbin/delay/60 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        twice.signal(Signal::SIGINT).unwrap();
        twice.wait_for_output("draining");
        twice.signal(Signal::SIGTERM).unwrap();
        assert_eq!(twice.wait().code(), Some(FAILED), "ended by a second signal");
    });
}
