//! A second `sluice run` on the same state directory takes over, and no client notices.

mod common;
#[path = "takeover/datagrams.rs"]
mod datagrams;
#[path = "takeover/flows.rs"]
mod flows;
#[path = "takeover/hangs.rs"]
mod hangs;
#[path = "takeover/kills.rs"]
mod kills;
#[path = "takeover/last_good.rs"]
mod last_good;
#[path = "takeover/line.rs"]
mod line;
#[path = "takeover/open_drain.rs"]
mod open_drain;
#[path = "takeover/quic.rs"]
mod quic;
#[path = "takeover/refused_programs.rs"]
mod refused_programs;
#[path = "common/role.rs"]
mod role;
#[path = "common/udp.rs"]
mod udp;
#[path = "takeover/users.rs"]
mod users;
#[path = "takeover/versions.rs"]
mod versions;

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use common::load::Wrk;
use common::steady::SteadyClients;
use common::{HTTP, Running, get, metric, sluice, text};
use gateway_testkit::http::Client;
use gateway_testkit::netns;
use gateway_testkit::process::Guarded;
use gateway_testkit::wait;
use line::{DRAIN, Line, ended_well, ready, serves_on, with_line};
use nix::sys::signal::Signal;

/// Seconds, longer than a test waits for anything.
const UNTIL_STOPPED: u32 = 900;

/// Requests that the process which has the metrics address now has served.
fn served() -> f64 {
    metric("http_server_request_duration_seconds_count", &["200"])
}

fn five_upgrades(label: &str, flags: &'static [&'static str]) {
    with_line(label, flags, move |line| {
        let steady = SteadyClients::start(HTTP);
        let wrk = Wrk::start(&format!("http://{HTTP}/httpbin/get"), 4, UNTIL_STOPPED);
        for _ in 0..5 {
            // The one before is under load until the moment in which it lets go, the next one from then on:
            // each has its own counters, which begin at zero.
            let before = served();
            wait::until("responses of the one before", || (served() > before + 50.0).then_some(()));
            let sent = steady.served();
            let old = line.begin_upgrade(flags);
            assert!(ready());
            wait::until("responses of the next one", || (served() > 50.0).then_some(()));
            assert!(steady.served() > sent, "the verifying clients sent meanwhile");
            steady.wait_for_more(50);
            ended_well(old);
        }
        let seen = wrk.stop();
        assert!(seen.requests > 500, "{seen:?}");
        seen.must_be_clean();
        assert!(steady.must_be_clean() > 300);
        let said = text(&sluice(&["status"]));
        assert!(said.contains("took over:"), "{said}");
        assert!(metric("sluice_takeover_info", &["from_version="]) == 1.0, "{}", common::metrics());
    });
}

#[test]
fn five_under_load_ebpf_uring() {
    five_upgrades("take-eu", &["--steering", "ebpf", "--io", "uring"]);
}

#[test]
fn five_under_load_ebpf_epoll() {
    five_upgrades("take-ee", &["--steering", "ebpf", "--io", "epoll"]);
}

#[test]
fn five_under_load_reuseport_uring() {
    five_upgrades("take-ru", &["--steering", "reuseport", "--io", "uring"]);
}

#[test]
fn five_under_load_reuseport_epoll() {
    five_upgrades("take-re", &["--steering", "reuseport", "--io", "epoll"]);
}

/// wrk as a second opinion: it counts by itself what it could not read or write.
fn wrk_sees_nothing(label: &str, flags: &'static [&'static str]) {
    with_line(label, flags, move |line| {
        let wrk = Wrk::start(&format!("http://{HTTP}/httpbin/get"), 16, UNTIL_STOPPED);
        for _ in 0..2 {
            line.upgrade(flags);
        }
        // It was there all the while, or it could not be stopped now.
        wrk.stop().must_be_clean();
    });
}

#[test]
fn wrk_sees_nothing_with_kernel_programs() {
    wrk_sees_nothing("take-wrk-e", &["--steering", "ebpf"]);
}

#[test]
fn wrk_sees_nothing_without() {
    wrk_sees_nothing("take-wrk-r", &["--steering", "reuseport"]);
}

fn other_workers(label: &str, steering: &'static str) {
    netns::run(label, move |inside| {
        // Rings are locked memory of one user, whose other processes need some too: those of copies of this test.
        let flags =
            |workers| [["--steering", steering], ["--workers", workers], ["--ring-entries", "256"]].concat();
        let running = Running::start(inside, &[&flags("2")[..], &DRAIN].concat());
        let mut line = Line { inside, running };
        let steady = SteadyClients::start(HTTP);
        for workers in ["1", "4", "3", "2"] {
            line.upgrade(&flags(workers));
            steady.wait_for_more(50);
            let said = text(&sluice(&["status"]));
            assert!(said.contains(&format!("{workers} worker")), "{said}");
        }
        steady.must_be_clean();
    });
}

#[test]
fn other_numbers_of_workers_with_kernel_programs() {
    other_workers("take-we", "ebpf");
}

#[test]
fn other_numbers_of_workers_without() {
    other_workers("take-wr", "reuseport");
}

#[test]
fn another_way_of_steering_and_of_io() {
    with_line("take-mixed", &["--steering", "ebpf", "--io", "uring"], |line| {
        let steady = SteadyClients::start(HTTP);
        for (steering, io) in
            [("reuseport", "uring"), ("ebpf", "epoll"), ("reuseport", "epoll"), ("ebpf", "uring")]
        {
            line.upgrade(&["--steering", steering, "--io", io]);
            steady.wait_for_more(50);
            let said = text(&sluice(&["status"]));
            assert!(said.contains(steering) && said.contains(io), "{said}");
            assert!(!said.contains("not served"), "{said}");
        }
        steady.must_be_clean();
    });
}

/// True if another program could serve on port 80.
fn is_free() -> bool {
    // The standard library sets SO_REUSEADDR.
    std::net::TcpListener::bind(HTTP).is_ok()
}

/// From a version that knows no placeholders to this one and back, over both kinds of I/O, and by way of
/// sockets that listen.
#[test]
fn placeholders_go_from_hand_to_hand_and_are_in_no_older_ones_way() {
    const HELD: &[&str] = &["--steering", "ebpf"];
    // Sends and takes what such a version does: no placeholder.
    const OLDER: &[&str] = &["--steering", "ebpf", "--io", "epoll", "--placeholders", "false"];
    with_line("take-held", OLDER, |line| {
        let steady = SteadyClients::start(HTTP);
        steady.wait_for_more(20);
        let held = |line: &Line<'_>| {
            wait::until(&format!("a placeholder: {}", line.running.log()), || {
                let status = text(&sluice(&["status"]));
                let row = status.lines().find_map(|line| line.strip_prefix("placeholders:"))?;
                (row.trim() == "1 port").then_some(())
            });
            assert!(!is_free());
        };
        line.upgrade(&[HELD, &["--io", "epoll"]].concat());
        steady.wait_for_more(20);
        held(line);
        line.upgrade(&[HELD, &["--io", "uring"]].concat());
        steady.wait_for_more(20);
        held(line);
        line.upgrade(&["--steering", "reuseport", "--io", "uring"]);
        steady.wait_for_more(20);
        assert!(!text(&sluice(&["status"])).contains("not served"));
        line.upgrade(&[HELD, &["--io", "uring"]].concat());
        steady.wait_for_more(20);
        held(line);
        line.upgrade(OLDER);
        steady.wait_for_more(20);
        assert!(is_free(), "the last one's connections alone have the port");
        steady.must_be_clean();
    });
}

#[test]
fn transfers_end_where_they_began_and_kept_connections_have_one_more_request() {
    with_line("take-long", &["--steering", "ebpf"], |line| {
        let client = || Client::connect(HTTP.parse().unwrap()).unwrap();
        let (mut download, mut upload, mut kept) = (client(), client(), client());
        assert_eq!(kept.get("a", "/httpbin/get").unwrap().header("connection"), None);
        download.send("GET /httpbin/bytes/30000000 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let body = vec![b'x'; 400_000];
        let head =
            format!("POST /httpbin/anything HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        upload.send(head).unwrap();
        upload.send(&body[..100_000]).unwrap();
        // Both are under way when the backend has them: a request that was sent later has been served.
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        let mut old = line.begin_upgrade(&["--steering", "ebpf"]);
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        // The service manager's word to the one that drains must not cut it short.
        old.signal(Signal::SIGTERM).unwrap();
        old.wait_for_output("draining already");
        upload.send(&body[100_000..]).unwrap();
        let response = upload.response().unwrap();
        assert_eq!((response.status, response.header("connection")), (200, Some("close")));
        assert!(response.text().contains(&"x".repeat(1_000)));
        assert_eq!(download.response().unwrap().body.len(), 30_000_000);
        // Who rests between requests is told by the next response.
        thread::sleep(Duration::from_millis(1300));
        let response = kept.get("a", "/httpbin/get").unwrap();
        assert_eq!((response.status, response.header("connection")), (200, Some("close")));
        assert!(old.try_wait().unwrap().is_none() || download.at_end().unwrap());
        ended_well(old);
    });
}

#[test]
fn pins_are_those_of_the_one_that_serves() {
    with_line("take-pins", &["--steering", "ebpf"], |line| {
        let before = line.pin_directories();
        line.upgrade(&["--steering", "ebpf"]);
        let after = line.pin_directories();
        assert!(before.len() == 1 && after.len() == 1 && before != after, "{before:?} {after:?}");
        assert!(after[0].join("lookup_link").exists());
        let old = line.upgrade(&["--steering", "reuseport"]);
        assert_eq!(line.pin_directories(), Vec::<PathBuf>::new(), "{}", old.output());
        line.running.gateway.signal(Signal::SIGTERM).unwrap();
        assert!(line.running.gateway.wait().success());
        let state = line.inside.scratch().join("state");
        // Taken away as well where its parent lets this user.
        assert_eq!(fs::read_dir(&state).map_or(0, Iterator::count), 0, "emptied by the last");
    });
}

#[test]
fn a_signal_to_either_before_it_is_decided() {
    with_line("take-signal", &["--steering", "ebpf"], |line| {
        let steady = SteadyClients::start(HTTP);
        let fault = [("SLUICE_FAULT", "takeover:live")];
        let mut new = line.spawn(&["--steering", "ebpf"], &fault);
        new.wait_for_output("injected: stopped");
        // One that is live and not ready yet takes nothing.
        steady.wait_for_more(100);
        new.signal(Signal::SIGTERM).unwrap();
        new.wait_for_output("serves on");
        ended_well(new);
        line.running.gateway.wait_for_output("did not take over");
        steady.wait_for_more(100);
        steady.must_be_clean();

        let mut new = line.spawn(&["--steering", "ebpf"], &fault);
        new.wait_for_output("injected: stopped");
        line.running.gateway.signal(Signal::SIGTERM).unwrap();
        line.running.gateway.wait_for_output("once it is clear who serves");
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        drop(new);
        assert!(line.running.gateway.wait().success(), "{}", line.running.log());
    });
}

#[test]
fn what_cannot_start_disturbs_nobody() {
    with_line("take-bad", &["--steering", "ebpf"], |line| {
        let pins = line.pin_directories();
        let steady = SteadyClients::start(HTTP);
        let fails = |mut gateway: Guarded, why: &str| {
            let ended = gateway.wait();
            assert!(!ended.success());
            wait::until(&format!("{why:?} in {}", gateway.output()), || {
                gateway.output().contains(why).then_some(())
            });
        };
        let missing = line.inside.scratch().join("missing");
        fails(common::spawn_gateway(line.inside, &missing, &[]), "missing");
        fails(line.spawn(&["--workers", "many"], &[]), "workers");
        // Ports are found busy, and the verifier refuses, only after the sockets were received.
        let _busy = std::net::TcpListener::bind("127.0.0.1:18000").unwrap();
        fails(line.spawn(&["--admin-address", "127.0.0.1:18000"], &[]), "--admin-address");
        let object = line.inside.scratch().join("object");
        fs::write(&object, "no object").unwrap();
        let object = object.to_str().unwrap();
        fails(line.spawn(&["--steering", "ebpf"], &[("SLUICE_EBPF_OBJECT", object)]), "--steering ebpf");
        fails(line.spawn(&["--take-over", "never"], &[]), "--take-over");
        steady.wait_for_more(50);
        steady.must_be_clean();
        serves_on(line, &["--steering", "ebpf"], &pins);
    });
}

#[test]
fn of_two_at_once_one_wins_and_the_other_is_told() {
    with_line("take-two", &["--steering", "ebpf"], |line| {
        let steady = SteadyClients::start(HTTP);
        let first = line.spawn(&["--steering", "ebpf"], &[("SLUICE_FAULT", "takeover:received")]);
        let mut first = first;
        first.wait_for_output("injected: stopped");
        let mut second = line.spawn(&["--steering", "ebpf"], &[]);
        assert!(!second.wait().success());
        let told = format!("(pid {}) is taking over just now", first.pid());
        wait::until(&told, || second.output().contains(&told).then_some(()));
        drop(first);
        line.running.gateway.wait_for_output("did not take over");
        // Really at once, without a plant: both may win, one after the other, or one is told.
        let flags = ["--steering", "ebpf"];
        let (mut one, mut two) = (line.spawn(&flags, &[]), line.spawn(&flags, &[]));
        assert!(line.running.gateway.wait().success(), "{}", line.running.log());
        let settled = |gateway: &mut Guarded| {
            wait::until("who serves", || {
                let ended = gateway.try_wait().unwrap().is_some();
                let serves = gateway.output().contains("took over from sluice");
                (ended || serves).then_some(ended)
            })
        };
        let ends = [settled(&mut one), settled(&mut two)];
        assert!(ends.contains(&false), "{}\n{}", one.output(), two.output());
        steady.wait_for_more(50);
        steady.must_be_clean();
    });
}

#[test]
fn what_a_crash_left_is_no_obstacle() {
    with_line("take-stale", &["--steering", "ebpf"], |line| {
        line.running.gateway.signal(Signal::SIGKILL).unwrap();
        line.running.gateway.wait();
        let socket = line.inside.scratch().join("state").join("takeover.sock");
        assert!(socket.exists(), "the crash left it");
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&socket).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        let flags = [&["--steering", "ebpf"][..], &DRAIN].concat();
        line.running.gateway = common::start_gateway(line.inside, line.running.config.path(), &flags);
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        line.upgrade(&["--steering", "ebpf"]);
        assert_eq!(line.pin_directories().len(), 1);
        // The one that took over dies as well: its successor starts afresh.
        line.running.gateway.signal(Signal::SIGKILL).unwrap();
        line.running.gateway.wait();
        line.running.gateway = common::start_gateway(line.inside, line.running.config.path(), &flags);
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        assert_eq!(line.pin_directories().len(), 1);
    });
}
