//! A gateway that is killed: connections wait at the socket that its helper keeps until the next one serves.

use std::net::{SocketAddr, TcpStream};

use gateway_testkit::crash::{CrashRun, Verdict};
use gateway_testkit::http::Client;
use gateway_testkit::netns::{self, Inside};
use gateway_testkit::process::Guarded;
use gateway_testkit::wait;
use nix::sys::signal::Signal;

use crate::common::helper::{self, node_command, start_helper, start_node};
use crate::common::{self, HTTP, Running, example, pins};

const CLIENTS: usize = 8;
const KILLS: u32 = 3;

/// Kills the gateway again and again under load; whoever connects while there is none is served by the next one.
fn killed(label: &'static str, io: &'static str) {
    netns::run(label, move |inside| {
        let helper = start_helper(inside, &[]);
        let _backend = common::start_backend();
        let flags = ["--steering", "ebpf", "--workers", "2", "--io", io, "--access-log", "off"];
        // The first one makes the state directory the user's.
        drop(start_node(inside, &example(), &flags));
        let config = example();
        let command = node_command(inside, &config, &flags);
        let again = move || {
            let mut same = std::process::Command::new(command.get_program());
            same.args(command.get_args());
            for (name, value) in command.get_envs() {
                same.env(name, value.unwrap_or_default());
            }
            same
        };
        let crash_run = CrashRun { to: HTTP.parse().unwrap(), kills: KILLS, clients: CLIENTS, between: 200 };
        let Verdict { served, cut, unserved, lost, .. } = crash_run.run(again).unwrap();
        assert!(lost.is_empty(), "{} lost for no reason: {lost:?}", lost.len());
        // A connection may still have been accepted while the signal was on its way.
        let most = u64::from(KILLS) * CLIENTS as u64;
        assert!(cut + unserved <= most, "{cut} cut, {unserved} unserved of {served}\n{}", helper.output());
        let relieved = helper.output().matches("another gateway serves").count();
        assert!(relieved >= KILLS as usize, "{}", helper.output());
        assert!(!helper.output().contains("no gateway has come"), "{}", helper.output());
        wait::until("pins of one gateway at most", || {
            (pins::owners(inside.bpffs()).len() <= 1).then_some(())
        });
    });
}

#[test]
fn whoever_connects_while_there_is_no_process_is_served_by_the_next_one() {
    killed("helper-killed-u", "uring");
}

#[test]
fn whoever_connects_while_there_is_no_process_is_served_by_the_next_one_with_epoll() {
    killed("helper-killed-p", "epoll");
}

/// A gateway that serves, and its helper with these flags.
fn serving(inside: &Inside, helper_flags: &[&str]) -> (Guarded, Running) {
    let (helper, running) = helper::start(inside, helper_flags, &["--steering", "ebpf"]);
    running.wait_for_status("/httpbin/get", 200);
    (helper, running)
}

fn kill(running: &mut Running) {
    running.gateway.signal(Signal::SIGKILL).unwrap();
    running.gateway.wait();
}

fn connect() -> std::io::Result<TcpStream> {
    TcpStream::connect(HTTP)
}

#[test]
fn connections_wait_for_as_long_as_the_helper_was_told() {
    netns::run("helper-in-vain", |inside| {
        let (mut helper, mut running) = serving(inside, &["--hold-connections", "300ms"]);
        kill(&mut running);
        let mut waiting = Client::connect(HTTP.parse::<SocketAddr>().unwrap()).unwrap();
        waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        helper.wait_for_output("no gateway has come, and connections are reset; 1 connections have waited");
        assert!(waiting.response().is_err(), "it is reset");
        wait::until("a refused connection", || connect().is_err().then_some(()));
        assert!(pins::pins(inside.bpffs()).is_empty(), "{:?}", pins::pins(inside.bpffs()));
    });
}

#[test]
fn a_helper_that_holds_nothing_has_connections_refused() {
    netns::run("helper-no-hold", |inside| {
        let (mut helper, mut running) = serving(inside, &["--hold-connections", "0s"]);
        kill(&mut running);
        helper.wait_for_output("programs are taken off");
        assert!(connect().is_err());
        assert!(!helper.output().contains("wait for the next gateway"), "{}", helper.output());
    });
}

#[test]
fn a_gateway_that_ends_by_itself_leaves_nobody_waiting() {
    netns::run("helper-no-orphan", |inside| {
        let (helper, mut running) = serving(inside, &["--hold-connections", "1h"]);
        running.gateway.signal(Signal::SIGTERM).unwrap();
        assert!(running.gateway.wait().success(), "{}", running.log());
        assert!(connect().is_err());
        assert!(!helper.output().contains("wait for the next gateway"), "{}", helper.output());
    });
}

#[test]
fn a_helper_that_is_asked_to_stop_waits_for_no_gateway() {
    netns::run("helper-held-stop", |inside| {
        let (mut helper, mut running) = serving(inside, &["--hold-connections", "1h"]);
        kill(&mut running);
        helper.wait_for_output("new connections wait for the next gateway");
        helper.signal(Signal::SIGTERM).unwrap();
        assert!(helper.wait().success(), "{}", helper.output());
        assert!(connect().is_err());
        assert!(pins::pins(inside.bpffs()).is_empty(), "{:?}", pins::pins(inside.bpffs()));
    });
}

#[test]
fn connections_wait_beyond_gateways_that_die_before_they_serve() {
    netns::run("helper-crash-loop", |inside| {
        let (mut helper, mut running) = serving(inside, &["--hold-connections", "1h"]);
        kill(&mut running);
        let mut waiting = Client::connect(HTTP.parse::<SocketAddr>().unwrap()).unwrap();
        waiting.send("GET /httpbin/get HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        // More than a helper has room for, each of which has a stand-by and no configuration yet.
        for _ in 0..10 {
            let mut command = node_command(inside, running.config.path(), &["--steering", "ebpf"]);
            let mut dies = Guarded::spawn(command.env("SLUICE_FAULT", "takeover:attached")).unwrap();
            dies.wait_for_output("stopped at attached");
            dies.signal(Signal::SIGKILL).unwrap();
            dies.wait();
        }
        running.gateway = start_node(inside, running.config.path(), &["--steering", "ebpf"]);
        assert_eq!(waiting.response().unwrap().status, 200);
        running.wait_for_status("/httpbin/get", 200);
        helper.wait_for_output("another gateway serves");
    });
}

#[test]
fn connections_wait_at_a_helper_that_has_come_anew() {
    netns::run("helper-anew", |inside| {
        let (mut helper, mut running) = serving(inside, &[]);
        helper.signal(Signal::SIGKILL).unwrap();
        helper.wait();
        let mut helper = start_helper(inside, &["--hold-connections", "1h"]);
        helper.wait_for_output("a gateway of uid");
        // The gateway looks for it about once a second, and serves meanwhile.
        wait::until("the stand-by", || holds_a_stand_by(&helper).then_some(()));
        running.wait_for_status("/httpbin/get", 200);
        kill(&mut running);
        let mut waiting = Client::connect(HTTP.parse::<SocketAddr>().unwrap()).unwrap();
        waiting.send("GET /httpbin/get HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        running.gateway = start_node(inside, running.config.path(), &["--steering", "ebpf"]);
        assert_eq!(waiting.response().unwrap().status, 200);
        helper.wait_for_output("another gateway serves; connections may have waited");
    });
}

/// True if the helper holds a listening TCP socket.
fn holds_a_stand_by(helper: &Guarded) -> bool {
    let open = std::fs::read_dir(format!("/proc/{}/fd", helper.pid())).unwrap().flatten();
    let sockets: Vec<String> =
        open.filter_map(|entry| std::fs::read_link(entry.path()).ok()?.to_str().map(str::to_owned)).collect();
    let listening = std::fs::read_to_string("/proc/thread-self/net/tcp6").unwrap();
    let inodes = listening.lines().skip(1).filter(|line| line.split_whitespace().nth(3) == Some("0A"));
    let mut inodes = inodes.filter_map(|line| line.split_whitespace().nth(9));
    inodes.any(|inode| sockets.contains(&format!("socket:[{inode}]")))
}
